import type { Cell } from "../analytics/port.ts";
import { Neo4jNode, Neo4jPath } from "../drivers/neo4j-values.ts";
import type { Neo4jEdge, Neo4jRow } from "../drivers/neo4j-values.ts";
import { StoreError } from "../errors.ts";
import type { GraphModel } from "./graph-model.ts";
import { quote } from "./neo4j-apply.ts";
import type { Neo4jTarget } from "./neo4j-apply.ts";
import { storedProperty } from "./neo4j-cells.ts";
import { neo4jKey } from "./neo4j-key.ts";
import { byEdgeThenNode, byPath } from "./result-order.ts";
import { typesBetween } from "./types-between.ts";
import type {
  GraphEdgeView,
  GraphNodeView,
  NeighbourAnswer,
  NeighbourQuery,
  NodeRef,
  PathAnswer,
  PathQuery,
} from "./port.ts";

type Neighbour = NeighbourAnswer["neighbours"][number];

/** The nodes one edge away; a loop is listed once. */
export async function findNeighbours(
  { session, label: own, model }: Neo4jTarget,
  { node, direction, types, limit }: NeighbourQuery,
): Promise<readonly Neighbour[]> {
  const pattern = edgePattern([...model.types.keys()], types);
  if (pattern === undefined || !model.labels.has(node.label)) return [];
  const found: Neighbour[] = [];
  for (const way of direction === "both" ? (["out", "in"] as const) : [direction]) {
    const [left, right] = way === "out" ? ["-", "->"] : ["<-", "-"];
    const isLoopSeen = direction === "both" && way === "in";
    const rows = await session.run(
      `MATCH (a:${own} {_id: $key, _label: $label})${left}[k:${pattern}]${right}(b:${own})
        ${isLoopSeen ? "WHERE a <> b" : ""}
        RETURN type(k) AS t, b, k._records AS r ORDER BY t, b._label, b.id LIMIT $limit`,
      { key: neo4jKey(node.id), label: node.label, limit: BigInt(limit) },
    );
    for (const row of rows) found.push(neighbourOf(row, { node, model, way }));
  }
  return found.sort(byEdgeThenNode).slice(0, limit);
}

function neighbourOf(
  { t, b, r }: Neo4jRow,
  from: { readonly node: NodeRef; readonly model: GraphModel; readonly way: "out" | "in" },
): Neighbour {
  const other = refOf(b);
  const node = { label: from.node.label, id: from.node.id };
  const ends = from.way === "out" ? { from: node, to: other } : { from: other, to: node };
  const edge = { type: String(t), ...ends, records: Number(r) };
  return { edge, node: nodeView(other, from.model, (b as Neo4jNode).properties) };
}

function nodeView(node: NodeRef, model: GraphModel, stored: Neo4jRow): GraphNodeView {
  const properties: [string, Cell][] = [];
  for (const [name, type] of model.labels.get(node.label) ?? []) {
    const value = storedProperty(type, stored[name]);
    if (value !== null) properties.push([name, value]);
  }
  return { ...node, properties: Object.fromEntries(properties) };
}

function refOf(value: unknown): NodeRef {
  if (!(value instanceof Neo4jNode)) throw new StoreError("corrupt", "a node was expected");
  return { label: String(value.properties["_label"]), id: String(value.properties["id"]) };
}

/** `A|B` of the known types among those asked for; `undefined` when there is none. */
function edgePattern(
  known: readonly string[],
  types: readonly string[] | undefined,
): string | undefined {
  const asked = known.filter((type) => types?.includes(type) ?? true);
  return asked.length === 0 ? undefined : asked.map(quote).join("|");
}

type Path = PathAnswer["paths"][number];

/**
 * Trails of one length after another, so that a limit is met without walking the long ones. A single
 * shortest path between two nodes is left to the engine's search from both ends.
 */
export async function findPaths(
  { session, label: own, model }: Neo4jTarget,
  query: PathQuery,
): Promise<readonly Path[]> {
  const { from, to, depthMax, direction } = query;
  const pattern = edgePattern(typesBetween(model, query), query.types);
  const isKnown = model.labels.has(from.label) && model.labels.has(to.label);
  if (pattern === undefined || !isKnown) return [];
  const limit = query.only === "shortest" ? Math.min(1, query.limit) : query.limit;
  const isLoop = from.label === to.label && from.id === to.id;
  const ends = `MATCH (a:${own} {_id: $from, _label: $fromLabel})
    MATCH (b:${own} {_id: $to, _label: $toLabel})`;
  const arrow = direction === "out" ? ">" : "";
  const search = async (found: string, most: number): Promise<Path[]> => {
    const rows = await session.run(`${ends} ${found} RETURN p LIMIT $most`, {
      from: neo4jKey(from.id),
      fromLabel: from.label,
      to: neo4jKey(to.id),
      toLabel: to.label,
      most: BigInt(most),
    });
    return rows.map(({ p }) => pathView(p));
  };
  if (query.only === "shortest" && !isLoop) {
    const shortest = `shortestPath((a)-[:${pattern}*1..${depthMax}]-${arrow}(b))`;
    return await search(`MATCH p = ${shortest}`, limit);
  }
  const paths: Path[] = [];
  for (let depth = 1; depth <= depthMax && paths.length < limit; depth += 1) {
    const trail = `(a)-[:${pattern}*${depth}..${depth}]-${arrow}(b)`;
    const found = await search(`MATCH p = ${trail}`, limit - paths.length);
    paths.push(...found.sort(byPath));
  }
  return paths;
}

function pathView(value: unknown): Path {
  if (!(value instanceof Neo4jPath)) throw new StoreError("corrupt", "a path was expected");
  const nodes = value.nodes.map(refOf);
  return { nodes, edges: value.edges.map((edge, index) => edgeView(edge, nodes, index)) };
}

function edgeView(
  { type, properties, isBackwards }: Neo4jEdge,
  nodes: readonly NodeRef[],
  index: number,
): GraphEdgeView {
  const [start, stop] = [nodes[index], nodes[index + 1]];
  if (start === undefined || stop === undefined) {
    throw new StoreError("corrupt", "an edge of a path has no end");
  }
  const ends = isBackwards ? { from: stop, to: start } : { from: start, to: stop };
  return { type, ...ends, records: Number(properties["_records"]) };
}
