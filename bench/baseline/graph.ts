import { join } from "node:path";

import { Connection, Database } from "@ladybugdb/core";
import type { PreparedStatement, QueryResult } from "@ladybugdb/core";

import { CommitTurn } from "./raw-store.ts";
import type { RawBatch, RawOptions, RawStore } from "./raw-store.ts";

/** What the graph takes of each record: session, model, probe, vulnerabilities. */
export type GraphRows = readonly (readonly [string, string, string, readonly string[]])[];

export function graphRows({ records }: RawBatch): GraphRows {
  return records.map(({ session_id, model, probe, vulnerability_ids }) => [
    session_id,
    model,
    probe,
    vulnerability_ids,
  ]);
}

const LABELS = ["Session", "Model", "Probe", "Vulnerability"] as const;
type Label = (typeof LABELS)[number];
const EDGES = {
  TESTED: ["Session", "Model"],
  USED: ["Session", "Probe"],
  FOUND: ["Probe", "Vulnerability"],
} as const satisfies Record<string, readonly [Label, Label]>;
type EdgeType = keyof typeof EDGES;

interface Edge {
  readonly type: EdgeType;
  readonly from: string;
  readonly to: string;
  count: number;
  /** Not stored yet. */
  isFresh: boolean;
}

/** A node's id, or an edge with its count. */
type GraphValue = string | { from: string; to: string; count: number };

const MIB = 2 ** 20;

/** Nodes and edges, deduplicated in memory: only new ones and changed counts reach the database. */
export async function openRawGraph(options: RawOptions): Promise<RawStore<GraphRows>> {
  const path = join(options.directory, "graph.lbug");
  const database = new Database(path, 256 * MIB, true, false, 16 * 1024 * MIB, true, 1024 * MIB);
  const connection = new Connection(database, 1);
  for (const label of LABELS) {
    await run(connection, `CREATE NODE TABLE ${label} (id STRING PRIMARY KEY)`);
  }
  for (const [type, [from, to]] of Object.entries(EDGES)) {
    await run(connection, `CREATE REL TABLE ${type} (FROM ${from} TO ${to}, count INT64)`);
  }
  const statements = await prepareStatements(connection);
  const pending = new PendingGraph();
  const turn = new CommitTurn(options);
  const commit = async (): Promise<void> => {
    await run(connection, "BEGIN TRANSACTION");
    for (const { statement, rows } of pending.take()) {
      const prepared = statements.get(statement);
      if (prepared === undefined || rows.length === 0) continue;
      closeResult(await connection.execute(prepared, { rows: [...rows] }));
    }
    await run(connection, "COMMIT");
  };
  return {
    async write(rows) {
      pending.add(rows);
      if (turn.add()) await commit();
    },
    async close() {
      if (turn.end()) await commit();
      await run(connection, "CHECKPOINT");
      await connection.close();
      await database.close();
    },
  };
}

/** Nodes and edges seen so far, and those that have to be written. */
class PendingGraph {
  readonly #nodes = new Set<string>();
  readonly #edges = new Map<string, Edge>();
  #fresh = new Map<Label, string[]>();
  #changed = new Set<Edge>();

  add(rows: GraphRows): void {
    for (const [session, model, probe, vulnerabilities] of rows) {
      this.#edge("TESTED", session, model);
      this.#edge("USED", session, probe);
      for (const vulnerability of vulnerabilities) this.#edge("FOUND", probe, vulnerability);
    }
  }

  /** What is to be written, in order; nodes before the edges between them. */
  take(): readonly { readonly statement: string; readonly rows: readonly GraphValue[] }[] {
    const edges = [...this.#changed];
    const plain = (type: string, isFresh: boolean): GraphValue[] =>
      edges
        .filter((edge) => edge.type === type && edge.isFresh === isFresh)
        .map(({ from, to, count }) => ({ from, to, count }));
    const types = Object.keys(EDGES);
    const taken = [
      ...LABELS.map((label) => ({ statement: label, rows: this.#fresh.get(label) ?? [] })),
      ...types.map((type) => ({ statement: `add ${type}`, rows: plain(type, true) })),
      ...types.map((type) => ({ statement: `count ${type}`, rows: plain(type, false) })),
    ];
    for (const edge of edges) edge.isFresh = false;
    this.#changed = new Set();
    this.#fresh = new Map();
    return taken;
  }

  #edge(type: EdgeType, from: string, to: string): void {
    const key = `${type} ${from} ${to}`;
    let edge = this.#edges.get(key);
    if (edge === undefined) {
      this.#node(EDGES[type][0], from);
      this.#node(EDGES[type][1], to);
      edge = { type, from, to, count: 0, isFresh: true };
      this.#edges.set(key, edge);
    }
    edge.count += 1;
    this.#changed.add(edge);
  }

  #node(label: Label, id: string): void {
    const key = `${label} ${id}`;
    if (this.#nodes.has(key)) return;
    this.#nodes.add(key);
    const list = this.#fresh.get(label) ?? [];
    list.push(id);
    this.#fresh.set(label, list);
  }
}

async function prepareStatements(
  connection: Connection,
): Promise<ReadonlyMap<string, PreparedStatement>> {
  const statements = new Map<string, PreparedStatement>();
  for (const label of LABELS) {
    const text = `UNWIND $rows AS id CREATE (:${label} {id: id})`;
    statements.set(label, await connection.prepare(text));
  }
  for (const [type, [from, to]] of Object.entries(EDGES)) {
    statements.set(
      `add ${type}`,
      await connection.prepare(`UNWIND $rows AS r MATCH (a:${from} {id: r.from}), (b:${to} {id: r.to})
        CREATE (a)-[:${type} {count: r.count}]->(b)`),
    );
    statements.set(
      `count ${type}`,
      await connection.prepare(`UNWIND $rows AS r
        MATCH (a:${from} {id: r.from})-[e:${type}]->(b:${to} {id: r.to}) SET e.count = r.count`),
    );
  }
  return statements;
}

async function run(connection: Connection, statement: string): Promise<void> {
  closeResult(await connection.query(statement));
}

function closeResult(result: QueryResult | QueryResult[]): void {
  for (const one of Array.isArray(result) ? result : [result]) one.close();
}
