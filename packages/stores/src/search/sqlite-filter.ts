import type { Filter, FilterLiteral } from "@custody/contract/filter";
import type { SQLInputValue } from "node:sqlite";

import {
  compileLogic,
  joinConditions,
  negated,
  quoteName,
  sql,
  valueList,
  SQL_FALSE,
  SQL_TRUE,
  verbatim,
} from "../drivers/sqlite-fragment.ts";
import type { Comparison, SqlFragment } from "../drivers/sqlite-fragment.ts";
import { StoreError } from "../errors.ts";
import { filterValue } from "./content.ts";
import type { FilterValue } from "./content.ts";

/**
 * Filter values in SQLite: a column a filter in the rows' table, here under the alias `r`.
 *
 * A row's single value lies in the column: text, a number, or a blob of one byte for a boolean.
 * Several values lie there as a blob of JSON, and one row each in the values' table, by which they
 * are found. No value is NULL.
 */
export interface FilterColumns {
  readonly names: readonly string[];
  /** The values' table: `filter`, `value`, `row`. */
  readonly valuesTable: string;
}

/** The column of filter `index`. */
export function filterColumn(index: number): string {
  return `f${index}`;
}

/** A filter value as SQLite keeps it. */
export function storedValue(value: FilterValue): SQLInputValue {
  return typeof value === "boolean" ? Uint8Array.of(value ? 1 : 0) : value;
}

/** Compiles a filter whose paths are filter names. @throws StoreError `refused` for an unknown name. */
function compileFilter(filter: Filter, columns: FilterColumns): SqlFragment {
  return compileLogic(filter, (comparison) =>
    compileField(comparison, fieldAt(comparison.path, columns)),
  );
}

interface Field {
  readonly index: number;
  /** The column, quoted. */
  readonly column: SqlFragment;
  readonly values: SqlFragment;
}

function fieldAt(path: string, { names, valuesTable }: FilterColumns): Field {
  const index = names.indexOf(path);
  if (index < 0)
    throw new StoreError("refused", `the search has no filter ${JSON.stringify(path)}`);
  const column = verbatim(`r.${filterColumn(index)}`);
  return { index, column, values: verbatim(quoteName(valuesTable)) };
}

function compileField(filter: Comparison, field: Field): SqlFragment {
  const { column } = field;
  switch (filter.op) {
    case "eq":
      return equals(field, [filter.value]);
    case "ne":
      return negated(equals(field, [filter.value]));
    case "in":
      return equals(field, filter.values);
    case "nin":
      return negated(equals(field, filter.values));
    case "all":
      return filter.values.length === 0
        ? SQL_FALSE
        : joinConditions(
            filter.values.map((value) => equals(field, [value])),
            "AND",
          );
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return ordered(field, filter.op, filter.value);
    case "exists":
      return filter.value ? sql`${column} IS NOT NULL` : sql`${column} IS NULL`;
    case "size":
      return sql`CASE WHEN ${column} IS NULL THEN 0
        WHEN ${verbatim(isList(column.text))} THEN json_array_length(CAST(${column} AS TEXT))
        ELSE 1 END = ${filter.value}`;
    case "elemMatch":
      throw new StoreError(
        "refused",
        "search filters hold plain values: $elemMatch has no meaning",
      );
  }
}

/** Whether a column holds several values. */
function isList(column: string): string {
  return `(typeof(${column}) = 'blob' AND length(${column}) > 1)`;
}

function equals({ column, index, values }: Field, literals: readonly FilterLiteral[]): SqlFragment {
  const present = literals.filter((literal) => literal !== null).map(filterValue);
  const conditions: SqlFragment[] =
    present.length < literals.length ? [sql`${column} IS NULL`] : [];
  if (present.length > 0) {
    const list = valueList(present.map(storedValue));
    conditions.push(
      sql`${column} IN ${list}`,
      sql`r.n IN (SELECT row FROM ${values} WHERE filter = ${index} AND value IN ${list})`,
    );
  }
  return joinConditions(conditions, "OR");
}

const SIGNS = { gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function ordered(
  { column, index, values }: Field,
  op: keyof typeof SIGNS,
  literal: string | number | bigint,
): SqlFragment {
  const value = typeof literal === "bigint" ? comparableWhole(literal) : filterValue(literal);
  const compare = (of: SqlFragment): SqlFragment =>
    sql`${of} ${verbatim(SIGNS[op])} ${storedValue(value)} AND ${kindBound(of, typeof value)}`;
  return joinConditions(
    [
      sql`(${compare(column)})`,
      sql`r.n IN (SELECT row FROM ${values} WHERE filter = ${index} AND ${compare(verbatim("value"))})`,
    ],
    "OR",
  );
}

/** Numbers beyond 64 bits are compared as the nearest double, which SQLite orders right. */
function comparableWhole(literal: bigint): number | bigint {
  return BigInt.asIntN(64, literal) === literal ? literal : Number(literal);
}

/** SQLite orders numbers before texts before blobs (sqlite.org/datatype3.html §4.1): stays within a kind. */
function kindBound(of: SqlFragment, kind: string): SqlFragment {
  return kind === "string" ? sql`${of} >= '' AND ${of} < x''` : sql`${of} < ''`;
}

/** A filter, or what holds for every row where there is none. */
export function compileOptionalFilter(
  filter: Filter | undefined,
  columns: FilterColumns,
): SqlFragment {
  return filter === undefined ? SQL_TRUE : compileFilter(filter, columns);
}
