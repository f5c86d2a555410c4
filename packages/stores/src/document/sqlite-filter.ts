import type { Filter } from "@custody/contract/filter";

import { compareKey, compareTyped, meetsAbsent } from "./sqlite-comparison.ts";
import type { Comparison } from "./sqlite-comparison.ts";
import { SQL_FALSE, SQL_TRUE, joinConditions, sql, verbatim } from "../drivers/sqlite-fragment.ts";
import type { SqlFragment } from "../drivers/sqlite-fragment.ts";
import { branches, hasArray, memberPath, plainPath, stepNames } from "./sqlite-path.ts";

/** How values at a path can be found without reading documents. */
export interface FilterIndexes {
  /**
   * The quoted column that holds the path's key, for paths where no document has an array: the
   * column alone then decides.
   */
  column(path: string): string | undefined;
  /** A SELECT of the numbers of all documents that may meet a condition on their key. */
  candidates(path: string, condition: (key: SqlFragment) => SqlFragment): SqlFragment | undefined;
}

/** Compiles a filter to a condition on the JSONB value `document` of the row numbered `number`. */
export function compileFilter(
  filter: Filter,
  document: string,
  indexes: FilterIndexes,
): SqlFragment {
  let aliases = 0;
  return compile(filter, document, { indexes, nextAlias: () => `j${(aliases += 1)}` });
}

interface Compilation {
  readonly indexes: FilterIndexes;
  /** A name for a row of array elements that is not yet taken. */
  readonly nextAlias: () => string;
}

function compile(node: Filter, document: string, within: Compilation): SqlFragment {
  const each = (filters: readonly Filter[]): readonly SqlFragment[] =>
    filters.map((one) => compile(one, document, within));
  const compared = (path: string, comparison: Comparison): SqlFragment =>
    compareAt(path, comparison, document, within);
  switch (node.op) {
    case "and":
      return joinConditions(each(node.filters), "AND");
    case "or":
      return joinConditions(each(node.filters), "OR");
    case "nor":
      return negated(joinConditions(each(node.filters), "OR"));
    case "not":
      return negated(compile(node.filter, document, within));
    case "eq":
      return compared(node.path, { literals: [node.value] });
    case "ne":
      return negated(compared(node.path, { literals: [node.value] }));
    case "in":
      return compared(node.path, { literals: node.values });
    case "nin":
      return negated(compared(node.path, { literals: node.values }));
    case "all": {
      const all = node.values.map((value) => compared(node.path, { literals: [value] }));
      return all.length === 0 ? SQL_FALSE : joinConditions(all, "AND");
    }
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return compared(node.path, { sign: SIGNS[node.op], bound: node.value });
    case "exists": {
      const exists = atPath(node.path, document, within, {
        leaf: (type) => sql`${type} IS NOT NULL`,
      });
      return node.value ? exists : negated(exists);
    }
    case "size":
      return atPath(node.path, document, within, {
        leaf: (type, { on, path }) =>
          sql`(${type} = 'array' AND json_array_length(${on}, ${path}) = ${node.value})`,
      });
    case "elemMatch":
      return atPath(node.path, document, within, {
        leaf: elementMatcher(node.filter, within),
        // Once only, or nested ones would double the query at each level.
        isLong: true,
      });
  }
}

const SIGNS = { gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

/** An unknown (NULL) below a negation is "does not hold", so that the negation holds. */
function negated(condition: SqlFragment): SqlFragment {
  return sql`NOT coalesce(${condition}, 0)`;
}

function compareAt(
  path: string,
  comparison: Comparison,
  document: string,
  within: Compilation,
): SqlFragment {
  const { indexes, nextAlias } = within;
  const column = indexes.column(plainPath(path));
  if (column !== undefined) return compareKey(comparison, verbatim(column));
  const exact = atPath(path, document, within, {
    whenAbsent: meetsAbsent(comparison),
    leaf(type, place) {
      const row = nextAlias();
      const one = compareTyped(comparison, type, sql`json_extract(${place.on}, ${place.path})`);
      const some = compareTyped(comparison, verbatim(`${row}.type`), verbatim(`${row}.atom`));
      const elements = sql`jsonb_each(${place.on}, ${place.path}) AS ${verbatim(row)}`;
      return sql`CASE ${type} WHEN 'array' THEN EXISTS(SELECT 1 FROM ${elements} WHERE ${some})
        ELSE ${one} END`;
    },
  });
  if (meetsAbsent(comparison)) return exact;
  const candidates = indexes.candidates(plainPath(path), (key) => compareKey(comparison, key));
  return candidates === undefined ? exact : sql`(number IN (${candidates}) AND ${exact})`;
}

function elementMatcher(filter: Filter, { nextAlias }: Compilation): Leaf["leaf"] {
  return (type, { on, path }) => {
    const row = nextAlias();
    const inner = compile(filter, `${row}.value`, { indexes: NO_INDEXES, nextAlias });
    return sql`CASE WHEN ${type} = 'array' THEN EXISTS(
      SELECT 1 FROM jsonb_each(${on}, ${path}) AS ${verbatim(row)}
      WHERE CASE WHEN ${verbatim(row)}.type = 'object' THEN ${inner} END) END`;
  };
}

/** Elements of arrays have no indexes of their own. */
const NO_INDEXES: FilterIndexes = { column: () => undefined, candidates: () => undefined };

interface Leaf {
  /** The condition on the last member of the path: its JSON type, and where it lies. */
  readonly leaf: (
    type: SqlFragment,
    place: { readonly on: SqlFragment; readonly path: SqlFragment },
  ) => SqlFragment;
  /** Whether a branch that ends before the last member meets the condition. */
  readonly whenAbsent?: boolean;
  /** True to write the condition once, in the form that steps through arrays. */
  readonly isLong?: boolean;
}

/** The condition on every branch of the path; it holds when one branch meets it. */
function atPath(
  path: string,
  document: string,
  { nextAlias }: Compilation,
  { leaf, whenAbsent = false, isLong = false }: Leaf,
): SqlFragment {
  const names = stepNames(path);
  const leafAt = (on: string, below: readonly string[]): SqlFragment => {
    const place = { on: verbatim(on), path: verbatim(memberPath(below)) };
    return leaf(sql`json_type(${place.on}, ${place.path})`, place);
  };
  if (names.length === 1) return leafAt(document, names);
  const { from, row } = branches(document, names, nextAlias());
  const some = sql`EXISTS(SELECT 1 FROM ${verbatim(from)} WHERE CASE
    WHEN typeof(${verbatim(row)}.key) = 'text' THEN ${whenAbsent ? SQL_TRUE : SQL_FALSE}
    WHEN ${verbatim(row)}.type = 'object' THEN ${leafAt(`${row}.value`, names.slice(-1))} END)`;
  if (isLong) return some;
  return sql`CASE WHEN ${verbatim(hasArray(document, names, 1))} THEN ${some}
    ELSE ${leafAt(document, names)} END`;
}
