import type { ColumnType } from "@custody/contract/placement";

import type { Neo4jSession } from "../drivers/neo4j-session.ts";
import { Neo4jNode } from "../drivers/neo4j-values.ts";
import type { Neo4jRow } from "../drivers/neo4j-values.ts";
import { foldChanges, touchedNodes } from "./delivery-changes.ts";
import type { GraphChange } from "./delivery-changes.ts";
import { GraphFold, propertiesOf } from "./graph-fold.ts";
import type { FoldedEdge, FoldedNode } from "./graph-fold.ts";
import type { GraphModel } from "./graph-model.ts";
import { parameterOf, storedProperty } from "./neo4j-cells.ts";
import { neo4jKey } from "./neo4j-key.ts";
import type { NodeRef } from "./port.ts";
import { highestSequence, readSayings, writeSayings } from "./sayings.ts";

// Rows in one UNWIND.
const ROWS_MAX = 2_500;

/** The graph that is written: its label and its model. */
export interface Neo4jTarget {
  readonly session: Neo4jSession;
  readonly label: string;
  readonly model: GraphModel;
}

/**
 * Writes what a delivery changes in the session's transaction: folds it into net changes in memory
 * first, so that a probe named by a thousand records costs one statement row.
 */
export async function applyChanges(
  target: Neo4jTarget,
  changes: readonly GraphChange[],
): Promise<void> {
  const fold = new GraphFold();
  const stored = await loadNodes(target, fold, touchedNodes(changes));
  foldChanges(fold, changes);
  const wasStored = ({ label, id }: NodeRef): boolean => stored.get(label)?.has(id) === true;
  // Statements of one transaction run one after another, in the order in which they are sent.
  await Promise.all([
    ...writeNodes(target, fold, wasStored),
    ...writeEdges(target, fold.edges.values(), wasStored),
  ]);
}

/** Puts the stored nodes with these ids into a fold and answers which there were. */
async function loadNodes(
  { session, label: own, model }: Neo4jTarget,
  fold: GraphFold,
  touched: ReadonlyMap<string, ReadonlySet<string>>,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const keys = [...touched].flatMap(([label, ids]) =>
    [...ids].map((id) => ({ l: label, i: neo4jKey(id) })),
  );
  const statement = `UNWIND $rows AS x MATCH (n:${own} {_id: x.i, _label: x.l}) RETURN n`;
  const answers = await Promise.all(
    [...slices(keys)].map((rows) => session.run(statement, { rows })),
  );
  const stored = new Map<string, Set<string>>();
  for (const { n } of answers.flat()) {
    if (!(n instanceof Neo4jNode)) continue;
    const label = String(n.properties["_label"]);
    const id = String(n.properties["id"]);
    fold.load({ label, id, ...readNode(n.properties, model.labels.get(label)) });
    const ids = stored.get(label);
    if (ids === undefined) stored.set(label, new Set([id]));
    else ids.add(id);
  }
  return stored;
}

function readNode(
  row: Neo4jRow,
  properties: ReadonlyMap<string, ColumnType> = new Map<string, ColumnType>(),
): Pick<FoldedNode, "records" | "said"> {
  const values = [...properties].map(
    ([name, type]) => [name, storedProperty(type, row[name])] as const,
  );
  const { _said: said, _sequence: sequence, _records: records } = row;
  const text = typeof said === "string" ? said : null;
  return { records: Number(records), said: readSayings(text, Number(sequence ?? 0), values) };
}

