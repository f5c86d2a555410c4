import { SYSTEM_TENANT } from "@custody/contract/ids";

import type { PgSession } from "../drivers/postgresql-session.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { prepared, sql } from "../drivers/postgresql-sql.ts";
import type { PgResult } from "../drivers/postgresql-statements.ts";
import { openPostgresql } from "../drivers/postgresql.ts";
import type { PostgresqlOptions } from "../drivers/postgresql.ts";
import { TurnQueue } from "../drivers/turn-queue.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { ServerEngine } from "../server-engine.ts";
import type { JournalHead, JournalStore, JournalTransaction } from "./journal.ts";
import { relocateLines } from "./postgresql-journal-append.ts";
import { bytesOf, headOf } from "./postgresql-journal-entries.ts";
import { journalNumbers } from "./postgresql-journal-numbers.ts";
import { entryReads, stateReads } from "./postgresql-journal-reads.ts";
import type { JournalReading } from "./postgresql-journal-reads.ts";
import { openJournalReplica } from "./postgresql-journal-replica.ts";
import {
  EVERY_TENANT,
  JOURNAL_MIGRATION,
  JOURNAL_TABLES,
  journalDatabase,
  tenantScope,
} from "./postgresql-journal-schema.ts";
import * as state from "./postgresql-journal-state.ts";
import { PostgresqlJournalTransaction } from "./postgresql-journal-transaction.ts";

/**
 * The journal on a PostgreSQL server:
 * `postgresql://user:password@host/database?schema=custody&role=custody_app&replica=postgresql%3A%2F%2F…`.
 *
 * Commits of a tenant wait for one another at its head row; those of this process in the order of
 * asking. Reads that may be a moment old go to the `replica` once it has what this process wrote.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the client library is missing.
 */
export async function openPostgresqlJournal(
  options: Pick<PostgresqlOptions, "url" | "clock">,
): Promise<JournalStore & ServerEngine> {
  const pg = await openPostgresql({ ...options, isKeyed: true });
  const database = journalDatabase(pg);
  const replica = await openJournalReplica(pg, options.clock);
  const journal: Journal = {
    database,
    numbers: journalNumbers(database),
    replica,
    turns: new TenantTurns(options.clock),
    ready: (scope) => pg.migrate(tenantScope(scope), JOURNAL_MIGRATION),
  };
  return {
    engine: "postgresql",
    ...entryReads(journal),
    ...stateReads(journal),
    ...writing(journal),
    ...surveying(journal),
    begin: (scope) => begin(journal, tenantScope(scope)),
    health: () => pg.health(),
    async [Symbol.asyncDispose]() {
      // What a transaction that was never ended has written is taken back by the server.
      await Promise.all([pg[Symbol.asyncDispose](), replica?.[Symbol.asyncDispose]()]);
    },
  };
}

interface Journal extends JournalReading {
  readonly turns: TenantTurns;
}

/** Writers of a tenant in this process take turns, so that waiting for the lock takes no connection. */
class TenantTurns {
  readonly #clock: () => number;
  readonly #queues = new Map<string, TurnQueue>();

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  async take({ tenant, deadline }: Scope): Promise<() => void> {
    let queue = this.#queues.get(tenant);
    if (queue === undefined) this.#queues.set(tenant, (queue = new TurnQueue(this.#clock)));
    return queue.take(deadline);
  }
}

async function begin(journal: Journal, scope: Scope): Promise<JournalTransaction> {
  const { numbers, ready, turns } = journal;
  const giveTurnBack = await turns.take(scope);
  try {
    await ready(scope);
    return await numbers.trusting(() => beginInTurn(journal, scope, giveTurnBack));
  } catch (cause) {
    giveTurnBack();
    throw cause;
  }
}

