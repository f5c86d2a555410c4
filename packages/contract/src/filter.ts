import { ContractError } from "./errors.ts";
import { canonicalJson } from "./json.ts";

/** What a field can be compared with. */
export type FilterLiteral = string | number | bigint | boolean | null;

/**
 * A checked filter. Paths are dotted and step through arrays by themselves, as in MongoDB: a
 * comparison holds when the value, or one element of an array value, meets it.
 */
export type Filter =
  | { readonly op: "and" | "or" | "nor"; readonly filters: readonly Filter[] }
  | { readonly op: "not"; readonly filter: Filter }
  | { readonly op: "eq" | "ne"; readonly path: string; readonly value: FilterLiteral }
  | {
      readonly op: "gt" | "gte" | "lt" | "lte";
      readonly path: string;
      readonly value: string | number | bigint;
    }
  | {
      readonly op: "in" | "nin" | "all";
      readonly path: string;
      readonly values: readonly FilterLiteral[];
    }
  | { readonly op: "exists"; readonly path: string; readonly value: boolean }
  | { readonly op: "size"; readonly path: string; readonly value: number }
  | { readonly op: "elemMatch"; readonly path: string; readonly filter: Filter };

/** The operators `find` knows; anything else is refused by name. */
export const FILTER_OPERATORS = [
  "$and",
  "$or",
  "$nor",
  "$not",
  "$eq",
  "$ne",
  "$gt",
  "$gte",
  "$lt",
  "$lte",
  "$in",
  "$nin",
  "$all",
  "$exists",
  "$size",
  "$elemMatch",
] as const;

/** Deeper nesting is refused: it would only serve to exhaust an engine's parser. */
export const FILTER_DEPTH_MAX = 16;
/** More literals in one list are refused; SQLite binds 32,766 at most (sqlite.org/limits.html). */
export const FILTER_VALUES_MAX = 1_000;

/**
 * Checks a Mongo-style filter and turns it into its tree.
 *
 * @throws ContractError `invalid-filter` naming the operator or the value that is not allowed.
 */
export function parseFilter(filter: unknown, depth = 0): Filter {
  if (depth > FILTER_DEPTH_MAX) refuse(`a filter nests at most ${FILTER_DEPTH_MAX} levels`);
  if (!isObject(filter)) refuse(`a filter is an object, not ${describe(filter)}`);
  const filters: Filter[] = [];
  for (const [name, value] of Object.entries(filter)) {
    if (!name.startsWith("$")) filters.push(parseField(name, value, depth));
    else if (name === "$and" || name === "$or" || name === "$nor") {
      filters.push({ op: LOGICAL[name], filters: parseList(name, value, depth) });
    } else refuse(`unknown operator ${name} at the top of a filter; known: $and, $or, $nor`);
  }
  return filters.length === 1 && filters[0] !== undefined ? filters[0] : { op: "and", filters };
}

const LOGICAL = { $and: "and", $or: "or", $nor: "nor" } as const;
const COMPARISON = { $gt: "gt", $gte: "gte", $lt: "lt", $lte: "lte" } as const;
const LISTS = { $in: "in", $nin: "nin", $all: "all" } as const;

function parseList(name: string, value: unknown, depth: number): Filter[] {
  if (!Array.isArray(value) || value.length === 0) refuse(`${name} takes a list of filters`);
  return (value as unknown[]).map((one) => parseFilter(one, depth + 1));
}

function parseField(path: string, condition: unknown, depth: number): Filter {
  if (depth > FILTER_DEPTH_MAX) refuse(`a filter nests at most ${FILTER_DEPTH_MAX} levels`);
  checkPath(path);
  if (!isObject(condition) || !Object.keys(condition).some((name) => name.startsWith("$"))) {
    return { op: "eq", path, value: literal(path, condition) };
  }
  const filters = Object.entries(condition).map(([name, value]) =>
    parseOperator(path, name, value, depth),
  );
  return filters.length === 1 && filters[0] !== undefined ? filters[0] : { op: "and", filters };
}

function parseOperator(path: string, name: string, value: unknown, depth: number): Filter {
  switch (name) {
    case "$eq":
    case "$ne":
      return { op: name === "$eq" ? "eq" : "ne", path, value: literal(path, value) };
    case "$gt":
    case "$gte":
    case "$lt":
    case "$lte":
      return { op: COMPARISON[name], path, value: ordered(name, value) };
    case "$in":
    case "$nin":
    case "$all":
      return { op: LISTS[name], path, values: literals(name, path, value) };
    case "$exists":
      if (typeof value !== "boolean") refuse("$exists takes true or false");
      return { op: "exists", path, value: value as boolean };
    case "$size":
      if (!Number.isSafeInteger(value) || (value as number) < 0)
        refuse("$size takes a whole number");
      return { op: "size", path, value: value as number };
    case "$not":
      return { op: "not", filter: parseField(path, value, depth + 1) };
    case "$elemMatch":
      return { op: "elemMatch", path, filter: parseFilter(value, depth + 1) };
    default:
      return refuse(`unknown operator ${name} on ${path}; known: ${FILTER_OPERATORS.join(", ")}`);
  }
}

function checkPath(path: string): void {
  if (path === "" || path.length > 512 || path.includes("\0")) {
    refuse("a field path is 1 to 512 characters without NUL");
  }
}

function literal(path: string, value: unknown): FilterLiteral {
  if (value === null || ["string", "number", "bigint", "boolean"].includes(typeof value)) {
    return value as FilterLiteral;
  }
  return refuse(
    `${path} can be compared with text, a number, true, false or null, not ${describe(value)}`,
  );
}

function ordered(name: string, value: unknown): string | number | bigint {
  if (typeof value === "string" || typeof value === "number" || typeof value === "bigint")
    return value;
  return refuse(`${name} takes text or a number, not ${describe(value)}`);
}

function literals(name: string, path: string, value: unknown): FilterLiteral[] {
  if (!Array.isArray(value)) refuse(`${name} takes a list`);
  const list = value as unknown[];
  if (list.length > FILTER_VALUES_MAX) refuse(`${name} takes at most ${FILTER_VALUES_MAX} values`);
  return list.map((one) => literal(path, one));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Containers are not written out: a deep one would exhaust the stack. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return isObject(value) ? "an object" : canonicalJson(value).slice(0, 60);
}

function refuse(reason: string): never {
  throw new ContractError("invalid-filter", reason);
}
