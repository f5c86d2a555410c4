import { hash } from "node:crypto";
import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";

import type { Filter, FilterLiteral } from "@custody/contract/filter";
import { canonicalJson } from "@custody/contract/json";
import { asInstantMs } from "@custody/contract/value-expression";

import type { Cell } from "../analytics/port.ts";
import {
  compileLogic,
  joinConditions,
  negated,
  quoteName,
  sql,
  SQL_FALSE,
  SQL_TRUE,
  valueList,
  verbatim,
} from "../drivers/sqlite-fragment.ts";
import type { Comparison, SqlFragment } from "../drivers/sqlite-fragment.ts";
import { cursorOf, cursorParts } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import type { TablePage, TableQuery } from "./port.ts";
import { cellOf } from "./sqlite-columns.ts";
import type { QueryColumn } from "./sqlite-columns.ts";
import type { QuerySource } from "./sqlite-file.ts";

/** Selects a page of rows; the caller holds the snapshot. */
export function selectRows(
  database: DatabaseSync,
  source: QuerySource,
  query: TableQuery,
): Omit<TablePage, "checkpoint"> {
  const order = orderOf(source, query);
  const key = queryKey(query);
  const { text, values } = pageStatement(source, query, order);
  const statement = database.prepare(text);
  statement.setReadBigInts(true);
  const found = statement.all(...values);
  const rows = found.slice(0, query.limit);
  const last = rows.at(-1);
  const page = rows.map((row) => cellsOf(row, source.columns));
  if (found.length === rows.length || last === undefined) return { rows: page };
  return { rows: page, cursor: cursorOf([key, ...order.map((_, index) => last[`s${index}`])]) };
}

/** SQLite's plan for the page that {@link selectRows} gives (sqlite.org/eqp.html). */
export function explainRows(
  database: DatabaseSync,
  source: QuerySource,
  query: TableQuery,
): readonly string[] {
  const { text, values } = pageStatement(source, query, orderOf(source, query));
  const steps = database.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...values);
  return steps.map(({ detail }) => String(detail));
}

function pageStatement(
  source: QuerySource,
  query: TableQuery,
  order: readonly SortColumn[],
): SqlFragment {
  const { cursor } = query;
  const after = cursor === undefined ? SQL_TRUE : afterCursor(cursor, queryKey(query), order);
  const columns = source.columns.map(({ name }, index) => `${quoteName(name)} AS c${index}`);
  const sorts = order.map(({ sqlName }, index) => `${sqlName} AS s${index}`);
  const by = order.map(({ sqlName, isDescending }) => `${sqlName}${isDescending ? " DESC" : ""}`);
  return sql`SELECT ${verbatim([...columns, ...sorts].join(", "))} FROM ${source.from}
    WHERE ${compileFilter(query.filter, source.columns)} AND ${after}
    ORDER BY ${verbatim(by.join(", "))} LIMIT ${query.limit + 1}`;
}

/** Tells queries apart, so that a cursor is only taken by the one that gave it. */
function queryKey({ filter, orderBy }: TableQuery): string {
  return hash("sha256", canonicalJson([filter, orderBy]), "hex").slice(0, 16);
}

function cellsOf(
  row: Record<string, SQLOutputValue>,
  columns: readonly QueryColumn[],
): Readonly<Record<string, Cell>> {
  return Object.fromEntries(
    columns.map(({ name, type }, index): [string, Cell] => [name, cellOf(type, row[`c${index}`])]),
  );
}

interface SortColumn {
  readonly sqlName: string;
  readonly isDescending: boolean;
}

/** The columns to sort by, the key last so that no two rows tie. */
function orderOf({ columns, key }: QuerySource, { orderBy = [] }: TableQuery): SortColumn[] {
  const order = orderBy.map(({ column, direction }): SortColumn => {
    const { name, type } = columnNamed(column, columns);
    if (type === "counts") {
      throw new StoreError(
        "refused",
        `${JSON.stringify(name)} is a table of counts and has no order`,
      );
    }
    return { sqlName: quoteName(name), isDescending: direction === "desc" };
  });
  return [...order, { sqlName: quoteName(key), isDescending: false }];
}

/** Rows after the cursor's: later in the first column, or equal there and later in the next, … */
function afterCursor(cursor: string, key: string, order: readonly SortColumn[]): SqlFragment {
  const [of, ...values] = cursorParts(cursor);
  if (of !== key || values.length !== order.length || !values.every(isSortValue)) {
    throw new StoreError("refused", "this is no cursor of this query");
  }
  const alternatives = order.map((column, index) => {
    const equal = order
      .slice(0, index)
      .map(({ sqlName }, at) => sql`${verbatim(sqlName)} IS ${values[at] ?? null}`);
    return joinConditions([...equal, laterThan(column, values[index] ?? null)], "AND");
  });
  return joinConditions(alternatives, "OR");
}

