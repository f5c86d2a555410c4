import type { Filter, FilterLiteral } from "@custody/contract/filter";

import { StoreError } from "../errors.ts";
import { filterValue } from "./content.ts";
import type { OpensearchQuery } from "./opensearch-match.ts";
import { COMPARED_LENGTH_MAX, comparedKey, KINDS } from "./opensearch-row.ts";

type Comparison = Exclude<Filter, { readonly op: "and" | "or" | "nor" | "not" }>;

const ALWAYS: OpensearchQuery = { match_all: {} };
const NEVER: OpensearchQuery = { match_none: {} };

/** Compiles a filter whose paths are filter names. @throws StoreError `refused` for an unknown one. */
export function compileFilter(filter: Filter, names: readonly string[]): OpensearchQuery {
  switch (filter.op) {
    case "and":
      return filter.filters.length === 0 ? ALWAYS : { bool: { filter: compileAll(filter, names) } };
    case "or":
      return either(compileAll(filter, names));
    case "nor":
      return { bool: { must_not: compileAll(filter, names) } };
    case "not":
      return not(compileFilter(filter.filter, names));
    default:
      return compare(filter, positionOf(filter.path, names));
  }
}

function compileAll(
  { filters }: { readonly filters: readonly Filter[] },
  names: readonly string[],
): readonly OpensearchQuery[] {
  return filters.map((part) => compileFilter(part, names));
}

function positionOf(path: string, names: readonly string[]): number {
  const position = names.indexOf(path);
  if (position >= 0) return position;
  throw new StoreError("refused", `the search has no filter ${JSON.stringify(path)}`);
}

function compare(filter: Comparison, position: number): OpensearchQuery {
  const field = `f${position}`;
  switch (filter.op) {
    case "eq":
      return equals(field, [filter.value]);
    case "ne":
      return not(equals(field, [filter.value]));
    case "in":
      return equals(field, filter.values);
    case "nin":
      return not(equals(field, filter.values));
    case "all":
      return filter.values.length === 0
        ? NEVER
        : { bool: { filter: filter.values.map((value) => equals(field, [value])) } };
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return ordered(field, filter.op, filter.value);
    case "exists":
      return filter.value ? exists(field) : not(exists(field));
    case "size":
      return sized(position, filter.value);
    case "elemMatch":
      throw new StoreError(
        "refused",
        "search filters hold plain values: $elemMatch has no meaning",
      );
  }
}

function exists(field: string): OpensearchQuery {
  return { exists: { field } };
}

function not(query: OpensearchQuery): OpensearchQuery {
  return { bool: { must_not: [query] } };
}

function either(queries: readonly OpensearchQuery[]): OpensearchQuery {
  return { bool: { should: queries, minimum_should_match: 1 } };
}

function equals(field: string, literals: readonly FilterLiteral[]): OpensearchQuery {
  const present = literals.filter((literal) => literal !== null).map(filterValue);
  const conditions: OpensearchQuery[] =
    present.length < literals.length ? [not(exists(field))] : [];
  if (present.length > 0) conditions.push({ terms: { [field]: present.map(comparedKey) } });
  return conditions.length === 0 ? NEVER : either(conditions);
}

function ordered(
  field: string,
  op: "gt" | "gte" | "lt" | "lte",
  literal: string | number | bigint,
): OpensearchQuery {
  const value = typeof literal === "bigint" ? comparableWhole(literal) : filterValue(literal);
  if (typeof value === "string" && value.length > COMPARED_LENGTH_MAX) {
    throw new StoreError("limit", `texts are ordered by ${COMPARED_LENGTH_MAX} characters at most`);
  }
  const { first, end } = KINDS[typeof value === "string" ? "string" : "number"];
  const rest = op === "gt" || op === "gte" ? { lt: end } : { gte: first };
  return { range: { [field]: { [op]: comparedKey(value), ...rest } } };
}

/** Numbers beyond 64 bits are compared as the nearest double. */
function comparableWhole(literal: bigint): number | bigint {
  return BigInt.asIntN(64, literal) === literal ? literal : Number(literal);
}

function sized(position: number, size: number): OpensearchQuery {
  if (size === 0) return not(exists(`f${position}`));
  if (size > 1) return { term: { [`n${position}`]: { value: size } } };
  return { bool: { filter: [exists(`f${position}`)], must_not: [exists(`n${position}`)] } };
}
