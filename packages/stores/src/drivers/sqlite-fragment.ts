import type { SQLInputValue } from "node:sqlite";

import type { Filter } from "@custody/contract/filter";

import { StoreError } from "../errors.ts";

/** A piece of SQL with the values of its `?`, in order. */
export interface SqlFragment {
  readonly text: string;
  readonly values: readonly SQLInputValue[];
}

/** SQL that holds whatever is asked. */
export const SQL_TRUE: SqlFragment = { text: "1", values: [] };
/** SQL that never holds. */
export const SQL_FALSE: SqlFragment = { text: "0", values: [] };

// SQLite binds at most 32,766 values (sqlite.org/limits.html, "maximum number of host parameters").
const VALUES_MAX = 32_766;

/** Writes a fragment: fragments in `${}` are put in as they are, anything else is bound. */
export function sql(
  strings: TemplateStringsArray,
  ...parts: readonly (SqlFragment | SQLInputValue)[]
): SqlFragment {
  let text = strings[0] ?? "";
  const values: SQLInputValue[] = [];
  for (const [index, part] of parts.entries()) {
    if (isFragment(part)) {
      text += part.text;
      for (const value of part.values) values.push(value);
    } else {
      text += "?";
      values.push(part);
    }
    text += strings[index + 1] ?? "";
  }
  if (values.length > VALUES_MAX) {
    throw new StoreError("limit", `a query compares with at most ${VALUES_MAX} values`);
  }
  return { text, values };
}

/** SQL text that is known when the program is written, or made of quoted names. */
export function verbatim(text: string): SqlFragment {
  return { text, values: [] };
}

/**
 * Joins conditions. Bracketed in halves, as a chain of a thousand would be too deep for SQLite's
 * expression trees (sqlite.org/limits.html).
 */
export function joinConditions(
  conditions: readonly SqlFragment[],
  operator: "AND" | "OR",
): SqlFragment {
  const [first] = conditions;
  if (first === undefined) return operator === "AND" ? SQL_TRUE : SQL_FALSE;
  if (conditions.length === 1) return first;
  const half = conditions.length >> 1;
  const left = joinConditions(conditions.slice(0, half), operator);
  const right = joinConditions(conditions.slice(half), operator);
  return sql`(${left} ${verbatim(operator)} ${right})`;
}

/** A filter that compares, rather than joining other filters. */
export type Comparison = Exclude<Filter, { readonly op: "and" | "or" | "nor" | "not" }>;

/** Compiles the logic of a filter; each comparison in it as the caller says. */
export function compileLogic(
  filter: Filter,
  compare: (comparison: Comparison) => SqlFragment,
): SqlFragment {
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
export function negated(condition: SqlFragment): SqlFragment {
  return sql`(${condition}) IS NOT TRUE`;
}

/** A list of values in brackets, each bound. */
export function valueList(values: readonly SQLInputValue[]): SqlFragment {
  return { text: `(${values.map(() => "?").join(", ")})`, values };
}

/** Quotes a name, so that any text without NUL can be one. */
export function quoteName(name: string): string {
  if (name.includes("\0")) throw new StoreError("refused", "a name cannot hold NUL");
  return `"${name.replaceAll('"', '""')}"`;
}

/** Quotes a text literal; for what cannot be bound, such as paths in index expressions. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function isFragment(part: SqlFragment | SQLInputValue): part is SqlFragment {
  return typeof part === "object" && part !== null && "text" in part;
}
