import { sql } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgResult } from "../drivers/postgresql-statements.ts";
import { openPostgresql } from "../drivers/postgresql.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";

/** A standby that takes reads off the primary. */
export interface JournalReplica extends AsyncDisposable {
  /** Notes that this process has written: reads go to the primary until the replica has it. */
  noteWrite(scope: Scope): Promise<void>;
  /** Runs reads there; `undefined` when it is down, or has not yet what this process wrote. */
  ask(
    scope: Scope,
    doing: string,
    statements: readonly PgFragment[],
  ): Promise<readonly PgResult[] | undefined>;
}

// While it is down, each read would wait for a connection first.
const REST_MS = 5_000;

/**
 * Opens the replica that the URL names; `undefined` when it names none.
 *
 * What was written is told by the position in the write-ahead log: the replica is asked for it within
 * the statements of the read itself, so that their snapshot is no older.
 */
export async function openJournalReplica(
  primary: Postgresql,
  clock: () => number,
): Promise<JournalReplica | undefined> {
  const { replica: url, schema, role } = primary.settings.options;
  if (url === undefined) return undefined;
  const pg = await openPostgresql({
    url: sameInstallation(url, { schema, role }),
    clock,
    isReplica: true,
    isKeyed: true,
  });
  let writtenTo: string | undefined;
  let asked = 0;
  let restsUntil = 0;
  const noteWrite = async (scope: Scope): Promise<void> => {
    // Until the position is known, no read can go to the replica.
    writtenTo = undefined;
    const turn = ++asked;
    const position = sql`SELECT pg_current_wal_insert_lsn()::text AS lsn`;
    const [found] = await primary.ask(scope, "read the log's position", [position]);
    const lsn = found?.rows[0]?.["lsn"];
    // An answer that was overtaken is older than what was written since.
    if (typeof lsn === "string" && turn === asked) writtenTo = lsn;
  };
  return {
    noteWrite: (scope) => noteWrite(scope).catch(() => undefined),
    async ask(scope, doing, statements) {
      if (clock() < restsUntil) return undefined;
      // A process that was just started reads what those before it wrote.
      if (writtenTo === undefined) await noteWrite(scope);
      if (writtenTo === undefined) return undefined;
      const reached = sql`SELECT pg_last_wal_replay_lsn() >= ${writtenTo}::pg_lsn AS reached`;
      try {
        const [is, ...results] = await pg.ask(scope, doing, [reached, ...statements]);
        return is?.rows[0]?.["reached"] === true ? results : undefined;
      } catch (cause) {
        if (!(cause instanceof StoreError) || cause.code !== "unavailable") throw cause;
        restsUntil = clock() + REST_MS;
        return undefined;
      }
    },
    [Symbol.asyncDispose]: () => pg[Symbol.asyncDispose](),
  };
}

/** The replica holds the primary's schemas and roles, whatever its own URL says. */
function sameInstallation(
  url: string,
  options: Readonly<Record<string, string | undefined>>,
): string {
  const [address = "", query = ""] = url.split(/\?(.*)/s, 2);
  const parameters = new URLSearchParams(query);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) parameters.delete(name);
    else parameters.set(name, value);
  }
  return `${address}?${parameters.toString()}`;
}
