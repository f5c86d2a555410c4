import { StoreError } from "../errors.ts";
import { ALLOWED_TABLE_FUNCTIONS } from "./duckdb-sql-functions.ts";

/** What a tenant's SQL may name; all in lower case. */
export interface SqlSurface {
  /** `pack.name`. */
  readonly tables: ReadonlySet<string>;
  readonly functions: ReadonlySet<string>;
  /** Schemas that are named like a catalogue of the engine's own, so that they need the full name. */
  readonly ambiguous: ReadonlySet<string>;
  /** The catalogue that holds the tables. */
  readonly catalog: string;
}

/**
 * Checks the tree that DuckDB's own parser made of a statement (json_serialize_sql).
 *
 * What is not known to be harmless is refused: each kind of node is named here, so that syntax of a
 * later DuckDB has to be looked at before a tenant can use it.
 *
 * Answers where in the text (in UTF-8 bytes) tables of an ambiguous schema are named without the
 * catalogue.
 *
 * @throws StoreError `refused` saying what is not allowed.
 */
export function checkSqlTree(tree: unknown, surface: SqlSurface): readonly number[] {
  const statements = isNode(tree) ? tree["statements"] : undefined;
  if (isNode(tree) && tree["error"] === true) {
    const message = tree["error_message"];
    throw refuse(typeof message === "string" ? message : "it is not a SELECT");
  }
  if (!Array.isArray(statements) || statements.length !== 1) {
    throw refuse("there must be exactly one SELECT");
  }
  const unclear: number[] = [];
  walk(statements[0], { surface, ctes: new Set(), unclear });
  return unclear;
}

type Node = Readonly<Record<string, unknown>>;

interface Walk {
  readonly surface: SqlSurface;
  /** Names of the WITH queries that can be seen from here. */
  readonly ctes: ReadonlySet<string>;
  readonly unclear: number[];
}

function walk(value: unknown, at: Walk): void {
  if (Array.isArray(value)) {
    for (const element of value) walk(element, at);
    return;
  }
  if (!isNode(value)) return;
  if ("cte_map" in value) return walkQuery(value, at);
  if (typeof value["class"] === "string") return walkExpression(value, value["class"], at);
  // A table reference is told from what else has a type by its sample, which every one of them has.
  if (typeof value["type"] === "string" && "sample" in value && "alias" in value) {
    return walkTable(value, value["type"], at);
  }
  if ("table_name" in value || "function_name" in value || "show_type" in value) {
    throw refuse("a part of it is not known to be harmless");
  }
  walkMembers(value, at);
}

function walkMembers(node: Node, at: Walk): void {
  for (const member of Object.values(node)) walk(member, at);
}

const QUERY_NODES = new Set(["SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"]);

function walkQuery(node: Node, at: Walk): void {
  const type = String(node["type"]);
  if (!QUERY_NODES.has(type)) throw refuse(`${type} is not allowed`);
  // A WITH query sees those before it, and itself only where it is recursive: a name that is seen too
  // early would stand for a table of the engine's own.
  const ctes = new Set(at.ctes);
  for (const { key, value } of cteEntries(node["cte_map"])) {
    const query = isNode(value) ? value["query"] : undefined;
    const body = isNode(query) ? query["node"] : undefined;
    const isRecursive = isNode(body) && body["type"] === "RECURSIVE_CTE_NODE";
    walk(value, { ...at, ctes: isRecursive ? new Set([...ctes, key]) : new Set(ctes) });
    ctes.add(key);
  }
  const { cte_map: _walked, ...rest } = node;
  walkMembers(rest, { ...at, ctes });
}

function cteEntries(map: unknown): { key: string; value: unknown }[] {
  const entries = isNode(map) ? map["map"] : undefined;
  if (!Array.isArray(entries)) throw refuse("a WITH clause is not known to be harmless");
  return entries.map((entry: unknown) => {
    if (!isNode(entry) || typeof entry["key"] !== "string")
      throw refuse("a WITH query has no name");
    return { key: entry["key"].toLowerCase(), value: entry["value"] };
  });
}

const PLAIN_TABLES = new Set(["EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY"]);

function walkTable(node: Node, type: string, at: Walk): void {
  if (type === "BASE_TABLE") checkTable(node, at);
  else if (type === "TABLE_FUNCTION") {
    const { function: call, ...rest } = node;
    if (!isNode(call)) throw refuse("a table function is not known to be harmless");
    checkFunction(call, ALLOWED_TABLE_FUNCTIONS, "table function");
    walkMembers(call, at);
    return walkMembers(rest, at);
  } else if (!PLAIN_TABLES.has(type)) throw refuse(`${type} is not allowed`);
  const { table_name: _name, ...rest } = node;
  walkMembers(rest, at);
}

function checkTable(node: Node, { surface, ctes, unclear }: Walk): void {
  const schema = String(node["schema_name"]).toLowerCase();
  const table = String(node["table_name"]).toLowerCase();
  const catalog = node["catalog_name"];
  const isPlain = (node["at_clause"] ?? null) === null;
  if (isPlain && catalog === "" && schema === "" && ctes.has(table)) return;
  const isKnown = surface.tables.has(`${schema === "" ? "main" : schema}.${table}`);
  if (isPlain && isKnown && (catalog === "" || isFullName(catalog, schema, surface))) {
    if (catalog === "" && surface.ambiguous.has(schema))
      unclear.push(Number(node["query_location"]));
    return;
  }
  const name = schema === "" ? table : `${schema}.${table}`;
  throw refuse(`there is no table ${JSON.stringify(name)}`);
}

function isFullName(
  catalog: unknown,
  schema: string,
  { ambiguous, ...surface }: SqlSurface,
): boolean {
  return catalog === surface.catalog && ambiguous.has(schema);
}

const EXPRESSIONS = new Set([
  "BETWEEN",
  "CASE",
  "CAST",
  "COLLATE",
  "COLUMN_REF",
  "COMPARISON",
  "CONJUNCTION",
  "LAMBDA",
  "LAMBDA_REF",
  "OPERATOR",
  "POSITIONAL_REFERENCE",
  "STAR",
  "SUBQUERY",
  "TYPE",
]);

function walkExpression(node: Node, kind: string, at: Walk): void {
  if (kind === "CONSTANT") return;
  if (kind === "PARAMETER") throw refuse("parameters are not allowed");
  if (kind === "FUNCTION" || kind === "WINDOW") {
    checkFunction(node, at.surface.functions, "function");
  } else if (!EXPRESSIONS.has(kind)) throw refuse(`${kind} is not allowed`);
  walkMembers(node, at);
}

function checkFunction(node: Node, allowed: ReadonlySet<string>, what: string): void {
  const name = String(node["function_name"]).toLowerCase();
  const isPlain = (node["schema"] ?? "") === "" && (node["catalog"] ?? "") === "";
  if (!isPlain || !allowed.has(name)) {
    throw refuse(`the ${what} ${JSON.stringify(name)} is not allowed`);
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuse(reason: string): StoreError {
  return new StoreError("refused", `the SQL is refused: ${reason}`);
}
