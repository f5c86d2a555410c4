import type { ColumnType } from "@custody/contract/placement";

import type { LadybugSession } from "../drivers/ladybug.ts";
import type { GraphFold, FoldedEdge, FoldedNode } from "./graph-fold.ts";
import { propertiesOf } from "./graph-fold.ts";
import type { GraphModel } from "./graph-model.ts";
import { castParameter, propertyParameter, typedParameter } from "./ladybug-cells.ts";
import type { PropertyParameter } from "./ladybug-cells.ts";
import { readProperty } from "./ladybug-read.ts";
import type { NodeRef } from "./port.ts";
import { quote } from "./ladybug-tables.ts";
import { highestSequence, readSayings, writeSayings } from "./sayings.ts";

// Rows in one UNWIND: their parameters are copied into the engine at once.
const ROWS_MAX = 5_000;

type Properties = ReadonlyMap<string, ColumnType>;

/**
 * Puts the stored nodes with these ids into a fold and answers which there were, so that writing them
 * needs no MERGE: LadybugDB plans a MERGE of nodes as a scan of the whole table.
 */
export async function loadNodes(
  session: LadybugSession,
  fold: GraphFold,
  label: string,
  { properties, ids }: { readonly properties: Properties; readonly ids: readonly string[] },
): Promise<ReadonlySet<string>> {
  const names = [...properties.keys()];
  const columns = names.map((name, index) => `, n.${quote(name)} AS p${index}`).join("");
  const statement = `UNWIND $rows AS x MATCH (n:${quote(label)}) WHERE n.id = x
    RETURN n.id AS id, n._records AS r, n._sequence AS s, n._said AS said${columns}`;
  const stored = new Set<string>();
  for (const rows of slices(ids)) {
    for (const row of await session.run(statement, { rows })) {
      const { id, r, s, said } = row as Readonly<Record<"id" | "said", string>> & StoredCounts;
      const values = [...properties].map(
        ([name, type], index) => [name, readProperty(type, row[`p${index}`])] as const,
      );
      fold.load({ label, id, records: r, said: readSayings(said, s ?? 0, values) });
      stored.add(id);
    }
  }
  return stored;
}

interface StoredCounts {
  readonly r: number;
  readonly s: number | null;
}

/** Writes a label's nodes as the fold holds them; those that no record is left of go, with their edges. */
export async function writeNodes(
  session: LadybugSession,
  label: string,
  { properties, stored }: { readonly properties: Properties; readonly stored: ReadonlySet<string> },
  nodes: Iterable<FoldedNode>,
): Promise<void> {
  const types = [...properties];
  const names = types.map(([name, type], index) => [
    quote(name),
    castParameter(type, `x.p${index}`),
  ]);
  const create = `UNWIND $rows AS x WITH x WHERE x.k = true CREATE (:${quote(label)} {id: x.id,
    _records: x.r, _sequence: x.s, _said: x.said${names.map((pair) => `, ${pair.join(": ")}`).join("")}})`;
  const update = `UNWIND $rows AS x MATCH (n:${quote(label)}) WHERE n.id = x.id
    SET n._records = x.r, n._sequence = x.s, n._said = x.said${names.map((pair) => `, n.${pair.join(" = ")}`).join("")}`;
  const fresh: FoldedNode[] = [];
  const changed: FoldedNode[] = [];
  const gone: string[] = [];
  for (const node of nodes) {
    if (node.records <= 0) gone.push(node.id);
    else if (stored.has(node.id)) changed.push(node);
    else fresh.push(node);
  }
  for (const slice of slices(fresh)) await session.run(create, { rows: nodeRows(slice, types) });
  for (const slice of slices(changed)) await session.run(update, { rows: nodeRows(slice, types) });
  const remove = `UNWIND $rows AS x MATCH (n:${quote(label)}) WHERE n.id = x DETACH DELETE n`;
  for (const rows of slices(gone)) await session.run(remove, { rows });
}

type NodeRow = Record<string, PropertyParameter | number | boolean>;

