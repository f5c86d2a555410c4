import { sql } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgResult } from "../drivers/postgresql-statements.ts";
import { openPostgresql } from "../drivers/postgresql.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { verbatim } from "../drivers/sql-fragment.ts";

/** A standby that takes reads off the primary. */
export interface JournalReplica extends AsyncDisposable {
  /** Notes that this process has written: reads go to the primary until the replica has it. */
  noteWrite(scope: Scope): Promise<void>;
  /** Reads from the primary, and notes what was seen: a later read of the replica is no older. */
  askPrimary(
    scope: Scope,
    doing: string,
    statements: readonly PgFragment[],
  ): Promise<readonly PgResult[]>;
  /** Runs reads there; `undefined` when it is down, or has not yet what this process has seen. */
  ask(
    scope: Scope,
    doing: string,
    statements: readonly PgFragment[],
  ): Promise<readonly PgResult[] | undefined>;
}

// While it is down, each read would wait for a connection first.
const REST_MS = 5_000;
// One that hangs must leave the primary the time to answer.
const ANSWER_MS_MAX = 2_000;

const PRIMARY_AT = verbatim("SELECT pg_current_wal_insert_lsn()::text AS lsn");
const REPLICA_AT = verbatim("SELECT pg_last_wal_replay_lsn()::text AS lsn");

/**
 * Opens the replica that the URL names; `undefined` when it names none.
 *
 * What this process has written or read is told by positions in the write-ahead log. The replica is asked
 * for its own within the statements of the read, so that their snapshots are no older.
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
  const seen = new SeenPosition();
  let restsUntil = 0;
  const noteWrite = async (scope: Scope): Promise<void> => {
    const note = seen.asking();
    try {
      const [found] = await primary.ask(scope, "read the log's position", [PRIMARY_AT]);
      note(found);
    } catch {
      // Until the position is known, no read can go to the replica.
      seen.forget();
    }
  };
  return {
    noteWrite,
    async askPrimary(scope, doing, statements) {
      const note = seen.asking();
      const results = await primary.ask(scope, doing, [...statements, PRIMARY_AT]);
      note(results.at(-1));
      return results.slice(0, -1);
    },
    async ask(scope, doing, statements) {
      const now = clock();
      if (now < restsUntil) return undefined;
      // A process that was just started reads what those before it wrote.
      if (seen.position === undefined) await noteWrite(scope);
      if (seen.position === undefined) return undefined;
      const reached = sql`SELECT pg_last_wal_replay_lsn() >= ${seen.position}::pg_lsn AS reached`;
      const soon = { ...scope, deadline: Math.min(scope.deadline, now + ANSWER_MS_MAX) };
      const note = seen.asking();
      try {
        const answers = await pg.ask(soon, doing, [reached, ...statements, REPLICA_AT]);
        if (answers[0]?.rows[0]?.["reached"] !== true) return undefined;
        // Behind a name of several standbys the next one may be further behind.
        note(answers.at(-1));
        return answers.slice(1, -1);
      } catch (cause) {
        if (!(cause instanceof StoreError)) throw cause;
        // Where it has not the tables yet, statements fail before it can say that it is behind.
        if (cause.code === "unavailable") restsUntil = clock() + REST_MS;
        return undefined;
      }
    },
    [Symbol.asyncDispose]: () => pg[Symbol.asyncDispose](),
  };
}

/** How far into the log what this process has seen reaches. */
class SeenPosition {
  #position: string | undefined;
  #forgotten = 0;

  /** `undefined` when it is not known. */
  get position(): string | undefined {
    return this.#position;
  }

  forget(): void {
    this.#position = undefined;
    this.#forgotten += 1;
  }

  /** Call before asking for a position, and the answer with what was answered. */
  asking(): (result: PgResult | undefined) => void {
    const forgotten = this.#forgotten;
    return (result) => {
      const lsn = result?.rows[0]?.["lsn"];
      // An answer that was asked for before something else was written may be older than that.
      if (typeof lsn !== "string" || forgotten !== this.#forgotten) return;
      const isLater = this.#position === undefined || placeOf(lsn) > placeOf(this.#position);
      if (isLater) this.#position = lsn;
    };
  }
}

/** `16/B374D848` as a number. */
function placeOf(lsn: string): bigint {
  const [high = "0", low = "0"] = lsn.split("/");
  return BigInt(`0x${high}`) * 4_294_967_296n + BigInt(`0x${low}`);
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
