import { StoreError } from "../errors.ts";
import {
  ALLOWED_TABLE_FUNCTIONS,
  isAllowedFunction,
  MEMBERSHIP_FUNCTIONS,
} from "./clickhouse-sql-functions.ts";

/**
 * Checks the tree that ClickHouse itself makes of a statement before anything of it is looked up or run
 * (`EXPLAIN QUERY TREE run_passes = 0`).
 *
 * What is not known to be harmless is refused: each kind of node is named here, so that syntax of a
 * later ClickHouse has to be looked at before a tenant can use it.
 *
 * @param tables the names that stand for the tenant's own tables.
 * @throws StoreError `refused` saying what is not allowed.
 */
export function checkQueryTree(lines: readonly string[], tables: ReadonlySet<string>): void {
  for (const root of parseTree(lines)) walk(root, tables);
}

/**
 * Checks the tree again after ClickHouse has looked up every name: no other tables than these may be in it.
 *
 * @param allowed names as the engine prints them: `database.table`.
 * @throws StoreError `refused`.
 */
export function checkResolvedTables(lines: readonly string[], allowed: ReadonlySet<string>): void {
  for (const line of lines) {
    const [, kind, rest = ""] = NODE.exec(line.trimStart()) ?? [];
    if (kind === "TABLE_FUNCTION") checkTableFunction(rest);
    if (kind !== "TABLE") continue;
    const name = attribute(rest, "table_name").replace(/(?:, final: 1|, sample_size: .*)+$/, "");
    if (name === NO_TABLE || allowed.has(name) || RECURSION.test(name)) continue;
    throw refuse("it reads a table that is not its own");
  }
}

interface TreeNode {
  /** `QUERY`, `FUNCTION`; for the name of a part of a node that name. */
  readonly kind: string;
  readonly isPart: boolean;
  /** `alias: x, function_name: sum, …`. */
  readonly rest: string;
  readonly children: TreeNode[];
}

// What a SELECT without FROM reads.
const NO_TABLE = "system.one";

// Where a recursive WITH keeps what it found; there are no sessions in which a tenant could make one.
const RECURSION = /^_temporary_and_external_tables\._tmp_[0-9a-f-]{36}, temporary_table_name: /;

const NODE = /^([A-Z_ ]+?) id: \d+(?:, (.*))?$/;

function parseTree(lines: readonly string[]): readonly TreeNode[] {
  const roots: TreeNode[] = [];
  const path: TreeNode[] = [];
  for (const line of lines) {
    const text = line.trimStart();
    if (text === "") continue;
    const depth = (line.length - text.length) / 2;
    const [, kind, rest = ""] = NODE.exec(text) ?? [];
    const node = { kind: kind ?? text.trimEnd(), isPart: kind === undefined, rest, children: [] };
    (depth === 0 ? roots : path[depth - 1]?.children)?.push(node);
    path.splice(depth, path.length, node);
  }
  return roots;
}

const PLAIN_NODES = new Set([
  "APPLY COLUMN TRANSFORMER",
  "ARRAY_JOIN",
  "CONSTANT",
  "CROSS JOIN",
  "EXCEPT COLUMN TRANSFORMER",
  "IDENTIFIER",
  "INTERPOLATE",
  "JOIN",
  "LAMBDA",
  "LIST",
  "MATCHER",
  "REPLACE COLUMN TRANSFORMER",
  "SORT",
  "WINDOW",
]);

// A part's name may be followed by the text of its expression.
const PARTS =
  /^(?:WITH|PROJECTION|JOIN TREE|PREWHERE|WHERE|GROUP BY|HAVING|QUALIFY|WINDOW|ORDER BY|INTERPOLATE|LIMIT|LIMIT BY|LIMIT BY LIMIT|LIMIT BY OFFSET|OFFSET|QUERIES|ARGUMENTS|PARAMETERS|PARTITION BY|TABLE EXPRESSION|LEFT TABLE EXPRESSION|RIGHT TABLE EXPRESSION|JOIN EXPRESSION|JOIN EXPRESSIONS|FILL FROM|FILL TO|FILL STEP|FILL STALENESS|FRAME BEGIN OFFSET|FRAME END OFFSET|REPLACEMENTS \d+|REPLACEMENT NAME .*|EXPRESSION(?: .*)?|INTERPOLATE_EXPRESSION)$/;

const TABLE_PARTS = new Set([
  "JOIN TREE",
  "LEFT TABLE EXPRESSION",
  "RIGHT TABLE EXPRESSION",
  "TABLE EXPRESSION",
]);