/** Writes nodes as the fold holds them; those that no record is left of go, with their edges. */
function writeNodes(
  { session, label: own, model }: Neo4jTarget,
  fold: GraphFold,
  wasStored: (node: NodeRef) => boolean,
): Promise<unknown>[] {
  const fresh: object[] = [];
  const changed: object[] = [];
  const gone: object[] = [];
  for (const [label, nodes] of fold.nodes) {
    const types = model.labels.get(label) ?? new Map<string, ColumnType>();
    for (const node of nodes.values()) {
      if (node.records > 0) {
        (wasStored(node) ? changed : fresh).push(nodeRow(session, node, types));
      } else if (wasStored(node)) gone.push({ _id: neo4jKey(node.id), _label: label });
    }
  }
  const found = `UNWIND $rows AS x MATCH (n:${own} {_id: x._id, _label: x._label})`;
  return [
    ...sendAll(session, `UNWIND $rows AS x CREATE (n:${own}:$(x._label)) SET n = x`, fresh),
    ...sendAll(session, `${found} SET n = x`, changed),
    ...sendAll(session, `${found} DETACH DELETE n`, gone),
  ];
}

/** All properties of a node; those without a value are left out, as `SET n = x` then removes them. */
function nodeRow(
  session: Neo4jSession,
  { label, id, records, said }: FoldedNode,
  types: ReadonlyMap<string, ColumnType>,
): object {
  const sequence = highestSequence(said);
  const sayings = writeSayings(said, sequence);
  const row: Record<string, unknown> = {
    id,
    _id: neo4jKey(id),
    _label: label,
    _records: BigInt(records),
    _sequence: BigInt(sequence),
  };
  if (sayings !== null) row["_said"] = sayings;
  for (const [name, value] of propertiesOf(said)) {
    const type = types.get(name);
    if (type !== undefined && value !== null) row[name] = parameterOf(session, type, value);
  }
  return row;
}

interface EdgeGroup {
  /** Edges of which one end is new: nobody need look for them. */
  readonly fresh: object[];
  readonly added: object[];
  readonly taken: object[];
}

/** Adds net counts to edges; those that no record is left of go. */
function writeEdges(
  { session, label: own }: Neo4jTarget,
  edges: Iterable<FoldedEdge>,
  wasStored: (node: NodeRef) => boolean,
): Promise<unknown>[] {
  const groups = new Map<string, EdgeGroup>();
  for (const { type, from, to, records } of edges) {
    if (records === 0) continue;
    const group = groups.get(type) ?? { fresh: [], added: [], taken: [] };
    groups.set(type, group);
    const row = { ...end("a", from), ...end("b", to), d: BigInt(records) };
    const isFresh = !wasStored(from) || !wasStored(to);
    if (records < 0) group.taken.push(row);
    else (isFresh ? group.fresh : group.added).push(row);
  }
  const ends = `UNWIND $rows AS x MATCH (a:${own} {_id: x.a, _label: x.al}) MATCH (b:${own} {_id: x.b, _label: x.bl})`;
  return [...groups].flatMap(([type, { fresh, added, taken }]) => [
    ...sendAll(session, `${ends} CREATE (a)-[:${quote(type)} {_records: x.d}]->(b)`, fresh),
    ...sendAll(
      session,
      `${ends} MERGE (a)-[k:${quote(type)}]->(b)
        ON CREATE SET k._records = x.d ON MATCH SET k._records = k._records + x.d`,
      added,
    ),
    ...sendAll(
      session,
      `${ends} MATCH (a)-[k:${quote(type)}]->(b) SET k._records = k._records + x.d
        WITH k WHERE k._records <= 0 DELETE k`,
      taken,
    ),
  ]);
}

function end(side: "a" | "b", { label, id }: NodeRef): object {
  return { [side]: neo4jKey(id), [`${side}l`]: label };
}

function sendAll(
  session: Neo4jSession,
  statement: string,
  rows: readonly object[],
): Promise<unknown>[] {
  return [...slices(rows)].map((slice) => session.run(statement, { rows: slice }));
}

/** Quotes an identifier; names from placements hold no backtick (see `graphModel`). */
export function quote(name: string): string {
  return `\`${name}\``;
}

function* slices<Row>(rows: readonly Row[]): Generator<readonly Row[]> {
  for (let start = 0; start < rows.length; start += ROWS_MAX) {
    yield rows.slice(start, start + ROWS_MAX);
  }
}
