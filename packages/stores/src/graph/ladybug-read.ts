import type { ColumnType } from "@custody/contract/placement";
import type { ColumnValue } from "@custody/contract/value-expression";

import type { Cell } from "../analytics/port.ts";
import { StoreError } from "../errors.ts";
import type { LadybugRow, LadybugSession } from "../drivers/ladybug.ts";
import { storedProperty, storedVector } from "./ladybug-cells.ts";
import { READ_CHECKPOINT, quote } from "./ladybug-tables.ts";
import type { GraphModel } from "./graph-model.ts";
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

/** The checkpoint in the session's snapshot, 0 when nothing was written. */
export async function readCheckpoint(session: LadybugSession): Promise<number> {
  const [row] = await session.direct(READ_CHECKPOINT);
  return Number(row?.["comment"] ?? 0);
}

/** How many nodes and edges there are. */
export async function countRows(session: LadybugSession): Promise<number> {
  let rows = 0;
  for (const { name, type } of await session.direct("CALL show_tables() RETURN name, type")) {
    const pattern =
      type === "REL" ? `()-[:${quote(String(name))}]->()` : `(:${quote(String(name))})`;
    const [row] = await session.run(`MATCH ${pattern} RETURN count(*) AS c`);
    rows += Number(row?.["c"] ?? 0);
  }
  return rows;
}

type Neighbour = NeighbourAnswer["neighbours"][number];

/** The nodes one edge away; a loop is listed once. */
export async function findNeighbours(
  session: LadybugSession,
  model: GraphModel,
  { node, direction, types, limit }: NeighbourQuery,
): Promise<readonly Neighbour[]> {
  const pattern = edgePattern(model, types);
  if (pattern === undefined || !model.labels.has(node.label)) return [];
  const found: Neighbour[] = [];
  for (const way of direction === "both" ? (["out", "in"] as const) : [direction]) {
    const [left, right] = way === "out" ? ["-", "->"] : ["<-", "-"];
    const isLoopSeen = direction === "both" && way === "in";
    const rows = await session.run(
      `MATCH (a:${quote(node.label)})${left}[k:${pattern}]${right}(b) WHERE a.id = $id
        ${isLoopSeen ? "AND NOT id(a) = id(b)" : ""}
        RETURN label(k) AS t, label(b) AS l, b.id AS i, b, k._records AS r
        ORDER BY t, l, i LIMIT ${limit}`,
      { id: node.id },
    );
    for (const row of rows) {
      const other = { label: String(row["l"]), id: String(row["i"]) };
      const [from, to] = way === "out" ? [node, other] : [other, node];
      found.push({
        edge: { type: String(row["t"]), from, to, records: Number(row["r"]) },
        node: nodeView(other, model, row["b"] as LadybugRow),
      });
    }
  }
  return found.sort(byEdgeThenNode).slice(0, limit);
}

function nodeView(node: NodeRef, model: GraphModel, stored: LadybugRow): GraphNodeView {
  const properties: [string, Cell][] = [];
  for (const [name, type] of model.labels.get(node.label) ?? []) {
    const value = readProperty(type, stored[name]);
    if (value !== null) properties.push([name, value]);
  }
  return { ...node, properties: Object.fromEntries(properties) };
}

/** A stored property in the form of `normalProperty`. */
export function readProperty(type: ColumnType, value: unknown): ColumnValue {
  return type === "vector" ? storedVector(value) : storedProperty(value);
}

/** `A|B` of the known types among those asked for; `undefined` when there is none. */
function edgePattern(model: GraphModel, types: readonly string[] | undefined): string | undefined {
  const known = [...model.types.keys()].filter((type) => types?.includes(type) ?? true);
  return known.length === 0 ? undefined : known.map(quote).join("|");
}

type Path = PathAnswer["paths"][number];

/**
 * Trails of one length after another, so that a limit is met without walking the long ones. A single
 * shortest path between two nodes is left to the engine's breadth-first search.
 */
export async function findPaths(
  session: LadybugSession,
  model: GraphModel,
  query: PathQuery,
): Promise<readonly Path[]> {
  const { from, to, depthMax, direction } = query;
  const inReach = typesBetween(model, query);
  const asked = query.types === undefined ? inReach : inReach.filter(isIn(query.types));
  const pattern = edgePattern(model, asked);
  const isKnown = model.labels.has(from.label) && model.labels.has(to.label);
  if (pattern === undefined || !isKnown) return [];
  const limit = query.only === "shortest" ? Math.min(1, query.limit) : query.limit;
  const isLoop = from.label === to.label && from.id === to.id;
  const search = async (range: string, most: number): Promise<readonly Path[]> => {
    const rows = await session.run(
      `MATCH p = (a:${quote(from.label)})-[k:${pattern}*${range}]-${direction === "out" ? ">" : ""}(b:${quote(to.label)})
        WHERE a.id = $from AND b.id = $to RETURN p LIMIT ${most}`,
      { from: from.id, to: to.id },
    );
    return rows.map((row) => pathView(row["p"]));
  };
  if (query.only === "shortest" && !isLoop) return await search(`SHORTEST 1..${depthMax}`, limit);
  const paths: Path[] = [];
  for (let depth = 1; depth <= depthMax && paths.length < limit; depth += 1) {
    const found = [...(await search(`TRAIL ${depth}..${depth}`, limit - paths.length))];
    paths.push(...found.sort(byPath));
  }
  return paths;
}

function isIn(names: readonly string[]): (name: string) => boolean {
  return (name) => names.includes(name);
}

interface StoredNode {
  readonly _id: { readonly table: number; readonly offset: number };
  readonly _label: string;
  readonly id: string;
}

interface StoredEdge {
  readonly _src: StoredNode["_id"];
  readonly _dst: StoredNode["_id"];
  readonly _label: string;
  readonly _records: number;
}

function pathView(value: unknown): Path {
  const { _nodes, _rels } = value as {
    readonly _nodes: readonly StoredNode[];
    readonly _rels: readonly StoredEdge[];
  };
  const place = ({ table, offset }: StoredNode["_id"]): string => `${table}:${offset}`;
  const nodes = new Map<string, NodeRef>();
  for (const { _id, _label, id } of _nodes) nodes.set(place(_id), { label: _label, id });
  const end = (id: StoredNode["_id"]): NodeRef => {
    const node = nodes.get(place(id));
    if (node === undefined) throw new StoreError("corrupt", "an edge of a path has no end");
    return node;
  };
  const edges: GraphEdgeView[] = _rels.map(({ _src, _dst, _label, _records }) => ({
    type: _label,
    from: end(_src),
    to: end(_dst),
    records: Number(_records),
  }));
  return { nodes: _nodes.map(({ _label, id }) => ({ label: _label, id })), edges };
}
