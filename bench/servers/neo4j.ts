import neo4j from "neo4j-driver";
import type { Driver } from "neo4j-driver";

import { parseNeo4jUrl } from "@custody/stores/drivers/neo4j-settings";

import { EDGES, LABELS, PendingGraph } from "../baseline/pending-graph.ts";
import type { GraphRows } from "../baseline/pending-graph.ts";
import type { RawStore } from "../baseline/raw-store.ts";

const ROWS_A_DELETION = 10_000;

/** The server, and the names that an installation's labels begin with. */
export function rawGraph(url: string): { readonly driver: Driver; readonly prefix: string } {
  const { address, auth, installation } = parseNeo4jUrl(url);
  return { driver: neo4j.driver(address, auth), prefix: installation };
}

/** Nodes and edges folded in memory; new ones and changed counts by UNWIND, a transaction a batch. */
export async function openRawNeo4j(url: string): Promise<RawStore<GraphRows>> {
  const { driver, prefix } = rawGraph(url);
  for (const label of LABELS) {
    const name = `${prefix}_${label}`;
    await driver.executeQuery(`CREATE CONSTRAINT ${name} FOR (n:${name}) REQUIRE n.id IS UNIQUE`);
  }
  const statements = statementsOf(prefix);
  const pending = new PendingGraph();
  const session = driver.session();
  return {
    async write(rows) {
      pending.add(rows);
      const parts = pending.take();
      await session.executeWrite(async (transaction) => {
        for (const { statement, rows: values } of parts) {
          const text = statements.get(statement);
          if (text !== undefined && values.length > 0)
            await transaction.run(text, { rows: values });
        }
      });
    },
    async close() {
      await session.close();
      await driver.close();
    },
  };
}

/** Removes what the raw client has written. */
export async function dropRawGraph(url: string): Promise<void> {
  const { driver, prefix } = rawGraph(url);
  for (const label of LABELS) {
    const name = `${prefix}_${label}`;
    const text = `MATCH (n:${name}) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF ${ROWS_A_DELETION} ROWS`;
    const session = driver.session();
    await session.run(text);
    await session.run(`DROP CONSTRAINT ${name} IF EXISTS`);
    await session.close();
  }
  await driver.close();
}

function statementsOf(prefix: string): ReadonlyMap<string, string> {
  const statements = new Map<string, string>();
  for (const label of LABELS) {
    statements.set(label, `UNWIND $rows AS id CREATE (:${prefix}_${label} {id: id})`);
  }
  for (const [type, [from, to]] of Object.entries(EDGES)) {
    const match = `UNWIND $rows AS r MATCH (a:${prefix}_${from} {id: r.from}), (b:${prefix}_${to} {id: r.to})`;
    statements.set(`add ${type}`, `${match} CREATE (a)-[:${type} {count: r.count}]->(b)`);
    statements.set(
      `count ${type}`,
      `UNWIND $rows AS r MATCH (a:${prefix}_${from} {id: r.from})-[e:${type}]->(:${prefix}_${to} {id: r.to}) SET e.count = r.count`,
    );
  }
  return statements;
}
