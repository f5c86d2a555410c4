import { compilePath, compileSingle, pathSteps } from "./field-path.ts";
import { canonicalJson } from "./json.ts";
import type { ColumnType, Take, ValueExpression } from "./placement.ts";

/** A compiled expression: the record's fields in, one value (or `undefined`) out. */
export type TakeValue = (record: unknown) => unknown;

/** Compiles an expression to a function that takes one value. */
export function compileValue(expression: ValueExpression): TakeValue {
  const take = typeof expression === "string" ? "first" : (expression.take ?? "first");
  const single =
    take === "first" && (typeof expression === "string" || expression.where === undefined)
      ? compileSingle(typeof expression === "string" ? expression : expression.path)
      : undefined;
  if (single !== undefined) return single;
  const list = compileValues(expression);
  return (record) => fold(take, list(record));
}

/** Compiles an expression to a function that lists every value, whatever its `take` says. */
export function compileValues(
  expression: ValueExpression,
): (record: unknown) => readonly unknown[] {
  if (typeof expression === "string") return compilePath(expression);
  const { path, where } = expression;
  if (where === undefined) return compilePath(path);
  return compileWhere(path, where);
}

/** Values beside which a sibling of the same array element equals a literal. */
function compileWhere(
  path: string,
  where: { readonly path: string; readonly equals: string | number | boolean },
): (record: unknown) => readonly unknown[] {
  const shared = sharedArray(path, where.path);
  if (shared === undefined) {
    const condition = compilePath(where.path);
    const values = compilePath(path);
    return (record) => (condition(record).includes(where.equals) ? values(record) : []);
  }
  const elements = compilePath(shared);
  const value =
    path === shared ? (element: unknown) => [element] : compilePath(path.slice(shared.length + 1));
  const holds = compileEquals(where.path.slice(shared.length + 1), where.equals);
  return (record) => {
    const found: unknown[] = [];
    for (const element of elements(record)) {
      if (holds(element)) for (const one of value(element)) found.push(one);
    }
    return found;
  };
}

/** Whether one of the values at a path equals a literal. */
function compileEquals(
  path: string,
  literal: string | number | boolean,
): (element: unknown) => boolean {
  const single = compileSingle(path);
  if (single !== undefined) return (element) => single(element) === literal;
  const list = compilePath(path);
  return (element) => list(element).includes(literal);
}

/** The longest leading part of both paths that ends in an array step. */
function sharedArray(left: string, right: string): string | undefined {
  const other = pathSteps(right);
  let shared = 0;
  for (const [index, step] of pathSteps(left).entries()) {
    const twin = other[index];
    if (twin === undefined || twin.name !== step.name || twin.isEach !== step.isEach) break;
    if (step.isEach) shared = index + 1;
  }
  return shared === 0 ? undefined : left.split(".").slice(0, shared).join(".");
}

function fold(take: Take, values: readonly unknown[]): unknown {
  switch (take) {
    case "first":
      return values[0];
    case "all":
      return values;
    case "count":
      return values.length;
    case "join":
      return values.length === 0 ? undefined : values.map(asText).join("\n");
    case "length":
      return values.reduce<number>((sum, value) => sum + asText(value).length, 0);
    case "min":
      return extreme(values, (a, b) => a < b);
    case "max":
      return extreme(values, (a, b) => a > b);
    case "sum":
      return values.reduce<number>((sum, value) => sum + (asNumber(value) ?? 0), 0);
    case "json":
      return values.length === 0
        ? undefined
        : canonicalJson(values.length === 1 ? values[0] : values);
  }
}

function extreme(values: readonly unknown[], isBetter: (a: number, b: number) => boolean): unknown {
  let best: number | undefined;
  for (const value of values) {
    const number = asNumber(value);
    if (number !== undefined && (best === undefined || isBetter(number, best))) best = number;
  }
  return best;
}

/** A value as text: text itself, anything else as JSON. */
export function asText(value: unknown): string {
  return typeof value === "string" ? value : canonicalJson(value);
}

/** A value as a number: finite numbers, booleans as 0 and 1, `bigint` rounded; else `undefined`. */
export function asNumber(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "bigint" ? Number(value) : undefined;
}

// RFC 3339 §5.6, with the zone, the time or the seconds left out where tools leave them out.
const INSTANT = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/i;
const DAY_LENGTH = 10;

/**
 * An instant as epoch milliseconds: a number is taken as such, text as RFC 3339; else `undefined`.
 *
 * A time without a zone is UTC. `Date.parse` alone would take it as local time, and take other text
 * for a year, so that the same record meant different instants on different machines.
 */
export function asInstantMs(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value !== "string") return undefined;
  const match = INSTANT.exec(value);
  if (match === null) return undefined;
  const isLocal = match[1] === undefined && value.length > DAY_LENGTH;
  const ms = Date.parse(isLocal ? `${value}Z` : value);
  return Number.isNaN(ms) ? undefined : ms;
}

/** What a column may hold once coerced to its type. */
export type ColumnValue =
  | null
  | string
  | number
  | bigint
  | boolean
  | readonly string[]
  | readonly number[];

/**
 * Coerces a taken value to a column's type. What does not fit is `null`: a column is a view of the
 * record for queries, and the record itself keeps the value as it came.
 */
export function coerceColumn(type: ColumnType, value: unknown): ColumnValue {
  if (value === undefined || value === null) return null;
  switch (type) {
    case "text":
      return asText(value);
    case "json":
      return canonicalJson(value);
    case "real":
      return asNumber(value) ?? null;
    case "integer":
      return asWhole(value);
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "timestamp":
      return asInstantMs(value) ?? null;
    case "text[]":
      return Array.isArray(value) ? value.map(asText) : [asText(value)];
    case "vector":
      return Array.isArray(value) && value.every((part) => typeof part === "number") ? value : null;
  }
}

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

function asWhole(value: unknown): number | bigint | null {
  if (typeof value === "bigint") return value >= INT64_MIN && value <= INT64_MAX ? value : null;
  const number = asNumber(value);
  return number === undefined || !Number.isSafeInteger(number) ? null : number;
}