async function beginInTurn(
  journal: Journal,
  scope: Scope,
  giveTurnBack: () => void,
): Promise<JournalTransaction> {
  const { database, numbers, replica } = journal;
  const tenantNo = await numbers.make(scope, "tenant", scope.tenant);
  const transaction = await database.pg.begin(scope, "commit", { durability: "journal" });
  try {
    const head = await lockHead(journal, transaction.session, { tenant: scope.tenant, tenantNo });
    return new PostgresqlJournalTransaction({
      database,
      numbers,
      scope,
      tenantNo,
      transaction,
      head,
      async onEnd() {
        giveTurnBack();
        await replica?.noteWrite(scope);
      },
      wasCommitted: (committed) => wasCommitted(journal, scope, { tenantNo, committed }),
    });
  } catch (cause) {
    await transaction.rollback();
    throw cause;
  }
}

/**
 * Takes the lock of the tenant's head, which every commit of it needs.
 *
 * @throws WrongNumber where the row is another tenant's, StoreError `corrupt` where it is gone: nothing
 *   would be locked, and sequences would begin anew.
 */
async function lockHead(
  { database, numbers }: Journal,
  session: PgSession,
  of: { readonly tenant: string; readonly tenantNo: number },
): Promise<JournalHead | undefined> {
  const { table } = database;
  const [row] =
    await session.rows(prepared`SELECT timeline, sequence, last_entry_hash, last_received_at,
      frontier, (SELECT name FROM ${table("tenant")} WHERE tenant_no = ${of.tenantNo}) AS tenant
    FROM ${table("head")} WHERE tenant_no = ${of.tenantNo} FOR UPDATE`);
  if (row?.["tenant"] === of.tenant) return headOf(row);
  await session.run(numbers.confirm(of));
  throw new StoreError("corrupt", `the journal of ${of.tenant} has lost its head`);
}

/** Whether a commit whose answer was lost was done; waits until the server has ended it. */
async function wasCommitted(
  journal: Journal,
  scope: Scope,
  { tenantNo, committed }: { readonly tenantNo: number; readonly committed: JournalHead },
): Promise<boolean> {
  const { pg, table } = journal.database;
  return pg.transaction(
    scope,
    "ask what became of a commit",
    async (session) => {
      await lockHead(journal, session, { tenant: scope.tenant, tenantNo });
      const [row] = await session.rows(sql`SELECT hash FROM ${table("entry")}
        WHERE tenant_no = ${tenantNo} AND sequence = ${committed.sequence}`);
      if (row === undefined) return false;
      return Buffer.compare(bytesOf(row["hash"]), committed.lastEntryHash) === 0;
    },
    // Its own commit waits until the other one is on the disk, and where standbys are waited for, on those.
    { durability: "journal" },
  );
}

type Writing = Pick<
  JournalStore,
  | "relocate"
  | "putIntent"
  | "renewIntents"
  | "takeExpiredIntents"
  | "takeIntents"
  | "dropIntents"
  | "putState"
  | "putQuarantine"
  | "passQuarantine"
  | "dropQuarantine"
>;

/** Prepares a small write; answers the tenant's number. */
async function enter({ numbers, ready }: Journal, scope: Scope): Promise<number> {
  await ready(scope);
  return numbers.make(scope, "tenant", scope.tenant);
}

/** Runs one statement as a small write of its own. */
async function writeOnce(
  journal: Journal,
  given: Scope,
  { doing, statement }: { readonly doing: string; readonly statement: (no: number) => PgFragment },
): Promise<PgResult> {
  const scope = tenantScope(given);
  const { database, numbers, replica } = journal;
  const [, result] = await numbers.trusting(async () => {
    const tenantNo = await enter(journal, scope);
    const isTenants = numbers.confirm({ tenant: scope.tenant, tenantNo });
    return database.pg.ask(scope, doing, [isTenants, statement(tenantNo)], "journal");
  });
  await replica?.noteWrite(scope);
  return result ?? { rows: [], count: 0, tag: "" };
}

