import type { SQLInputValue } from "node:sqlite";

import type { FilterLiteral } from "@custody/contract/filter";

import { SQL_FALSE, joinConditions, sql, valueList, verbatim } from "../drivers/sqlite-fragment.ts";
import type { SqlFragment } from "../drivers/sqlite-fragment.ts";

/** What a value must be: one of some literals, or beyond a bound of its own kind. */
export type Comparison =
  | { readonly literals: readonly FilterLiteral[] }
  | { readonly sign: ">" | ">=" | "<" | "<="; readonly bound: string | number | bigint };

/** Whether a missing value meets the comparison too. */
export function meetsAbsent(comparison: Comparison): boolean {
  return "literals" in comparison && comparison.literals.includes(null);
}

const NUMBER_TYPES = verbatim("('integer', 'real')");

/** A comparison of a JSON value of which the type and the SQL value are known. */
export function compareTyped(
  comparison: Comparison,
  type: SqlFragment,
  atom: SqlFragment,
): SqlFragment {
  if ("bound" in comparison) {
    const { bound } = comparison;
    const sign = verbatim(comparison.sign);
    return typeof bound === "string"
      ? sql`(${type} = 'text' AND ${atom} ${sign} ${bound})`
      : sql`(${type} IN ${NUMBER_TYPES} AND ${atom} ${sign} ${literalKey(bound)})`;
  }
  const { literals } = comparison;
  const texts = literals.filter((value) => typeof value === "string");
  const numbers = literals.filter(
    (value) => typeof value === "number" || typeof value === "bigint",
  );
  const conditions: SqlFragment[] = [];
  if (texts.length > 0) conditions.push(sql`(${type} = 'text' AND ${atom} IN ${valueList(texts)})`);
  if (numbers.length > 0) {
    const list = valueList(numbers.map(literalKey));
    conditions.push(sql`(${type} IN ${NUMBER_TYPES} AND ${atom} IN ${list})`);
  }
  if (literals.includes(true)) conditions.push(sql`${type} = 'true'`);
  if (literals.includes(false)) conditions.push(sql`${type} = 'false'`);
  if (literals.includes(null)) conditions.push(sql`(${type} = 'null' OR ${type} IS NULL)`);
  return joinConditions(conditions, "OR");
}

/** The same comparison of a key as `scalarKey` makes it, in a form that an index serves. */
export function compareKey(comparison: Comparison, key: SqlFragment): SqlFragment {
  if ("bound" in comparison) return compareBound(comparison, key);
  const { literals } = comparison;
  const keys = literals.filter((value) => value !== null).map(literalKey);
  const [only] = keys;
  const conditions: SqlFragment[] = [];
  if (keys.length === 1 && only !== undefined) conditions.push(sql`${key} = ${only}`);
  else if (keys.length > 1) conditions.push(sql`${key} IN ${valueList(keys)}`);
  if (literals.includes(null)) conditions.push(sql`${key} IS NULL`);
  return conditions.length === 0 ? SQL_FALSE : joinConditions(conditions, "OR");
}

/** Numbers sort before every text, and texts before every blob. */
function compareBound(
  { sign, bound }: Extract<Comparison, { readonly sign: string }>,
  key: SqlFragment,
): SqlFragment {
  const beyond = sql`${key} ${verbatim(sign)} ${literalKey(bound)}`;
  const isText = typeof bound === "string";
  if (sign === ">" || sign === ">=") {
    return isText ? sql`(${beyond} AND ${key} < x'')` : sql`(${beyond} AND ${key} < '')`;
  }
  return isText ? sql`(${beyond} AND ${key} >= '')` : beyond;
}

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** The key of a literal; whole numbers beyond 64 bits are compared as doubles, as SQLite reads them. */
function literalKey(value: FilterLiteral): SQLInputValue {
  if (typeof value === "boolean") return Uint8Array.of(value ? 1 : 0);
  if (typeof value === "bigint" && (value > INT64_MAX || value < INT64_MIN)) return Number(value);
  return value;
}