/** @param names of tables and of the WITH queries that can be seen from here. */
function walk(node: TreeNode, names: ReadonlySet<string>): void {
  if (node.isPart) return walkPart(node, names);
  switch (node.kind) {
    case "QUERY":
      walkQuery(node, names);
      return;
    case "UNION":
      return walkUnion(node, names);
    case "FUNCTION":
      checkFunction(node, names);
      break;
    case "IDENTIFIER":
      checkAlias(node, names);
      break;
    case "TABLE_FUNCTION":
      checkTableFunction(node.rest);
      break;
    default:
      if (!PLAIN_NODES.has(node.kind)) throw refuse(`${node.kind} is not allowed`);
  }
  if (node.kind === "CONSTANT" && /AggregateFunction/i.test(node.rest)) {
    throw refuse("states of aggregates are not allowed");
  }
  for (const child of node.children) walk(child, names);
}

function walkPart(node: TreeNode, names: ReadonlySet<string>): void {
  if (!PARTS.test(node.kind)) throw refuse(`${node.kind.split(" ", 1)[0]} is not allowed`);
  for (const child of node.children) {
    if (TABLE_PARTS.has(node.kind) && child.kind === "IDENTIFIER") checkTable(child, names);
    else walk(child, names);
  }
}

/** Answers the names that can be seen after the query's WITH. */
function walkQuery(node: TreeNode, names: ReadonlySet<string>): ReadonlySet<string> {
  // A WITH query sees those before it, and itself only where it is recursive: a name that is seen too
  // early would stand for a table of somebody else.
  const seen = new Set(names);
  for (const part of node.children.filter(({ kind }) => kind === "WITH")) {
    for (const element of part.children.flatMap(({ children }) => children)) {
      const name = / cte_name: (.*?)(?:, [a-z_]+: |$)/.exec(` ${element.rest}`)?.[1];
      const isRecursive = element.rest.includes("is_recursive_cte: 1");
      const visible = name !== undefined && isRecursive ? new Set([...seen, name]) : new Set(seen);
      walk(element, visible);
      if (name !== undefined) seen.add(name);
    }
  }
  for (const part of node.children) if (part.kind !== "WITH") walk(part, seen);
  return seen;
}

// The WITH of the first SELECT holds for all of them.
function walkUnion(node: TreeNode, names: ReadonlySet<string>): void {
  const [first, ...others] = node.children.flatMap((part) =>
    part.children.flatMap(({ children }) => children),
  );
  if (first === undefined) throw refuse("a UNION is not known to be harmless");
  let seen = names;
  if (first.kind === "QUERY") seen = walkQuery(first, names);
  else walk(first, names);
  for (const other of others) walk(other, seen);
}

function checkTable({ rest }: TreeNode, names: ReadonlySet<string>): void {
  const name = attribute(rest, "identifier");
  if (name !== NO_TABLE && !names.has(name)) {
    throw refuse(`there is no table ${JSON.stringify(name)}`);
  }
}

// An alias that is named like a table might be taken for it, and what it stands for was not checked as one.
function checkAlias({ rest }: TreeNode, names: ReadonlySet<string>): void {
  const name = [...names].find((one) => rest.startsWith(`alias: ${one}, `));
  if (name !== undefined) throw refuse(`${JSON.stringify(name)} names two things`);
}

function checkFunction(node: TreeNode, names: ReadonlySet<string>): void {
  const name = attribute(node.rest, "function_name").replace(/, function_type: .*$/s, "");
  if (!isAllowedFunction(name)) {
    throw refuse(`the function ${JSON.stringify(name)} is not allowed`);
  }
  if (!MEMBERSHIP_FUNCTIONS.has(name.toLowerCase())) return;
  const [, of] = node.children
    .filter(({ kind }) => kind === "ARGUMENTS")
    .flatMap(({ children }) => children.flatMap((list) => list.children));
  if (of?.kind === "IDENTIFIER") checkTable(of, names);
}

function checkTableFunction(rest: string): void {
  const name = attribute(rest, "table_function_name");
  if (!ALLOWED_TABLE_FUNCTIONS.has(name.toLowerCase())) {
    throw refuse(`the table function ${JSON.stringify(name)} is not allowed`);
  }
}

// The last of that name: an alias, which comes before, may be made to look like one.
function attribute(rest: string, name: string): string {
  const text = `, ${rest}`;
  const mark = `, ${name}: `;
  const at = text.lastIndexOf(mark);
  return at < 0 ? "" : text.slice(at + mark.length);
}

function refuse(reason: string): StoreError {
  return new StoreError("refused", `the SQL is refused: ${reason}`);
}
