import { pathSteps } from "@custody/contract/field-path";

import { StoreError } from "../errors.ts";
import { quoteText } from "../drivers/sqlite-fragment.ts";

/**
 * How a dotted path is followed in SQL.
 *
 * As in MongoDB, an array on the way is stepped through, one level at a step, and elements that are
 * no objects lead nowhere. A member that is missing outside an array is a branch that ends absent.
 */

// SQLite joins at most 64 tables (sqlite.org/limits.html); a step through an array is one.
const STEPS_MAX = 60;

// A row of `jsonb_each` over this has a text key, which no array element has: the branch is absent.
const ABSENT = `'{"absent":null}'`;

/** The path without its `[]`, by which filters and indexes name the same thing. */
export function plainPath(path: string): string {
  return stepNames(path).join(".");
}

/** The names of a path's members, one a step. */
export function stepNames(path: string): readonly string[] {
  const names = pathSteps(path).map(({ name }) => name);
  if (names.length > STEPS_MAX) {
    throw new StoreError("refused", `a path has at most ${STEPS_MAX} steps`);
  }
  return names;
}

/** SQLite's path to a member below members, as a text literal: `'$."labels"."operator"'`. */
export function memberPath(names: readonly string[]): string {
  // A label is compared as JSON text, so that any name can be written (sqlite.org/json1.html).
  return quoteText(`$${names.map((name) => `.${JSON.stringify(name)}`).join("")}`);
}

/** Whether an array lies at one of the path's members before the last `after` ones. */
export function hasArray(document: string, names: readonly string[], after: 0 | 1): string {
  const tests = names
    .slice(0, names.length - after)
    .map(
      (_, index) => `json_type(${document}, ${memberPath(names.slice(0, index + 1))}) = 'array'`,
    );
  return tests.length === 0 ? "0" : tests.join(" OR ");
}

/**
 * A value's key in indexes and sorts: numbers and texts are themselves, objects and booleans are
 * blobs, so that SQLite's own order is MongoDB's (null, numbers, text, objects, false, true).
 */
export function scalarKey(document: string, names: readonly string[]): string {
  const path = memberPath(names);
  const value = `json_extract(${document}, ${path})`;
  return `CASE json_type(${document}, ${path}) WHEN 'text' THEN ${value} WHEN 'integer' THEN ${value}
    WHEN 'real' THEN ${value} WHEN 'object' THEN x'' WHEN 'false' THEN x'00' WHEN 'true' THEN x'01' END`;
}

function elementKey(row: string): string {
  return `CASE ${row}.type WHEN 'object' THEN x'' WHEN 'false' THEN x'00' WHEN 'true' THEN x'01'
    ELSE ${row}.atom END`;
}

/** Where a path's last step is taken: a FROM list, and the row that holds the object or is absent. */
export interface Branches {
  readonly from: string;
  readonly row: string;
}

/** The branches up to the last step, for a path of two steps and more. */
export function branches(document: string, names: readonly string[], alias: string): Branches {
  const from: string[] = [];
  let row = "";
  for (const [index, name] of names.slice(0, -1).entries()) {
    const path = memberPath([name]);
    const value = row === "" ? document : `${row}.value`;
    const member = `CASE json_type(${value}, ${path})
      WHEN 'array' THEN jsonb_extract(${value}, ${path})
      WHEN 'object' THEN jsonb_array(jsonb_extract(${value}, ${path})) ELSE ${ABSENT} END`;
    const step =
      row === ""
        ? member
        : `CASE WHEN typeof(${row}.key) = 'text' THEN ${ABSENT} WHEN ${row}.type = 'object' THEN ${member} END`;
    row = `${alias}_${index}`;
    from.push(`jsonb_each(${step}) AS ${row}`);
  }
  return { from: from.join(", "), row };
}

/**
 * A SELECT of the key of every value at the path (column `value`), arrays stepped through.
 *
 * @param source rows to take documents from, as `[table AS d, condition]`, with their `d.number` as a
 *   second column; left out where `document` belongs to an outer query.
 */
export function pathKeys(
  document: string,
  names: readonly string[],
  alias: string,
  source?: { readonly table: string; readonly where: string },
): string {
  const last = names.slice(-1);
  const path = memberPath(last);
  const element = `${alias}_e`;
  const steps = names.length === 1 ? undefined : branches(document, names, alias);
  const object =
    steps === undefined
      ? document
      : `CASE WHEN ${steps.row}.type = 'object' AND typeof(${steps.row}.key) <> 'text' THEN ${steps.row}.value END`;
  const elements = `json_each(CASE json_type(${object}, ${path}) WHEN 'array'
    THEN jsonb_extract(${object}, ${path}) END) AS ${element}`;
  const number = source === undefined ? "" : ", d.number AS number";
  const where = source === undefined ? "" : ` WHERE ${source.where}`;
  const from = (...more: readonly string[]): string => {
    const tables = [source === undefined ? "" : `${source.table} AS d`, steps?.from ?? "", ...more];
    const list = tables.filter((table) => table !== "").join(", ");
    return list === "" ? "" : ` FROM ${list}`;
  };
  return `SELECT ${scalarKey(object, last)} AS value${number}${from()}${where}
    UNION ALL SELECT ${elementKey(element)}${number}${from(elements)}${where}`;
}
