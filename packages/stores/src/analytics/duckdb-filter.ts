import type { Filter, FilterLiteral } from "@custody/contract/filter";
import { asInstantMs } from "@custody/contract/value-expression";
import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  DuckDBTimestampValue,
  HUGEINT,
  TIMESTAMP,
  VARCHAR,
} from "../drivers/duckdb-values.ts";
import type { DuckDBType, DuckDBValue } from "@duckdb/node-api";

import type { PackedKind } from "../drivers/duckdb-columns.ts";
import { quoteName } from "../drivers/duckdb.ts";
import { StoreError } from "../errors.ts";

/** The columns that may be named, with how they are stored. */
export type KnownColumns = ReadonlyMap<string, PackedKind>;

/** Parameters of a statement being built: text of a request reaches DuckDB only through these. */
export class DuckdbParameters {
  readonly values: DuckDBValue[] = [];
  readonly types: DuckDBType[] = [];

  /** Adds a value and answers its placeholder. */
  add(value: DuckDBValue, type: DuckDBType): string {
    this.values.push(value);
    this.types.push(type);
    return `$${this.values.length}`;
  }
}

/** The stored kind of a column. @throws StoreError `refused` when there is none of that name. */
export function requireKind(columns: KnownColumns, name: string): PackedKind {
  const kind = columns.get(name);
  if (kind !== undefined) return kind;
  throw new StoreError("refused", `there is no column ${JSON.stringify(name)}`);
}

/** Compiles a filter over columns to a condition that is true or false, never null. */
export function filterSql(filter: Filter, columns: KnownColumns, into: DuckdbParameters): string {
  const below = (inner: Filter): string => filterSql(inner, columns, into);
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
    case "lte": {
      const { op, path, value } = filter;
      return comparison({ op, path, value }, requireKind(columns, path), into);
    }
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
    case "exists":
      requireKind(columns, filter.path);
      return `(${quoteName(filter.path)} IS ${filter.value ? "NOT " : ""}NULL)`;
    case "size":
      return isList(requireKind(columns, filter.path))
        ? sure(`len(${quoteName(filter.path)}) = ${into.add(BigInt(filter.value), BIGINT)}`)
        : "false";
  }
}

function equal(path: string, value: FilterLiteral): Filter {
  return { op: "eq", path, value };
}

function isList(kind: PackedKind): boolean {
  return kind === "text[]" || kind === "vector";
}

// A condition is false where SQL would say null, so that NOT turns it round as Mongo's $not does.
function sure(condition: string): string {
  return `coalesce(${condition}, false)`;
}

// DuckDB refuses expressions deeper than 1,000 (max_expression_depth), and a row of ORs is as deep as
// it is long: groups of groups stay flat.
const GROUP = 32;

function joined(operator: "AND" | "OR", conditions: readonly string[]): string {
  if (conditions.length === 0) return operator === "AND" ? "true" : "false";
  let level = conditions;
  do {
    const groups: string[] = [];
    for (let start = 0; start < level.length; start += GROUP) {
      groups.push(`(${level.slice(start, start + GROUP).join(` ${operator} `)})`);
    }
    level = groups;
  } while (level.length > 1);
  return level[0] ?? "true";
}

interface Comparison {
  readonly op: keyof typeof OPERATORS;
  readonly path: string;
  readonly value: FilterLiteral;
}

const OPERATORS = { eq: "=", gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function comparison(
  { op, path, value }: Comparison,
  kind: PackedKind,
  into: DuckdbParameters,
): string {
  const column = quoteName(path);
  if (value === null) return `(${column} IS NULL)`;
  if (isList(kind)) {
    const bound = literal(kind === "vector" ? "real" : "text", op, value);
    if (bound === undefined) return "false";
    const placeholder = into.add(bound.value, bound.type);
    return sure(
      `len(list_filter(${column}, lambda part: part ${OPERATORS[op]} ${placeholder})) > 0`,
    );
  }
  const bound = literal(kind, op, value);
  if (bound === undefined) return "false";
  return sure(`${column} ${OPERATORS[op]} ${into.add(bound.value, bound.type)}`);
}

interface Bound {
  readonly value: DuckDBValue;
  readonly type: DuckDBType;
}

/** The literal as the column's kind compares it; `undefined` where kinds differ, which matches nothing. */
function literal(
  kind: PackedKind,
  op: Comparison["op"],
  value: string | number | bigint | boolean,
): Bound | undefined {
  if (kind === "timestamp") return instant(op, value);
  if (kind === "boolean") {
    return typeof value === "boolean" ? { value, type: BOOLEAN } : undefined;
  }
  if (kind === "text") return typeof value === "string" ? { value, type: VARCHAR } : undefined;
  if (typeof value !== "number" && typeof value !== "bigint") return undefined;
  if (kind === "integer" && Number.isInteger(Number(value))) return wholeNumber(value);
  return { value: Number(value), type: DOUBLE };
}

const INT128_MAX = 2n ** 127n - 1n;

function wholeNumber(value: number | bigint): Bound {
  const whole = BigInt(value);
  if (whole > INT128_MAX || whole < -INT128_MAX) return { value: Number(value), type: DOUBLE };
  return { value: whole, type: HUGEINT };
}

const INSTANT_MAX = 8.64e15;

/** Columns hold whole milliseconds, so that a fraction is rounded to the side that means the same. */
function instant(
  op: Comparison["op"],
  value: string | number | bigint | boolean,
): Bound | undefined {
  const ms = asInstantMs(typeof value === "bigint" ? Number(value) : value);
  if (ms === undefined || (op === "eq" && !Number.isInteger(ms))) return undefined;
  const whole = op === "gte" || op === "lt" ? Math.ceil(ms) : Math.floor(ms);
  const inRange = Math.max(-INSTANT_MAX, Math.min(INSTANT_MAX, whole));
  return { value: new DuckDBTimestampValue(BigInt(inRange) * 1000n), type: TIMESTAMP };
}
