import type { Document } from "mongodb";

import type { Filter, FilterLiteral } from "@custody/contract/filter";

import type { MongoQuery } from "../drivers/mongodb.ts";
import { NESTED, storedName } from "./mongodb-record.ts";
import { pathNames } from "./path-values.ts";

/** A filter in MongoDB's language. */
export interface CompiledFilter {
  readonly query: MongoQuery;
  /** False where documents may be found that do not meet the filter: the caller looks at each. */
  readonly isExact: boolean;
}

/** What a server of MongoDB's protocol can be asked. */
export interface FilterCapabilities {
  /**
   * `$elemMatch` with conditions on members. FerretDB 1 knows it for plain values alone, and
   * mongo-java-server fails on it where an element is a text.
   */
  readonly hasElemMatch: boolean;
}

const EVERYTHING: MongoQuery = {};
/** No row has a sequence below 0. */
const NOTHING: MongoQuery = { sequence: { $lt: -1 } };

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
      return { query: compare(filter, fieldOf(filter.path, context)), isExact: true };
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
  if (!context.hasElemMatch) {
    // Found too much, and looked at here; below a negation nothing may be left out.
    return { query: context.isNegated ? NOTHING : { [field]: { $exists: true } }, isExact: false };
  }
  const within = compile(filter, { ...context, prefix: "" });
  // An array within the array lies as an object, which a filter on absent members would meet.
  const query = { [field]: { $elemMatch: { ...IS_OBJECT, ...within.query } } };
  return { query, isExact: within.isExact };
}

const IS_OBJECT: MongoQuery = { [NESTED]: { $exists: false } };

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

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** Integers beyond 64 bits are compared as doubles, as they are stored. */
function literal(value: FilterLiteral): FilterLiteral {
  if (typeof value !== "bigint") return value;
  return value > INT64_MAX || value < INT64_MIN ? Number(value) : value;
}

function fieldOf(path: string, { prefix }: Context): string {
  return prefix + pathNames(path).map(storedName).join(".");
}
