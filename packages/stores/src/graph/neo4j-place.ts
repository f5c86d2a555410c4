import { createHash } from "node:crypto";

import type { Neo4jCall, Neo4jServer } from "../drivers/neo4j.ts";
import type { Neo4jSession } from "../drivers/neo4j-session.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";

/** Where a graph lies in a database that it shares with others. */
export interface Neo4jPlace {
  /**
   * The label that all of its nodes have and no others, which is also the name of its constraint and the
   * key of its bookkeeping. A plain word, so that it needs no quoting.
   */
  readonly label: string;
  readonly installation: string;
  /** The tenant, or the owner in it. */
  readonly space: string;
  readonly name: string;
  readonly generation: number;
}

/** Finds where the graph of a space lies. @throws StoreError `refused` for a collection's name that is none. */
export function neo4jPlace(
  { installation, space }: { readonly installation: string; readonly space: string },
  { name, generation }: Pick<Collection<unknown>, "name" | "generation">,
): Neo4jPlace {
  if (!/^[a-z0-9_]{1,63}(?:\/[a-z0-9_]{1,63})?$/.test(name) || !Number.isSafeInteger(generation)) {
    throw new StoreError("refused", `not a collection: ${JSON.stringify(name)} ${generation}`);
  }
  const key = JSON.stringify([installation, space, name, generation]);
  const digest = createHash("sha256").update(key).digest("hex").slice(0, 32);
  return { label: `custody_${digest}`, installation, space, name, generation };
}

// Bookkeeping is two nodes a graph: what is written in the delivery's own transaction, which stays locked
// until its end, and what is written beside it, so that readers know when it is being committed.
const SCHEMA = [
  "CREATE CONSTRAINT custody_graph IF NOT EXISTS FOR (g:CustodyGraph) REQUIRE g.key IS UNIQUE",
  "CREATE CONSTRAINT custody_gate IF NOT EXISTS FOR (g:CustodyGate) REQUIRE g.key IS UNIQUE",
];

// Rows removed in one transaction.
const DISCARD_ROWS = 10_000;

/** Where a graph stands, as one transaction sees it. */
export interface Neo4jGraphState {
  readonly checkpoint: number;
  /** A delivery is being committed: its rows may be seen in part. */
  readonly isCommitting: boolean;
}

/** Reads where a graph stands; `undefined` when there is none. */
export async function readState(
  session: Neo4jSession,
  { label }: Neo4jPlace,
): Promise<Neo4jGraphState | undefined> {
  const [row] = await session.run(
    `MATCH (g:CustodyGraph {key: $key}) WHERE g.isDiscarded IS NULL
      OPTIONAL MATCH (o:CustodyGate {key: $key})
      RETURN g.checkpoint AS checkpoint, o.committing IS NOT NULL AS isCommitting`,
    { key: label },
  );
  if (row === undefined) return undefined;
  return { checkpoint: Number(row["checkpoint"]), isCommitting: row["isCommitting"] === true };
}

/** Keeps other writers out until the transaction ends; answers the checkpoint, or `undefined` for no graph. */
export async function lockGraph(
  session: Neo4jSession,
  { label }: Neo4jPlace,
): Promise<number | undefined> {
  // Writing locks the node, whatever is written (neo4j.com/docs/operations-manual/current/database-internals/locks-deadlocks).
  const [row] = await session.run(
    `MATCH (g:CustodyGraph {key: $key}) SET g.lockedBy = 'custody'
      WITH g WHERE g.isDiscarded IS NULL RETURN g.checkpoint AS checkpoint`,
    { key: label },
  );
  return row === undefined ? undefined : Number(row["checkpoint"]);
}

/** Moves the checkpoint of a locked graph. */
export async function writeCheckpoint(
  session: Neo4jSession,
  { label }: Neo4jPlace,
  checkpoint: number,
): Promise<void> {
  await session.run("MATCH (g:CustodyGraph {key: $key}) SET g.checkpoint = $checkpoint", {
    key: label,
    checkpoint: BigInt(checkpoint),
  });
}

/** Tells readers that the graph's lock holder commits (`true`), or has done so. */
export async function setCommitting(
  server: Neo4jServer,
  call: Neo4jCall,
  { place, isCommitting }: { readonly place: Neo4jPlace; readonly isCommitting: boolean },
): Promise<void> {
  await server.write(call, async (session) => {
    await session.run("MATCH (o:CustodyGate {key: $key}) SET o.committing = $committing", {
      key: place.label,
      committing: isCommitting ? true : null,
    });
  });
}