function writing(journal: Journal): Writing {
  const { database, numbers, replica } = journal;
  const write = (scope: Scope, doing: string, statement: (tenantNo: number) => PgFragment) =>
    writeOnce(journal, scope, { doing, statement });
  return {
    async relocate(given, change) {
      const scope = tenantScope(given);
      await numbers.trusting(async () => {
        const tenantNo = await enter(journal, scope);
        const work = async (session: PgSession): Promise<void> => {
          await session.run(numbers.confirm({ tenant: scope.tenant, tenantNo }));
          await relocateLines(session, { database, tenantNo }, change);
        };
        await database.pg.transaction(scope, "relocate lines", work, { durability: "journal" });
      });
      await replica?.noteWrite(scope);
    },
    async putIntent(scope, intent) {
      await write(scope, "put an intent", (tenantNo) =>
        state.writeIntent(database, tenantNo, intent),
      );
    },
    async renewIntents(scope, segmentIds, expiresAt) {
      const ids = [...new Set(segmentIds)];
      const { count } = await write(scope, "renew intents", (tenantNo) =>
        state.renewLeases(database, tenantNo, { segmentIds: ids, expiresAt }),
      );
      return count === ids.length;
    },
    async takeExpiredIntents(scope, now, limit) {
      const { rows } = await write(scope, "take expired intents", (tenantNo) =>
        state.takeExpired(database, tenantNo, { now, limit }),
      );
      return rows.map(state.intentOf);
    },
    async takeIntents(scope, segmentIds) {
      await write(scope, "take intents", (tenantNo) =>
        state.takeIntents(database, tenantNo, segmentIds),
      );
    },
    async dropIntents(scope, segmentIds) {
      await write(scope, "drop intents", (tenantNo) =>
        state.removeIntents(database, tenantNo, segmentIds),
      );
    },
    async putState(scope, name, value) {
      await write(scope, "put state", (tenantNo) =>
        state.writeState(database, tenantNo, { name, value }),
      );
    },
    async putQuarantine(scope, rows) {
      await write(scope, "put quarantine", (tenantNo) =>
        state.writeQuarantine(database, tenantNo, rows),
      );
    },
    async passQuarantine(scope, rows) {
      await write(scope, "pass quarantine", (tenantNo) =>
        state.markPassed(database, tenantNo, rows),
      );
    },
    async dropQuarantine(scope, rows) {
      await write(scope, "drop quarantine", (tenantNo) =>
        state.removeQuarantine(database, tenantNo, rows),
      );
    },
  };
}

/** Calls on behalf of no tenant. */
const NOBODY: Scope = {
  tenant: SYSTEM_TENANT,
  actor: "service:journal",
  deadline: Number.POSITIVE_INFINITY,
};

type Surveying = Pick<JournalStore, "tenants" | "bytes" | "check">;

function surveying({ database, ready }: Journal): Surveying {
  const { pg, table } = database;
  return {
    async tenants() {
      await ready(NOBODY);
      const [, found] = await pg.ask(NOBODY, "list tenants", [
        sql`SELECT set_config('custody.space', ${EVERY_TENANT}, true)`,
        sql`SELECT name FROM ${table("tenant")} JOIN ${table("head")} USING (tenant_no)
          WHERE sequence > 0 ORDER BY name`,
      ]);
      return found?.rows.map((row) => String(row["name"])) ?? [];
    },
    async bytes() {
      await ready(NOBODY);
      const schema = pg.schema(JOURNAL_MIGRATION.component);
      const [found] = await pg.ask(NOBODY, "measure the journal", [
        sql`SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r', 'p') AND starts_with(n.nspname, ${schema})`,
      ]);
      return Number(found?.rows[0]?.["bytes"] ?? 0);
    },
    async check() {
      await ready(NOBODY);
      const firsts = JOURNAL_TABLES.map((name) =>
        verbatim(`SELECT 1 FROM ${table(name).text} LIMIT 1`),
      );
      await pg.ask(NOBODY, "check the journal", firsts);
      const [made] = await pg.ask(NOBODY, "check the journal", [
        sql`SELECT count(*) AS count FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = ${pg.schema(JOURNAL_MIGRATION.component)} AND NOT i.indisvalid`,
      ]);
      if (made?.rows[0]?.["count"] === 0) return;
      throw new StoreError("corrupt", "an index of the journal is not valid: REINDEX it");
    },
  };
}
