import type { SQLInputValue } from "node:sqlite";

import { StoreError } from "../errors.ts";
import { assembleSql } from "./sql-fragment.ts";
import type { SqlFragmentOf } from "./sql-fragment.ts";

export {
  compileLogic,
  joinConditions,
  negated,
  quoteName,
  SQL_FALSE,
  SQL_TRUE,
  verbatim,
} from "./sql-fragment.ts";
export type { Comparison } from "./sql-fragment.ts";

/** A piece of SQL with the values of its `?`, in order. */
export type SqlFragment = SqlFragmentOf<SQLInputValue>;

// SQLite binds at most 32,766 values (sqlite.org/limits.html, "maximum number of host parameters").
const VALUES_MAX = 32_766;

/** Writes a fragment: fragments in `${}` are put in as they are, anything else is bound. */
export function sql(
  strings: TemplateStringsArray,
  ...parts: readonly (SqlFragment | SQLInputValue)[]
): SqlFragment {
  const fragment = assembleSql(strings, parts, "?");
  if (fragment.values.length > VALUES_MAX) {
    throw new StoreError("limit", `a query compares with at most ${VALUES_MAX} values`);
  }
  return fragment;
}

/** A list of values in brackets, each bound. */
export function valueList(values: readonly SQLInputValue[]): SqlFragment {
  return { text: `(${values.map(() => "?").join(", ")})`, values };
}

/** Quotes a text literal; for what cannot be bound, such as paths in index expressions. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