function laterThan({ sqlName, isDescending }: SortColumn, value: SQLInputValue): SqlFragment {
  const column = verbatim(sqlName);
  // SQLite sorts NULL before everything (sqlite.org/datatype3.html §4.1).
  if (value === null) return isDescending ? SQL_FALSE : sql`${column} IS NOT NULL`;
  return isDescending
    ? sql`(${column} < ${value} OR ${column} IS NULL)`
    : sql`${column} > ${value}`;
}

function isSortValue(value: unknown): value is null | string | number | bigint {
  return value === null || ["string", "number", "bigint"].includes(typeof value);
}

function columnNamed(name: string, columns: readonly QueryColumn[]): QueryColumn {
  const column = columns.find((one) => one.name === name);
  if (column !== undefined) return column;
  throw new StoreError("refused", `the table has no column ${JSON.stringify(name)}`);
}

function compileFilter(filter: Filter, columns: readonly QueryColumn[]): SqlFragment {
  return compileLogic(filter, (comparison) =>
    compileComparison(comparison, columnNamed(comparison.path, columns)),
  );
}

function compileComparison(filter: Comparison, column: QueryColumn): SqlFragment {
  const name = verbatim(quoteName(column.name));
  switch (filter.op) {
    case "exists":
      return filter.value ? sql`${name} IS NOT NULL` : sql`${name} IS NULL`;
    case "eq":
      return equals(column, [filter.value]);
    case "ne":
      return negated(equals(column, [filter.value]));
    case "in":
      return equals(column, filter.values);
    case "nin":
      return negated(equals(column, filter.values));
    case "all":
      return filter.values.length === 0
        ? SQL_FALSE
        : joinConditions(
            filter.values.map((value) => equals(column, [value])),
            "AND",
          );
    case "size":
      return column.type === "text[]"
        ? sql`json_array_length(${name}) = ${filter.value}`
        : SQL_FALSE;
    case "elemMatch":
      throw new StoreError("refused", "columns hold plain values: $elemMatch has no meaning");
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return ordered(column, filter.op, filter.value);
  }
}

function equals(column: QueryColumn, literals: readonly FilterLiteral[]): SqlFragment {
  const name = verbatim(quoteName(column.name));
  const present = literals.filter((literal) => literal !== null);
  const conditions: SqlFragment[] = present.length < literals.length ? [sql`${name} IS NULL`] : [];
  const comparable = present.flatMap((literal) => comparableValue(column, literal) ?? []);
  if (comparable.length > 0) {
    const list = valueList(comparable);
    conditions.push(
      column.type === "text[]"
        ? sql`EXISTS (SELECT 1 FROM json_each(${name}) AS e WHERE e.value IN ${list})`
        : sql`${name} IN ${list}`,
    );
  }
  return joinConditions(conditions, "OR");
}

const SIGNS = { gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function ordered(
  column: QueryColumn,
  op: keyof typeof SIGNS,
  literal: string | number | bigint,
): SqlFragment {
  const value = comparableValue(column, literal);
  if (value === undefined) return SQL_FALSE;
  const name = verbatim(quoteName(column.name));
  const sign = verbatim(SIGNS[op]);
  return column.type === "text[]"
    ? sql`EXISTS (SELECT 1 FROM json_each(${name}) AS e WHERE e.value ${sign} ${value})`
    : sql`${name} ${sign} ${value}`;
}

/** A literal as the column compares with it, `undefined` where it never can: another kind. */
function comparableValue(
  { name, type }: QueryColumn,
  literal: Exclude<FilterLiteral, null>,
): SQLInputValue | undefined {
  switch (type) {
    case "text":
    case "text[]":
      return typeof literal === "string" ? literal.toWellFormed() : undefined;
    case "json":
      return canonicalJson(literal);
    case "boolean":
      return typeof literal === "boolean" ? Number(literal) : undefined;
    case "timestamp":
      return typeof literal === "string" ? asInstantMs(literal) : comparableNumber(literal);
    case "integer":
    case "real":
      return comparableNumber(literal);
    case "vector":
    case "counts":
      throw new StoreError(
        "refused",
        `${JSON.stringify(name)} can only be asked whether it exists`,
      );
  }
}

function comparableNumber(literal: string | number | bigint | boolean): SQLInputValue | undefined {
  if (typeof literal === "number") return literal;
  if (typeof literal !== "bigint") return undefined;
  // Beyond 64 bits the nearest double compares right with every integer there is.
  return BigInt.asIntN(64, literal) === literal ? literal : Number(literal);
}
