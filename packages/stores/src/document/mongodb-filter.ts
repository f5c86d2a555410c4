import type { Document } from "mongodb";

import type { Filter, FilterLiteral } from "@custody/contract/filter";

import type { MongoQuery, MongoServer } from "../drivers/mongodb.ts";
import { storedName } from "./mongodb-record.ts";
import { comparable, pathNames } from "./path-values.ts";

/** A filter in MongoDB's language. */
export interface CompiledFilter {
  readonly query: MongoQuery;
  /** False where documents may be found that do not meet the filter: the caller looks at each. */
  readonly isExact: boolean;
}

/** What a server of MongoDB's protocol can be asked. */
export type FilterCapabilities = Pick<MongoServer, "isFaithful">;

const EVERYTHING: MongoQuery = {};
/** Whatever it is asked of, none of no values is met. */
const NOTHING: MongoQuery = { _id: { $in: [] } };

/** Compiles a filter on records that lie under `record`. */
export function compileFilter(filter: Filter, capabilities: FilterCapabilities): CompiledFilter {
  return compile(filter, { prefix: "record.", isNegated: false, ...capabilities });
}

interface Context extends FilterCapabilities {
  readonly prefix: string;
  /** Below a negation what finds too much would leave out too much. */
  readonly isNegated: boolean;
}

function compile(filter: Filter, context: Context): CompiledFilter {
  switch (filter.op) {
    case "and":
      return join("$and", filter.filters, context);
    case "or":
      return join("$or", filter.filters, context);
    case "nor":
      return negate(join("$or", filter.filters, turned(context)));
    case "not":
      return negate(compile(filter.filter, turned(context)));
    case "elemMatch":
      return compileElemMatch(filter, context);
    default:
      return compileComparison(filter, context);
  }
}

function turned(context: Context): Context {
  return { ...context, isNegated: !context.isNegated };
}

function join(
  operator: "$and" | "$or",
  filters: readonly Filter[],
  context: Context,
): CompiledFilter {
  const parts = filters.map((one) => compile(one, context));
  const isExact = parts.every((part) => part.isExact);
  const [only] = parts;
  if (only === undefined) return { query: operator === "$and" ? EVERYTHING : NOTHING, isExact };
  if (parts.length === 1) return only;
  return { query: { [operator]: parts.map(({ query }) => query) }, isExact };
}

function negate({ query, isExact }: CompiledFilter): CompiledFilter {
  return { query: { $nor: [query] }, isExact };
}

function compileElemMatch(
  { path, filter }: Extract<Filter, { readonly op: "elemMatch" }>,
  context: Context,
): CompiledFilter {
  const field = fieldOf(path, context);
  if (!context.isFaithful) return tooMuch({ [field]: { $exists: true } }, context);
  const within = compile(filter, { ...context, prefix: "" });
  return { query: { [field]: { $elemMatch: within.query } }, isExact: within.isExact };
}

function compileComparison(filter: Comparison, context: Context): CompiledFilter {
  const query = compare(filter, fieldOf(filter.path, context));
  if (context.isFaithful || !asksForAbsence(filter)) return { query, isExact: true };
  // Here the server finds too little.
  const isNegation =
    filter.op === "ne" || filter.op === "nin" || (filter.op === "exists" && !filter.value);
  return tooMuch(isNegation ? EVERYTHING : query, context);
}

/** Finds too much, and each row is looked at; below a negation nothing may be left out. */
function tooMuch(query: MongoQuery, { isNegated }: Context): CompiledFilter {
  return { query: isNegated ? NOTHING : query, isExact: false };
}

/** Whether the answer depends on what is absent below the first member. */
function asksForAbsence(filter: Comparison): boolean {
  if (pathNames(filter.path).length === 1) return false;
  if ("values" in filter) return filter.values.includes(null);
  return filter.op === "exists" || filter.value === null;
}

type Comparison = Exclude<Filter, { readonly op: "and" | "or" | "nor" | "not" | "elemMatch" }>;

function compare(filter: Comparison, field: string): MongoQuery {
  const one = (condition: Document): MongoQuery => ({ [field]: condition });
  switch (filter.op) {
    case "eq":
      return one({ $eq: literal(filter.value) });
    case "ne":
      return { $nor: [one({ $eq: literal(filter.value) })] };
    case "in":
      return among(filter.values, one);
    case "nin":
      return { $nor: [among(filter.values, one)] };
    case "all":
      return filter.values.length === 0
        ? NOTHING
        : { $and: filter.values.map((value) => one({ $eq: literal(value) })) };
    case "exists":
      return one({ $exists: filter.value });
    case "size":
      return one({ $size: filter.value });
    default:
      return one({ [`$${filter.op}`]: literal(filter.value) });
  }
}

function among(
  values: readonly FilterLiteral[],
  one: (condition: Document) => MongoQuery,
): MongoQuery {
  return values.length === 0 ? NOTHING : one({ $in: values.map(literal) });
}

function literal(value: FilterLiteral): FilterLiteral {
  return typeof value === "bigint" ? comparable(value) : value;
}

function fieldOf(path: string, { prefix }: Context): string {
  return prefix + pathNames(path).map(storedName).join(".");
}
