import type { Filter, FilterLiteral } from "@custody/contract/filter";
import type { ColumnType } from "@custody/contract/placement";
import { asInstantMs } from "@custody/contract/value-expression";

import { doubleLiteral, textLiteral, wholeLiteral } from "../drivers/clickhouse-text.ts";
import { StoreError } from "../errors.ts";
import { isList, OWN_COLUMNS, storedName } from "./clickhouse-layout.ts";
import type { RowTable } from "./clickhouse-layout.ts";

/** A column that may be named, with its SQL and whether a list in it is absent. */
export interface KnownColumn {
  readonly type: ColumnType;
  readonly sql: string;
  /** The condition that the column holds a value. */
  readonly present: string;
}

/** The columns that may be named. */
export type KnownColumns = ReadonlyMap<string, KnownColumn>;

/** Every column of a table by the name that queries use. */
export function knownColumns({ columns }: RowTable): KnownColumns {
  const known = new Map<string, KnownColumn>();
  for (const { name, type } of OWN_COLUMNS) {
    known.set(name, { type, sql: name, present: `${name} IS NOT NULL` });
  }
  for (const [slot, { name, type }] of columns.entries()) {
    const sql = storedName(name);
    const present = isList(type) ? `NOT has(_custody_absent, ${slot})` : `${sql} IS NOT NULL`;
    known.set(name, { type, sql, present });
  }
  return known;
}

/** Finds a column. @throws StoreError `refused` when there is none of that name. */
export function requireColumn(columns: KnownColumns, name: string): KnownColumn {
  const column = columns.get(name);
  if (column !== undefined) return column;
  throw new StoreError("refused", `there is no column ${JSON.stringify(name)}`);
}

/** Compiles a filter over columns to a condition that is true or false, never null. */
export function filterSql(filter: Filter, columns: KnownColumns): string {
  const below = (inner: Filter): string => filterSql(inner, columns);
  switch (filter.op) {
    case "and":
      return joined("AND", filter.filters.map(below));
    case "or":
      return joined("OR", filter.filters.map(below));
    case "nor":
      return `NOT ${joined("OR", filter.filters.map(below))}`;
    case "not":
      return `NOT ${below(filter.filter)}`;
    case "elemMatch":
      throw new StoreError("refused", "columns hold no objects for $elemMatch");
    case "eq":
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return comparison(filter.op, filter.value, requireColumn(columns, filter.path));
    case "ne":
      return `NOT ${below({ ...filter, op: "eq" })}`;
    case "in":
      return joined(
        "OR",
        filter.values.map((value) => below(equal(filter.path, value))),
      );
    case "nin":
      return `NOT ${below({ ...filter, op: "in" })}`;
    case "all":
      return joined(
        "AND",
        filter.values.map((value) => below(equal(filter.path, value))),
      );
    case "exists": {
      const { present } = requireColumn(columns, filter.path);
      return filter.value ? `(${present})` : `(NOT (${present}))`;
    }
    case "size": {
      const { type, sql, present } = requireColumn(columns, filter.path);
      return isList(type) ? `(${present} AND length(${sql}) = ${filter.value})` : "false";
    }
  }
}

function equal(path: string, value: FilterLiteral): Filter {
  return { op: "eq", path, value };
}

function joined(operator: "AND" | "OR", conditions: readonly string[]): string {
  if (conditions.length === 0) return operator === "AND" ? "true" : "false";
  return `(${conditions.join(` ${operator} `)})`;
}

const OPERATORS = { eq: "=", gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;
type Operator = keyof typeof OPERATORS;

function comparison(
  op: Operator,
  value: FilterLiteral,
  { type, sql, present }: KnownColumn,
): string {
  if (value === null) return `(NOT (${present}))`;
  const kind = type === "vector" ? "real" : type === "text[]" ? "text" : type;
  const bound = literal(kind, op, value);
  if (bound === undefined) return "false";
  const part = kind === "timestamp" ? `toUnixTimestamp64Milli(${sql})` : sql;
  return isList(type)
    ? `arrayExists(part -> part ${OPERATORS[op]} ${bound}, ${sql})`
    : `ifNull(${part} ${OPERATORS[op]} ${bound}, false)`;
}

/** The literal as the column's kind compares it; `undefined` where kinds differ, which matches nothing. */
function literal(
  kind: ColumnType,
  op: Operator,
  value: string | number | bigint | boolean,
): string | undefined {
  if (kind === "timestamp") return instant(op, value);
  if (kind === "boolean") return typeof value === "boolean" ? String(value) : undefined;
  if (kind === "text" || kind === "json") {
    return typeof value === "string" ? textLiteral(value.toWellFormed()) : undefined;
  }
  if (typeof value !== "number" && typeof value !== "bigint") return undefined;
  if (kind === "integer" && Number.isInteger(Number(value))) return wholeNumber(BigInt(value));
  return doubleLiteral(Number(value));
}

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

// ClickHouse compares integers with doubles exactly, so that what lies beyond 64 bits may be rounded.
function wholeNumber(value: bigint): string {
  const isInRange = value <= INT64_MAX && value >= INT64_MIN;
  return isInRange ? wholeLiteral(value) : doubleLiteral(Number(value));
}

const INSTANT_MAX = 8.64e15;

/** Columns hold whole milliseconds, so that a fraction is rounded to the side that means the same. */
function instant(op: Operator, value: string | number | bigint | boolean): string | undefined {
  const ms = asInstantMs(typeof value === "bigint" ? Number(value) : value);
  if (ms === undefined || (op === "eq" && !Number.isInteger(ms))) return undefined;
  const whole = op === "gte" || op === "lt" ? Math.ceil(ms) : Math.floor(ms);
  return wholeLiteral(Math.max(-INSTANT_MAX, Math.min(INSTANT_MAX, whole)));
}
