import { hash } from "node:crypto";

import type { Filter } from "@custody/contract/filter";
import { canonicalJson } from "@custody/contract/json";

import type { Cell } from "../analytics/port.ts";
import { sql } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgRow } from "../drivers/postgresql-statements.ts";
import {
  compileLogic,
  joinConditions,
  SQL_FALSE,
  SQL_TRUE,
  verbatim,
} from "../drivers/sql-fragment.ts";
import { cursorOf, cursorParts } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import type { TablePage, TableQuery } from "./port.ts";
import { beyondStandIn, cellOf, selectedColumns, storedColumns } from "./postgresql-columns.ts";
import type { PgColumn, PgColumnType } from "./postgresql-columns.ts";
import { compileComparison } from "./postgresql-select-compare.ts";

/** What a query runs over: a table or a view, its columns, and the column that tells rows apart. */
export interface PgSource {
  /** Quoted, with its schema. */
  readonly sqlName: string;
  readonly columns: readonly PgColumn[];
  readonly key: PgColumn;
}

/** The statement whose rows {@link pageOf} makes a page of: one more than asked for tells whether there are more. */
export function pageStatement(source: PgSource, space: string, query: TableQuery): PgFragment {
  const order = orderOf(source, query);
  const { cursor } = query;
  const after = cursor === undefined ? SQL_TRUE : afterCursor(cursor, queryKey(query), order);
  const columns = selectedColumns(source.columns);
  const sorts = order.map(({ expression }, index) => `(${expression})::text AS s${index}`);
  return sql`SELECT ${verbatim([...columns, ...sorts].join(", "))}
    FROM ${verbatim(source.sqlName)} WHERE _space = ${space}
    AND ${compileFilter(query.filter, source.columns)} AND ${after}
    ORDER BY ${verbatim(order.map(sorting).join(", "))} LIMIT ${query.limit + 1}`;
}

/** The page that the rows of {@link pageStatement} make. */
export function pageOf(
  found: readonly PgRow[],
  source: PgSource,
  query: TableQuery,
): Omit<TablePage, "checkpoint"> {
  const rows = found.slice(0, query.limit);
  const last = rows.at(-1);
  const page = rows.map((row) => cellsOf(row, source.columns));
  if (found.length === rows.length || last === undefined) return { rows: page };
  const places = orderOf(source, query).map((_, index) => last[`s${index}`] ?? null);
  return { rows: page, cursor: cursorOf([queryKey(query), ...places]) };
}

function cellsOf(row: PgRow, columns: readonly PgColumn[]): Readonly<Record<string, Cell>> {
  const stored = storedColumns(row, columns);
  return Object.fromEntries(
    columns.map(({ name, type }, index): [string, Cell] => [name, cellOf(type, stored[index])]),
  );
}

/** Tells queries apart, so that a cursor is only taken by the one that gave it. */
function queryKey({ filter, orderBy }: TableQuery): string {
  return hash("sha256", canonicalJson([filter, orderBy]), "hex").slice(0, 16);
}

interface SortColumn {
  readonly expression: string;
  /** What a place in the order, kept in a cursor as text, is cast to. */
  readonly cast: string;
  readonly isDescending: boolean;
  readonly isNullable: boolean;
}

/** What to sort by, the key last so that no two rows tie. */
function orderOf({ columns, key }: PgSource, { orderBy = [] }: TableQuery): readonly SortColumn[] {
  const order = orderBy.flatMap(({ column, direction }) =>
    sortsOf(columnNamed(column, columns), direction === "desc"),
  );
  return [...order, ...sortsOf(key, false)];
}

/** A column with stand-ins sorts by them, then by what they stand for: an index gives most of the order. */
function sortsOf(column: PgColumn, isDescending: boolean): readonly SortColumn[] {
  const [cast, expression] = SORTS[column.type](column.sqlName);
  const sort = { expression, cast, isDescending, isNullable: column.isNullable };
  if (!column.hasStandIns) return [sort];
  const exactly = { ...sort, expression: beyondStandIn(column), isNullable: true };
  return [sort, { ...exactly, cast: column.type === "timestamp" ? "bigint" : cast }];
}

const SORTS: Readonly<Record<PgColumnType, (sqlName: string) => readonly [string, string]>> = {
  text: (name) => ["text", name],
  integer: (name) => ["bigint", name],
  real: (name) => ["double precision", name],
  boolean: (name) => ["boolean", name],
  timestamp: (name) => ["timestamptz", name],
  json: (name) => ["text", `${name}::text COLLATE "C"`],
  "text[]": (name) => ["text", `array_to_json(${name})::text COLLATE "C"`],
  vector: (name) => ["text", `array_to_json(${name})::text COLLATE "C"`],
  counts: (name) => {
    throw new StoreError("refused", `${name} is a table of counts and has no order`);
  },
};

// By default nulls come last in ascending order (postgresql.org/docs/current/queries-order.html). Where
// there are none nothing is said, as the index of a key does not say it either.
function sorting({ expression, isDescending, isNullable }: SortColumn): string {
  const nulls = isDescending ? " NULLS LAST" : " NULLS FIRST";
  return `${expression}${isDescending ? " DESC" : ""}${isNullable ? nulls : ""}`;
}

/** Rows after the cursor's: later in the first column, or equal there and later in the next, … */
function afterCursor(cursor: string, key: string, order: readonly SortColumn[]): PgFragment {
  const [of, ...values] = cursorParts(cursor);
  const places = values.filter((value) => value === null || typeof value === "string");
  if (of !== key || values.length !== order.length || places.length !== values.length) {
    throw new StoreError("refused", "this is no cursor of this query");
  }
  const alternatives = order.map((column, index) => {
    const equal = order.slice(0, index).map((one, at) => equalTo(one, places[at] ?? null));
    return joinConditions([...equal, laterThan(column, places[index] ?? null)], "AND");
  });
  const [first] = order;
  const [place] = places;
  // Says nothing new, but is what an index can begin from.
  const start = first === undefined ? SQL_TRUE : notBefore(first, place ?? null);
  return joinConditions([start, joinConditions(alternatives, "OR")], "AND");
}

function equalTo({ expression, cast }: SortColumn, place: string | null): PgFragment {
  return place === null
    ? sql`${verbatim(expression)} IS NULL`
    : sql`${verbatim(expression)} = ${place}::${verbatim(cast)}`;
}

function laterThan(column: SortColumn, place: string | null): PgFragment {
  const expression = verbatim(column.expression);
  if (place === null) return column.isDescending ? SQL_FALSE : sql`${expression} IS NOT NULL`;
  const value = sql`${place}::${verbatim(column.cast)}`;
  return column.isDescending
    ? sql`(${expression} < ${value} OR ${expression} IS NULL)`
    : sql`${expression} > ${value}`;
}

function notBefore(column: SortColumn, place: string | null): PgFragment {
  if (column.isDescending || place === null) return SQL_TRUE;
  return sql`${verbatim(column.expression)} >= ${place}::${verbatim(column.cast)}`;
}

function compileFilter(filter: Filter, columns: readonly PgColumn[]): PgFragment {
  return compileLogic(filter, (comparison) =>
    compileComparison(comparison, columnNamed(comparison.path, columns)),
  );
}

function columnNamed(name: string, columns: readonly PgColumn[]): PgColumn {
  const column = columns.find((one) => one.name === name);
  if (column !== undefined) return column;
  throw new StoreError("refused", `the table has no column ${JSON.stringify(name)}`);
}
