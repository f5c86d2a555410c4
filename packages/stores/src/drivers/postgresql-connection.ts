import type * as PgLibrary from "pg";
import type { Client, ClientConfig } from "pg";

import { StoreError } from "../errors.ts";
import { withinMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { isConnectionUseless, mapPostgresqlError } from "./postgresql-errors.ts";
import { sql } from "./postgresql-sql.ts";
import type { PgFragment } from "./postgresql-sql.ts";
import { CopyIn, PreparedStatements, StatementGroup } from "./postgresql-statements.ts";
import type { PgResult, PgRow } from "./postgresql-statements.ts";
import { describeServer } from "./server-settings.ts";
import type { ServerHost, ServerSettings } from "./server-settings.ts";

/** What a server said of itself when the connection was made. */
export interface PgServerFacts {
  /** `18.4`. */
  readonly version: string;
  /** True for a standby, or where writing is forbidden. */
  readonly isReadOnly: boolean;
  /** True where a pooler stands between: no session state lasts longer than a transaction. */
  readonly isPooled: boolean;
  /** True for a user whom row-level security does not bind. */
  readonly bypassesRowSecurity: boolean;
  /** True where a commit survives power loss (`fsync`, `full_page_writes`). */
  readonly isDurable: boolean;
}

/** One connection to a PostgreSQL server; one call at a time. */
export class PgConnection {
  readonly facts: PgServerFacts;
  readonly #client: PgClient;
  readonly #prepared: PreparedStatements | undefined;
  #isLost = false;
  #status: string | undefined = "I";

  constructor(client: PgClient, facts: PgServerFacts, isPreparing: boolean) {
    this.#client = client;
    this.facts = facts;
    this.#prepared = isPreparing ? new PreparedStatements() : undefined;
    const lose = (): void => {
      this.#isLost = true;
    };
    client.on("error", lose);
    client.on("end", lose);
    // What the server says after each call: idle, in a transaction, or in one that has failed.
    client.connection.on("readyForQuery", ({ status }: { readonly status?: string }) => {
      this.#status = status;
    });
  }

  /** True once the connection ended or cannot be trusted any more. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /**
   * Whether the server holds a transaction open for this connection, one that has failed too; `undefined`
   * while the answer to a call is not whole, as is the case right after an error.
   */
  get isInTransaction(): boolean | undefined {
    return this.#status === undefined ? undefined : this.#status !== "I";
  }

  /** Runs statements in one round trip; one transaction where none is open. */
  async run(statements: readonly PgFragment[], limit: CallLimit): Promise<readonly PgResult[]> {
    return this.#call(limit, () => {
      const group = new StatementGroup(statements, this.#prepared);
      this.#client.query(group);
      return group.results;
    });
  }

  /** Runs a text of several statements without values: a migration. */
  async script(text: string, limit: CallLimit): Promise<void> {
    await this.#call(limit, () => this.#client.query(text));
  }

  /** Copies chunks in the format that the text names into a table; answers the number of rows. */
  async copy(
    text: string,
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    limit: CallLimit,
  ): Promise<number> {
    const copy = new CopyIn(text, chunks);
    try {
      return await this.#call(limit, () => {
        this.#client.query(copy);
        return copy.copied;
      });
    } catch (cause) {
      throw copy.failure === undefined ? cause : copy.failure.cause;
    }
  }

  /** Ends the connection at once; what was under way is taken back by the server. */
  destroy(): void {
    this.#isLost = true;
    // What is half open would never take a goodbye.
    this.#client.connection.stream.destroy();
  }

  /** Ends the connection politely. */
  async end(): Promise<void> {
    this.#isLost = true;
    await this.#client.end();
  }

  async #call<Result>(limit: CallLimit, work: () => Promise<Result>): Promise<Result> {
    const { doing, ms } = limit;
    if (this.#isLost)
      throw new StoreError("unavailable", `PostgreSQL could not ${doing}: the connection is gone`);
    this.#status = undefined;
    try {
      return await withinMilliseconds(ms, `PostgreSQL, asked to ${doing},`, work);
    } catch (cause) {
      // A call that is still under way would answer the next one's question.
      if (cause instanceof StoreError ? cause.code === "unavailable" : isConnectionUseless(cause)) {
        this.destroy();
      }
      throw mapPostgresqlError(doing, cause);
    }
  }
}

/** How long one call may take, and what it is called in errors. */
export interface CallLimit {
  readonly doing: string;
  readonly ms: number;
}

/** What is asked of a connection. */
export interface PgConnectOptions {
  /** Milliseconds for all hosts together. */
  readonly ms: number;
  /** True to pass by standbys while another host is left (`target_session_attrs=prefer-primary`). */
  readonly mustWrite: boolean;
}

/** Loads the client library. @throws StoreError `unsupported` with the install command. */
export async function loadPostgresqlClient(): Promise<typeof PgLibrary> {
  return loadClientLibrary(() => import("pg"), { product: "PostgreSQL", install: "pg@8" });
}

/**
 * Connects to the first of the URL's hosts that answers and is fit.
 *
 * @throws StoreError `unavailable` when none does, `unsupported` for a server that is too old or
 *   whose database is not in UTF-8.
 */
