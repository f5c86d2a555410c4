import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth } from "../server-engine.ts";
import { callMilliseconds } from "./call-limit.ts";
import { loadPostgresqlClient } from "./postgresql-connection.ts";
import type { CallLimit, PgConnection } from "./postgresql-connection.ts";
import { migrateSchema } from "./postgresql-migration.ts";
import type { PgMigration } from "./postgresql-migration.ts";
import { ConnectionPool } from "./postgresql-pool.ts";
import type { PgUse } from "./postgresql-pool.ts";
import { PgSession } from "./postgresql-session.ts";
import { prepared, sql } from "./postgresql-sql.ts";
import type { PgFragment } from "./postgresql-sql.ts";
import type { PgResult } from "./postgresql-statements.ts";
import { describeServer, parseServerUrl } from "./server-settings.ts";
import type { ServerSettings } from "./server-settings.ts";
import { spaceOf } from "./space.ts";
import { verbatim } from "./sql-fragment.ts";

/** What the engines on PostgreSQL are opened with. */
export interface PostgresqlOptions {
  /**
   * `postgresql://user:password@host:port,host:port/database?option=value`. Besides the options of every
   * server: `schema` (default `custody`; the beginning of every schema's name, so that one database can
   * hold several installations), `role` (a role to act as, which owns nothing and is bound by row-level
   * security), `sslnegotiation=direct`, `prepare=true` (named prepared statements behind a pooler that
   * keeps them: PgBouncer with `max_prepared_statements`), and for the journal `replica`.
   */
  readonly url: string;
  /** Needed for data kept per owner. */
  readonly ownerSalt?: Uint8Array;
  /** Epoch milliseconds; against it deadlines are held. */
  readonly clock: () => number;
}

/** How an engine uses the server. */
export interface PostgresqlUse {
  /** True for a standby, which is only read. */
  readonly isReplica?: boolean;
  /**
   * True where every prepared statement goes by a key: each is planned once a connection, for an index,
   * and not anew for the values of each call (0.2 to 0.5 ms a statement with arrays).
   */
  readonly isKeyed?: boolean;
}

/** How durable a transaction is once it is answered. */
export type PgDurability =
  /** It survives power loss. For the journal. */
  | "journal"
  /** Power loss may take the last ones back, with their checkpoint: they are read from the journal again. */
  | "projection";

/** A transaction that lasts over several calls of its holder; ends with `commit` or `rollback`, once. */
export interface PgTransaction {
  readonly session: PgSession;
  /**
   * Runs the last statements and commits, in one round trip.
   *
   * @throws StoreError `unavailable` when the answer is lost: it may have been done, or not.
   */
  commit(last?: readonly PgFragment[]): Promise<void>;
  rollback(): Promise<void>;
}

/** PostgreSQL as the engines on it use it: every call is confined to a scope's space and to its time. */
export interface Postgresql extends AsyncDisposable {
  /** The server for people, without secrets. */
  readonly server: string;
  readonly settings: ServerSettings;
  /** The name of one of the installation's schemas: `custody_journal` for `journal`; not quoted. */
  schema(name: string): string;
  /** The space of a scope, by which rows are told apart and which row-level security compares. */
  space(scope: Scope): string;

  /** Runs statements in one round trip and one transaction of their own. */
  ask(
    scope: Scope,
    doing: string,
    statements: readonly PgFragment[],
    durability?: PgDurability,
  ): Promise<readonly PgResult[]>;
  /** Runs reads that see one state of the database, and can write nothing. */
  read<Result>(
    scope: Scope,
    doing: string,
    work: (session: PgSession) => Promise<Result>,
  ): Promise<Result>;
  /** Runs work in a transaction; a throw takes it back. */
  transaction<Result>(
    scope: Scope,
    doing: string,
    work: (session: PgSession) => Promise<Result>,
    options: { readonly durability: PgDurability },
  ): Promise<Result>;
  /** Begins a transaction that the caller ends. */
  begin(
    scope: Scope,
    doing: string,
    options: { readonly durability: PgDurability },
  ): Promise<PgTransaction>;

  /** Makes a schema's tables or brings them up to date, once; safe when many processes begin at once. */
  migrate(scope: Scope, migration: PgMigration): Promise<void>;
  /** As `ServerEngine.health`, with what the operator should know. */
  health(): Promise<PostgresqlHealth>;
}

/** What PostgreSQL says of itself. */
export interface PostgresqlHealth extends EngineHealth {
  /** Sentences on what weakens a promise: a user whom row-level security does not bind, `fsync=off`. */
  readonly warnings: readonly string[];
}

const URL_RULES = {
  product: "PostgreSQL",
  schemes: { postgresql: "clear", postgres: "clear", timescale: "clear" },
  defaultPort: 5432,
  options: ["schema", "role", "sslnegotiation", "prepare", "replica"],
} as const;

