import { join } from "node:path";

import { Connection, Database } from "@ladybugdb/core";
import type { PreparedStatement, QueryResult } from "@ladybugdb/core";

import { CommitTurn } from "./raw-store.ts";
import { EDGES, LABELS, PendingGraph } from "./pending-graph.ts";
import type { GraphRows } from "./pending-graph.ts";
import type { RawOptions, RawStore } from "./raw-store.ts";

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