/** Parameter rows of nodes; the first only gives the columns their types, and has no id to match. */
function nodeRows(
  nodes: readonly FoldedNode[],
  types: readonly (readonly [string, ColumnType])[],
): NodeRow[] {
  const typed = numbered(types.map(([, type]) => typedParameter(type)));
  const rows: NodeRow[] = [{ k: false, id: null, r: 0, s: 0, said: "0", ...typed }];
  for (const node of nodes) {
    const values = propertiesOf(node.said);
    const sequence = highestSequence(node.said);
    rows.push({
      k: true,
      id: node.id,
      r: node.records,
      s: sequence,
      said: writeSayings(node.said, sequence),
      ...numbered(types.map(([name]) => propertyParameter(values.get(name)))),
    });
  }
  return rows;
}

/** What is needed to write edges beside the edges themselves. */
export interface EdgeWriting {
  readonly model: GraphModel;
  /** Whether a node was there before this delivery. An edge of a new node is new: nobody need look for it. */
  readonly wasStored: (node: NodeRef) => boolean;
}

/** Adds net counts to edges whose ends exist; those that no record is left of go. */
export async function addEdges(
  session: LadybugSession,
  { model, wasStored }: EdgeWriting,
  edges: Iterable<FoldedEdge>,
): Promise<void> {
  const groups = new Map<string, EdgeGroup>();
  for (const edge of edges) {
    if (edge.records === 0) continue;
    const name = `${edge.type} ${edge.from.label} ${edge.to.label}`;
    const group = groups.get(name) ?? { fresh: [[], [], []], changed: [] };
    groups.set(name, group);
    const kind = (wasStored(edge.from) ? 1 : 0) + (wasStored(edge.to) ? 2 : 0);
    if (kind === 3) group.changed.push(edge);
    else if (edge.records > 0) group.fresh[kind]?.push(edge);
  }
  for (const [type, pairs] of model.types) {
    for (const { from, to } of pairs) {
      const group = groups.get(`${type} ${from} ${to}`);
      if (group !== undefined) await addEdgeGroup(session, { type, from, to }, group);
    }
  }
}

interface EdgeGroup {
  /**
   * New edges between new nodes, from stored ones, and to stored ones: apart, as LadybugDB scans the
   * whole table for rows that mix nodes of this transaction with older ones.
   */
  readonly fresh: readonly [FoldedEdge[], FoldedEdge[], FoldedEdge[]];
  readonly changed: FoldedEdge[];
}

async function addEdgeGroup(
  session: LadybugSession,
  { type, from, to }: { readonly type: string; readonly from: string; readonly to: string },
  { fresh, changed }: EdgeGroup,
): Promise<void> {
  // Two MATCH clauses: with one inline pattern pair the plan is a cross product, 60 times slower.
  const ends = `UNWIND $rows AS x MATCH (a:${quote(from)}) WHERE a.id = x.a
    WITH x, a MATCH (b:${quote(to)}) WHERE b.id = x.b`;
  const create = `${ends} CREATE (a)-[:${quote(type)} {_records: x.d}]->(b)`;
  // Looking for an edge scans the edges of the table; 5,000 rows share one scan.
  const merge = `${ends} MERGE (a)-[k:${quote(type)}]->(b)
    ON CREATE SET k._records = x.d ON MATCH SET k._records = k._records + x.d`;
  const remove = `${ends} WITH a, b MATCH (a)-[k:${quote(type)}]->(b) WHERE k._records <= 0 DELETE k`;
  for (const slice of fresh.flatMap((kind) => [...slices(kind)])) {
    await session.run(create, { rows: edgeRows(slice) });
  }
  for (const slice of slices(changed)) await session.run(merge, { rows: edgeRows(slice) });
  for (const slice of slices(changed.filter(({ records }) => records < 0))) {
    await session.run(remove, { rows: edgeRows(slice) });
  }
}

function edgeRows(edges: readonly FoldedEdge[]): { a: string; b: string; d: number }[] {
  return edges.map(({ from, to, records }) => ({ a: from.id, b: to.id, d: records }));
}

function* slices<Row>(rows: readonly Row[]): Generator<Row[]> {
  for (let start = 0; start < rows.length; start += ROWS_MAX) {
    yield rows.slice(start, start + ROWS_MAX);
  }
}

function numbered(values: readonly PropertyParameter[]): Record<string, PropertyParameter> {
  return Object.fromEntries(values.map((value, index) => [`p${index}`, value]));
}
