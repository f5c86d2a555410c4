import type { Neo4jCall, Neo4jServer } from "../drivers/neo4j.ts";
import type { Neo4jSession } from "../drivers/neo4j-session.ts";
import type { Neo4jSlots } from "../drivers/neo4j-slots.ts";
import { StoreError } from "../errors.ts";
import { lockGraph, readState, setCommitting } from "./neo4j-place.ts";
import type { Neo4jPlace } from "./neo4j-place.ts";

/** What was read, and the checkpoint that it was read at. */
export interface Neo4jReading<Result> {
  readonly result: Result;
  readonly checkpoint: number;
}

/** Where and how a graph is read. */
export interface Neo4jReader {
  readonly server: Neo4jServer;
  readonly place: Neo4jPlace;
  /** For calls that keep the graph's lock. */
  readonly writers: Neo4jSlots;
}

// Readings that a commit may spoil before writers are held off.
const ATTEMPTS_MAX = 3;

/**
 * Reads a graph as it stands at one checkpoint; `undefined` when there is none.
 *
 * Neo4j has no snapshots: a statement sees a transaction that is committed meanwhile, and may see it in
 * part (neo4j.com/docs/operations-manual/current/database-internals/concurrent-data-access). A writer
 * therefore says when it commits, before and after, in transactions of their own; a reading during
 * which nobody said so, and which found the same checkpoint before and after, saw one state of the
 * graph. Any other is made again, at last with writers held off; so it also gets past a writer that
 * ended without saying so.
 */
export async function readGraph<Result>(
  { server, place, writers }: Neo4jReader,
  call: Neo4jCall,
  work: (session: Neo4jSession) => Promise<Result>,
): Promise<Neo4jReading<Result> | undefined> {
  const attempt = (): Promise<Neo4jReading<Result> | "spoilt" | undefined> =>
    server.read(call, (session) => readOnce(session, place, work));
  for (let attempts = 0; attempts < ATTEMPTS_MAX; attempts += 1) {
    const reading = await attempt();
    if (reading !== "spoilt") return reading;
  }
  return await writers.run(server.timeOf(call), () =>
    server.write(call, async (session) => {
      if ((await lockGraph(session, place)) === undefined) return undefined;
      await setCommitting(server, call, { place, isCommitting: false });
      const reading = await attempt();
      if (reading !== "spoilt") return reading;
      throw new StoreError("unavailable", "the graph changed while it was locked");
    }),
  );
}

async function readOnce<Result>(
  session: Neo4jSession,
  place: Neo4jPlace,
  work: (session: Neo4jSession) => Promise<Result>,
): Promise<Neo4jReading<Result> | "spoilt" | undefined> {
  const before = await readState(session, place);
  if (before === undefined) return undefined;
  if (before.isCommitting) return "spoilt";
  const result = await work(session);
  const after = await readState(session, place);
  const isSame = after?.checkpoint === before.checkpoint && !after.isCommitting;
  return isSame ? { result, checkpoint: before.checkpoint } : "spoilt";
}
