import type { Filter } from "@custody/contract/filter";

import { StoreError } from "../errors.ts";

/** A piece of SQL with the values that are bound in it, in order; each dialect marks their places. */
export interface SqlFragmentOf<Value> {
  readonly text: string;
  readonly values: readonly Value[];
}

/** SQL that holds whatever is asked. */
export const SQL_TRUE: SqlFragmentOf<never> = { text: "TRUE", values: [] };
/** SQL that never holds. */
export const SQL_FALSE: SqlFragmentOf<never> = { text: "FALSE", values: [] };

/** SQL text that is known when the program is written, or made of quoted names. */
export function verbatim(text: string): SqlFragmentOf<never> {
  return { text, values: [] };
}

/** Puts a fragment together: fragments as they are, anything else bound at `place`. */
export function assembleSql<Value>(
  strings: TemplateStringsArray,
  parts: readonly (SqlFragmentOf<Value> | Value)[],
  place: string,
): SqlFragmentOf<Value> {
  let text = strings[0] ?? "";
  const values: Value[] = [];
  for (const [index, part] of parts.entries()) {
    if (isFragment(part)) {
      text += part.text;
      for (const value of part.values) values.push(value);
    } else {
      text += place;
      values.push(part);
    }
    text += strings[index + 1] ?? "";
  }
  return { text, values };
}

/**
 * Joins conditions. Bracketed in halves, as a chain of a thousand would be too deep for SQLite's
 * expression trees (sqlite.org/limits.html).
 */
export function joinConditions<Value>(
  conditions: readonly SqlFragmentOf<Value>[],
  operator: "AND" | "OR",
): SqlFragmentOf<Value> {
  const [first] = conditions;
  if (first === undefined) return operator === "AND" ? SQL_TRUE : SQL_FALSE;
  if (conditions.length === 1) return first;
  const half = conditions.length >> 1;
  const left = joinConditions(conditions.slice(0, half), operator);
  const right = joinConditions(conditions.slice(half), operator);
  return {
    text: `(${left.text} ${operator} ${right.text})`,
    values: [...left.values, ...right.values],
  };
}

/** A filter that compares, rather than joining other filters. */
export type Comparison = Exclude<Filter, { readonly op: "and" | "or" | "nor" | "not" }>;

/** Compiles the logic of a filter; each comparison in it as the caller says. */
export function compileLogic<Value>(
  filter: Filter,
  compare: (comparison: Comparison) => SqlFragmentOf<Value>,
): SqlFragmentOf<Value> {
  switch (filter.op) {
    case "and":
    case "or":
    case "nor": {
      const parts = filter.filters.map((part) => compileLogic(part, compare));
      const joined = joinConditions(parts, filter.op === "and" ? "AND" : "OR");
      return filter.op === "nor" ? negated(joined) : joined;
    }
    case "not":
      return negated(compileLogic(filter.filter, compare));
    default:
      return compare(filter);
  }
}

/** Turns a condition of three values round as one of two: it holds where the given one is false or unknown. */
export function negated<Value>({ text, values }: SqlFragmentOf<Value>): SqlFragmentOf<Value> {
  return { text: `(${text}) IS NOT TRUE`, values };
}

/** Quotes a name, so that any text without NUL can be one. */
export function quoteName(name: string): string {
  if (name.includes("\0")) throw new StoreError("refused", "a name cannot hold NUL");
  return `"${name.replaceAll('"', '""')}"`;
}

function isFragment<Value>(part: SqlFragmentOf<Value> | Value): part is SqlFragmentOf<Value> {
  return typeof part === "object" && part !== null && "text" in part && "values" in part;
}