const DEFAULT_SCHEMA = "custody";

/**
 * Makes ready to use a PostgreSQL server; connects at the first call.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the client library is missing.
 */
export async function openPostgresql(
  options: PostgresqlOptions & PostgresqlUse,
): Promise<Postgresql> {
  const settings = parseServerUrl(options.url, URL_RULES);
  await loadPostgresqlClient();
  return new PostgresqlServer(settings, options);
}

class PostgresqlServer implements Postgresql {
  readonly settings: ServerSettings;
  readonly server: string;
  readonly #options: Omit<PostgresqlOptions, "url"> & PostgresqlUse;
  readonly #pool: ConnectionPool;
  readonly #migrated = new Map<string, Promise<void>>();

  constructor(settings: ServerSettings, options: PostgresqlOptions & PostgresqlUse) {
    this.settings = settings;
    this.server = describeServer(settings);
    this.#options = options;
    this.#pool = new ConnectionPool(settings, { mustWrite: options.isReplica !== true });
  }

  schema(name: string): string {
    return `${this.settings.options["schema"] ?? DEFAULT_SCHEMA}_${name}`;
  }

  space(scope: Scope): string {
    return spaceOf(scope, this.#options.ownerSalt);
  }

  async ask(
    scope: Scope,
    doing: string,
    statements: readonly PgFragment[],
    durability: PgDurability = "projection",
  ): Promise<readonly PgResult[]> {
    const limit = this.#limit(scope, doing);
    const confined = this.#confine(scope, limit().ms, durability);
    return this.#using("call", limit, async (connection) => {
      const results = await connection.run([confined, ...statements], limit());
      return results.slice(1);
    });
  }

  async read<Result>(
    scope: Scope,
    doing: string,
    work: (session: PgSession) => Promise<Result>,
  ): Promise<Result> {
    const limit = this.#limit(scope, doing);
    return this.#using("call", limit, (connection) => {
      const begin = verbatim("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      return this.#inTransaction(
        connection,
        { scope, begin, limit, durability: "projection" },
        work,
      );
    });
  }

  async transaction<Result>(
    scope: Scope,
    doing: string,
    work: (session: PgSession) => Promise<Result>,
    { durability }: { readonly durability: PgDurability },
  ): Promise<Result> {
    const limit = this.#limit(scope, doing);
    return this.#using("transaction", limit, (connection) =>
      this.#inTransaction(connection, { scope, begin: BEGIN, limit, durability }, work),
    );
  }

  async begin(
    scope: Scope,
    doing: string,
    { durability }: { readonly durability: PgDurability },
  ): Promise<PgTransaction> {
    const limit = this.#limit(scope, doing);
    const opening = [BEGIN, this.#confine(scope, limit().ms, durability)];
    const connection = await this.#pool.acquire("transaction", limit().ms);
    const session = this.#session(connection, opening, limit);
    return {
      session,
      commit: async (last = []) => {
        try {
          if (!session.isUnused) await endTransaction(connection, [...last, COMMIT], limit());
        } catch (cause) {
          connection.destroy();
          throw cause;
        } finally {
          this.#pool.release("transaction", connection);
        }
      },
      rollback: async () => {
        await takeBack(connection, session);
        this.#pool.release("transaction", connection);
      },
    };
  }

  async migrate(scope: Scope, migration: PgMigration): Promise<void> {
    const { component } = migration;
    let migrated = this.#migrated.get(component);
    if (migrated === undefined) {
      migrated = this.#migrate(scope, migration);
      this.#migrated.set(component, migrated);
      migrated.catch(() => this.#migrated.delete(component));
    }
    await migrated;
  }

  async health(): Promise<PostgresqlHealth> {
    const startedAt = performance.now();
    const limit = (): CallLimit => ({ doing: "answer", ms: this.settings.timeoutMs });
    return this.#using("call", limit, async (connection) => {
      await connection.run([sql`SELECT 1`], limit());
      const { version } = connection.facts;
      const tookMs = performance.now() - startedAt;
      return { product: "PostgreSQL", version, tookMs, warnings: this.#warnings(connection) };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }

  #warnings({ facts }: PgConnection): readonly string[] {
    const warnings: string[] = [];
    if (facts.bypassesRowSecurity && this.#role() === undefined) {
      warnings.push(
        "row-level security does not bind this user: log in as one without SUPERUSER and BYPASSRLS, or name a role with role=",
      );
    }
    if (!facts.isDurable) {
      warnings.push(
        "fsync or full_page_writes is off: an acknowledged commit may not survive power loss",
      );
    }
    return warnings;
  }

  #role(): string | undefined {
    return this.settings.options["role"];
  }

  async #migrate(scope: Scope, migration: PgMigration): Promise<void> {
    const limit = this.#limit(scope, `bring ${migration.component} up to date`);
    const schema = this.schema(migration.component);
    await this.#using("call", limit, (connection) =>
      migrateSchema(connection, migration, { schema, role: this.#role(), limit }),
    );
  }

  #limit(scope: Scope, doing: string): () => CallLimit {
    const { timeoutMs } = this.settings;
    return () => ({ doing, ms: callMilliseconds(scope, timeoutMs, this.#options.clock()) });
  }

  async #using<Result>(
    use: PgUse,
    limit: () => CallLimit,
    work: (connection: PgConnection) => Promise<Result>,
  ): Promise<Result> {
    const connection = await this.#pool.acquire(use, limit().ms);
    try {
      return await work(connection);
    } finally {
      this.#pool.release(use, connection);
    }
  }

  async #inTransaction<Result>(
    connection: PgConnection,
    options: {
      readonly scope: Scope;
      readonly begin: PgFragment;
      readonly limit: () => CallLimit;
      readonly durability: PgDurability;
    },
    work: (session: PgSession) => Promise<Result>,
  ): Promise<Result> {
    const { scope, begin, limit, durability } = options;
    const opening = [begin, this.#confine(scope, limit().ms, durability)];
    const session = this.#session(connection, opening, limit);
    try {
      const result = await work(session);
      if (!session.isUnused) await endTransaction(connection, [COMMIT], limit());
      return result;
    } catch (cause) {
      await takeBack(connection, session);
      throw cause;
    }
  }

  #session(
    connection: PgConnection,
    opening: readonly PgFragment[],
    limit: () => CallLimit,
  ): PgSession {
    return new PgSession(connection, { opening, role: this.#role(), limit });
  }

  /**
   * Settings of the transaction that it begins, gone with it: so a pooler may give the connection to
   * somebody else afterwards. The server gives up a little earlier than the client, which would have to
   * cut the connection.
   */
  #confine(scope: Scope, ms: number, durability: PgDurability): PgFragment {
    const space = this.space(scope);
    const serverMs = String(Math.max(1, Math.floor(ms - Math.min(ms / 10, SERVER_LEAD_MS))));
    const idleMs = String(this.settings.timeoutMs);
    const role = this.#role();
    const settings = prepared`SELECT set_config('custody.space', ${space}, true),
      set_config('statement_timeout', ${serverMs}, true), set_config('lock_timeout', ${serverMs}, true),
      set_config('idle_in_transaction_session_timeout', ${idleMs}, true),
      set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true),
      ${SYNCHRONOUS[durability]}${this.#options.isKeyed === true ? KEYED : verbatim("")}`;
    return role === undefined
      ? settings
      : { ...sql`${settings}, set_config('role', ${role}, true)`, isPrepared: true };
  }
}

/** @throws StoreError `unavailable` when the server took back what was to be committed. */
async function endTransaction(
  connection: PgConnection,
  statements: readonly PgFragment[],
  limit: CallLimit,
): Promise<void> {
  // Outside of a transaction the server would answer COMMIT to COMMIT, with no more than a warning.
  const results =
    connection.isInTransaction === false ? [] : await connection.run(statements, limit);
  // A transaction in which a statement failed is rolled back by COMMIT without an error.
  if (results.length > 0 && results.at(-1)?.tag === statements.at(-1)?.text) return;
  throw new StoreError(
    "unavailable",
    `PostgreSQL could not ${limit.doing}: it took the transaction back`,
  );
}

/** Rolls back; where that fails, the server does it when the connection ends. */
async function takeBack(connection: PgConnection, session: PgSession): Promise<void> {
  if (connection.isLost || session.isUnused) return;
  try {
    await endTransaction(connection, [verbatim("ROLLBACK")], {
      doing: "roll back",
      ms: ROLLBACK_MS_MAX,
    });
  } catch {
    // The caller is told what went wrong first.
    connection.destroy();
  }
}

// Whatever the server's default: who waited for a lock must see what was committed meanwhile.
const BEGIN = verbatim("BEGIN ISOLATION LEVEL READ COMMITTED");
const COMMIT = verbatim("COMMIT");

const SERVER_LEAD_MS = 250;
const ROLLBACK_MS_MAX = 5_000;

// Tables that were empty when a statement was planned would else be read whole until they are analysed.
const KEYED = verbatim(`, set_config('plan_cache_mode', 'force_generic_plan', true),
  set_config('enable_seqscan', 'off', true)`);

const SYNCHRONOUS: Readonly<Record<PgDurability, PgFragment>> = {
  projection: verbatim("set_config('synchronous_commit', 'off', true)"),
  // What the server asks for beyond its own disk (remote_apply) stays.
  journal:
    verbatim(`set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit')
    IN ('off', 'local') THEN 'on' ELSE current_setting('synchronous_commit') END, true)`),
};