export async function connectPostgresql(
  settings: ServerSettings,
  { ms, mustWrite }: PgConnectOptions,
): Promise<PgConnection> {
  const library = await loadPostgresqlClient();
  const until = performance.now() + ms;
  let last: StoreError | undefined;
  let standby: PgConnection | undefined;
  for (const host of settings.hosts) {
    const left = Math.max(1, Math.ceil(until - performance.now()));
    try {
      const connection = await connectTo(library, settings, { host, ms: left });
      if (!mustWrite || !connection.facts.isReadOnly) {
        standby?.destroy();
        return connection;
      }
      if (standby === undefined) standby = connection;
      else connection.destroy();
    } catch (cause) {
      last = mapPostgresqlError(`connect to ${nameOf(settings, host)}`, cause);
      if (last.code !== "unavailable") throw last;
    }
  }
  // Reads go on there, and writes are told that it is read-only.
  if (standby !== undefined) return standby;
  throw last ?? new StoreError("refused", "the URL of PostgreSQL names no host");
}

async function connectTo(
  library: typeof PgLibrary,
  settings: ServerSettings,
  { host, ms }: { readonly host: ServerHost; readonly ms: number },
): Promise<PgConnection> {
  const client = new library.default.Client(clientConfig(settings, host)) as PgClient;
  // Without a listener an error of an idle connection would end the process.
  client.on("error", () => undefined);
  try {
    return await withinMilliseconds(ms, `connecting to ${nameOf(settings, host)}`, async () => {
      await client.connect();
      const facts = await readFacts(client);
      return new PgConnection(client, facts, isPreparing(settings, facts));
    });
  } catch (cause) {
    client.connection.stream.destroy();
    throw cause;
  }
}

function isPreparing({ options }: ServerSettings, { isPooled }: PgServerFacts): boolean {
  const { prepare = isPooled ? "false" : "true" } = options;
  return prepare === "true";
}

function clientConfig(settings: ServerSettings, { host, port }: ServerHost): ClientConfig {
  const { tls, options, user = "postgres", password = "" } = settings;
  const { sslnegotiation } = options;
  return {
    host,
    port,
    user,
    // A function, so that neither the environment nor a file of passwords is asked.
    password: () => password,
    database: settings.path === "" ? user : settings.path,
    application_name: "custody",
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    enableChannelBinding: tls !== undefined,
    ssl:
      tls === undefined
        ? false
        : {
            rejectUnauthorized: tls.isVerified,
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls.cert === undefined ? {} : { cert: tls.cert }),
            ...(tls.key === undefined ? {} : { key: tls.key }),
          },
    ...(sslnegotiation === "direct" ? { sslnegotiation } : {}),
  };
}

// Firewalls forget connections that are silent for some minutes.
const KEEP_ALIVE_MS = 60_000;

// The oldest that has public.* closed to everyone, MERGE and ICU by database; 14 leaves support in 2026.
const VERSION_MIN = 150_000;

/** @throws StoreError `unsupported` for a version that is too old. */
export function checkPostgresqlVersion(versionNumber: number, version: string): void {
  if (versionNumber >= VERSION_MIN) return;
  throw new StoreError(
    "unsupported",
    `PostgreSQL ${version} is too old: Custody needs version ${VERSION_MIN / 10_000} or newer`,
  );
}

const FACTS = sql`SELECT current_setting('server_version_num')::int AS number,
  current_setting('server_version') AS version, current_setting('server_encoding') AS encoding,
  pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS is_read_only,
  current_setting('default_transaction_isolation') AS isolation, pg_backend_pid() AS process, current_setting('fsync')::bool
    AND current_setting('full_page_writes')::bool AS is_durable,
  coalesce((SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user), true) AS bypasses`;

async function readFacts(client: PgClient): Promise<PgServerFacts> {
  const group = new StatementGroup([FACTS], undefined);
  client.query(group);
  const row: PgRow = (await group.results)[0]?.rows[0] ?? {};
  const version = String(row["version"]);
  checkPostgresqlVersion(Number(row["number"]), version);
  if (row["encoding"] !== "UTF8") {
    throw new StoreError(
      "unsupported",
      `the PostgreSQL database is in ${String(row["encoding"])}: Custody needs one in UTF8`,
    );
  }
  // A pooler gives out process numbers of its own.
  const isPooled = client.processID !== row["process"];
  // It would give the setting to others; transactions name their level themselves.
  if (!isPooled && row["isolation"] !== "read committed") await setReadCommitted(client);
  return {
    version,
    isReadOnly: row["is_read_only"] === true,
    isPooled,
    bypassesRowSecurity: row["bypasses"] === true,
    isDurable: row["is_durable"] === true,
  };
}

/** Whatever the server's default: who waited for a lock must see what was committed meanwhile. */
async function setReadCommitted(client: PgClient): Promise<void> {
  const group = new StatementGroup([READ_COMMITTED], undefined);
  client.query(group);
  await group.results;
}

const READ_COMMITTED = sql`SELECT set_config('default_transaction_isolation', 'read committed', false)`;

function nameOf(settings: ServerSettings, host: ServerHost): string {
  return describeServer({ ...settings, hosts: [host] });
}

/** The client with the number of its server process, which its types do not tell. */
type PgClient = Client & { readonly processID: number | null };