/** Makes a graph's constraint and bookkeeping where they are missing. */
export async function makeGraph(
  server: Neo4jServer,
  call: Neo4jCall,
  place: Neo4jPlace,
): Promise<void> {
  const { label, ...about } = place;
  const found = await server.read(call, async (session) => await findBookkeeping(session, label));
  if (found === "graph") return;
  // A change of the schema makes the server plan every statement anew, so none is made for nothing.
  if (found === "nothing") for (const statement of SCHEMA) await server.define(call, statement);
  // What another process began to discard, or did not end discarding, goes first.
  if (found === "discarded graph") await discardGraph(server, call, place);
  await server.define(
    call,
    `CREATE CONSTRAINT ${label} IF NOT EXISTS FOR (n:${label}) REQUIRE (n._id, n._label) IS UNIQUE`,
  );
  await server.write(call, async (session) => {
    await session.run(
      `MERGE (g:CustodyGraph {key: $key}) ON CREATE SET g += $about, g.checkpoint = 0
        MERGE (:CustodyGate {key: $key})`,
      { key: label, about: { ...about, generation: BigInt(about.generation) } },
    );
  });
}

async function findBookkeeping(
  session: Neo4jSession,
  key: string,
): Promise<"graph" | "discarded graph" | "other graphs" | "nothing"> {
  const [own] = await session.run(
    "MATCH (g:CustodyGraph {key: $key}) RETURN g.isDiscarded IS NOT NULL AS isDiscarded",
    { key },
  );
  if (own !== undefined) return own["isDiscarded"] === true ? "discarded graph" : "graph";
  const [other] = await session.run("MATCH (g:CustodyGraph) RETURN 1 AS one LIMIT 1");
  return other === undefined ? "nothing" : "other graphs";
}

/**
 * Removes a graph: from its marking on readers see nothing of it, however long the rest takes. What was
 * interrupted is taken up by the next `discardGraph` or `makeGraph`.
 */
export async function discardGraph(
  server: Neo4jServer,
  call: Neo4jCall,
  { label }: Neo4jPlace,
): Promise<void> {
  const mark = "MATCH (g:CustodyGraph {key: $key}) SET g.isDiscarded = true RETURN 1 AS one";
  const marked = await server.write(call, async (session) => session.run(mark, { key: label }));
  if (marked.length === 0) return;
  await removeInParts(server, call, `MATCH (:${label})-[k]->() WITH k LIMIT $rows DELETE k`);
  await removeInParts(server, call, `MATCH (n:${label}) WITH n LIMIT $rows DETACH DELETE n`);
  // While the lock is held no other process makes the graph anew, whose constraint this would drop.
  await server.write(call, async (session) => {
    if ((await session.run(mark, { key: label })).length === 0) return;
    await server.define(call, `DROP CONSTRAINT ${label} IF EXISTS`);
    await session.run(
      `MATCH (g:CustodyGraph {key: $key}) DELETE g
        WITH 1 AS one MATCH (o:CustodyGate {key: $key}) DELETE o`,
      { key: label },
    );
  });
}

async function removeInParts(
  server: Neo4jServer,
  call: Neo4jCall,
  statement: string,
): Promise<void> {
  for (let removed = DISCARD_ROWS; removed === DISCARD_ROWS;) {
    removed = await server.write(call, async (session) => {
      const [row] = await session.run(`${statement} RETURN count(*) AS removed`, {
        rows: BigInt(DISCARD_ROWS),
      });
      return Number(row?.["removed"] ?? 0);
    });
  }
}

/** The graphs of a space. */
export async function findGraphs(
  session: Neo4jSession,
  { installation, space }: Pick<Neo4jPlace, "installation" | "space">,
): Promise<readonly Neo4jPlace[]> {
  const rows = await session.run(
    `MATCH (g:CustodyGraph {installation: $installation, space: $space})
      WHERE g.isDiscarded IS NULL
      RETURN g.key AS label, g.name AS name, g.generation AS generation`,
    { installation, space },
  );
  return rows.map((row) => ({
    label: String(row["label"]),
    installation,
    space,
    name: String(row["name"]),
    generation: Number(row["generation"]),
  }));
}
