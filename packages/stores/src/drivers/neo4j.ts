import type { BookmarkManager, Driver, Session } from "neo4j-driver";
import type neo4j from "neo4j-driver";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth } from "../server-engine.ts";
import { callMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { checkNeo4jVersion, isDeadlock, isSchemaThere, mapNeo4jError } from "./neo4j-errors.ts";
import { Neo4jSession } from "./neo4j-session.ts";
import type { Neo4jSettings } from "./neo4j-settings.ts";
import { Neo4jSlots } from "./neo4j-slots.ts";

/** One call, and until when it is worth answering. */
export interface Neo4jCall {
  /** What it does, for messages: `read the graph`. */
  readonly doing: string;
  readonly scope: Scope;
  /** Milliseconds that the caller allows, where that is less than the server's time-out. */
  readonly timeMs?: number;
  /**
   * Says that the work may take long by its nature: when a server that answers is not done in time,
   * the call throws `limit`, as trying again would not help.
   */
  readonly isSearch?: boolean;
}

type Mode = "READ" | "WRITE";

// Rows that the server sends before it waits to be asked for more.
const FETCH_SIZE = 1_000;
// A connection that was not used for so long is asked whether it still is one, before it is used.
const LIVENESS_MS = 15_000;
// A server that runs answers a reset at once; one that has not by then is taken to be gone.
const RESET_MS = 500;
// A second deadlock over one constraint was never seen; a third would be a fault of another kind.
const DEFINE_ATTEMPTS = 3;

/**
 * A Neo4j server, or a cluster: a pool of connections, and calls that each end within their time.
 *
 * One chain of bookmarks runs through all calls: whatever a call has seen, later ones see too, on
 * whichever member of a cluster they are run (neo4j.com/docs/javascript-manual/current/bookmarks).
 */
export class Neo4jServer implements AsyncDisposable {
  readonly settings: Neo4jSettings;
  readonly #library: typeof neo4j;
  readonly #bookmarks: BookmarkManager;
  readonly #clock: () => number;
  readonly #slots: Neo4jSlots;
  #driver: Driver;
  #isChecked = false;

  private constructor(settings: Neo4jSettings, library: typeof neo4j, clock: () => number) {
    this.settings = settings;
    this.#library = library;
    this.#bookmarks = library.bookmarkManager();
    this.#clock = clock;
    this.#slots = new Neo4jSlots(settings.server.poolMax, "connections to Neo4j");
    this.#driver = this.#connect();
  }

  /** Loads the driver; connects at the first call. @throws StoreError `unsupported` without the driver. */
  static async open(settings: Neo4jSettings, clock: () => number): Promise<Neo4jServer> {
    const library = await loadClientLibrary(async () => (await import("neo4j-driver")).default, {
      product: "Neo4j",
      install: "neo4j-driver@6",
    });
    return new Neo4jServer(settings, library, clock);
  }

  /** Runs work in a transaction that the server lets only read. */
  async read<Result>(
    call: Neo4jCall,
    work: (session: Neo4jSession) => Promise<Result>,
  ): Promise<Result> {
    return await this.#transact(call, "READ", work);
  }

  /** Runs work in a transaction that is committed when the work is done, and rolled back when it throws. */
  async write<Result>(
    call: Neo4jCall,
    work: (session: Neo4jSession) => Promise<Result>,
  ): Promise<Result> {
    return await this.#transact(call, "WRITE", work);
  }

  /** Makes or drops an index or a constraint; what is there already is no error. */
  async define(call: Neo4jCall, statement: string): Promise<void> {
    await this.#within(call, "WRITE", async (session, timeMs) => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          await session.run(statement, {}, { timeout: timeMs });
          return;
        } catch (cause) {
          if (isSchemaThere(cause)) return;
          // Of two that make a constraint for one label at once, the server ends one.
          if (attempt === DEFINE_ATTEMPTS || !isDeadlock(cause)) throw cause;
        }
      }
    });
  }

  /** As `ServerEngine.health`. */
  async health(): Promise<EngineHealth> {
    const startedAt = performance.now();
    const scope = { tenant: "_system", actor: "service:health", deadline: Infinity };
    const call = { doing: "tell its version", scope };
    const version = await this.#within(call, "READ", (session) => readVersion(session));
    return { product: "Neo4j", version, tookMs: performance.now() - startedAt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver.close();
  }

  /**
   * How many milliseconds a call may take.
   *
   * @throws StoreError `unavailable` when its deadline has passed.
   */
  timeOf({ scope, timeMs = Infinity }: Neo4jCall): number {
    const { timeoutMs } = this.settings.server;
    return callMilliseconds(scope, Math.min(timeoutMs, timeMs), this.#clock());
  }

  async #transact<Result>(
    call: Neo4jCall,
    mode: Mode,
    work: (session: Neo4jSession) => Promise<Result>,
  ): Promise<Result> {
    return await this.#within(call, mode, async (session, timeMs) => {
      if (!this.#isChecked) await readVersion(session);
      this.#isChecked = true;
      const metadata = { app: "custody", doing: call.doing };
      const transaction = session.beginTransaction({ timeout: timeMs, metadata });
      const result = await work(new Neo4jSession(transaction, this.#library));
      await transaction.commit();
      return result;
    });
  }

  /** Runs work in a session of its own, for as long as the call may take. */
  async #within<Result>(
    call: Neo4jCall,
    mode: Mode,
    work: (session: Session, timeMs: number) => Promise<Result>,
  ): Promise<Result> {
    const startedAt = this.#clock();
    const timeMs = this.timeOf(call);
    return await this.#slots.run(timeMs, async () => {
      const leftMs = Math.max(1, timeMs - (this.#clock() - startedAt));
      const driver = this.#driver;
      const session = this.#session(driver, mode);
      const working = work(session, leftMs).then(
        (value) => ({ value }),
        (cause: unknown) => ({ cause }),
      );
      const outcome = await before(leftMs, working);
      // Closing resets the connection, which ends whatever the server still does for it.
      const isClosed = this.#close(session, driver);
      if (outcome === undefined) throw await this.#tooLate(call, timeMs, isClosed);
      await isClosed;
      if ("cause" in outcome) throw mapNeo4jError(call, outcome.cause);
      return outcome.value;
    });
  }

  #session(driver: Driver, defaultAccessMode: Mode): Session {
    const { database } = this.settings;
    return driver.session({
      defaultAccessMode,
      bookmarkManager: this.#bookmarks,
      fetchSize: FETCH_SIZE,
      ...(database === undefined ? {} : { database }),
    });
  }

  /** A search that a server in good health did not finish would not be finished next time either. */
  async #tooLate(
    { doing, isSearch = false }: Neo4jCall,
    timeMs: number,
    isClosed: Promise<boolean>,
  ): Promise<StoreError> {
    const code = isSearch && (await isClosed) ? "limit" : "unavailable";
    return new StoreError(code, `Neo4j did not ${doing} within ${timeMs} ms`);
  }

  /** Answers whether the server was heard of again; where not, all connections are made anew. */
  async #close(session: Session, driver: Driver): Promise<boolean> {
    const closing = session.close().then(
      () => true,
      () => true,
    );
    if ((await before(RESET_MS, closing)) === true) return true;
    if (this.#driver === driver) {
      this.#driver = this.#connect();
      driver.close().catch(() => undefined);
    }
    return false;
  }

  #connect(): Driver {
    const { address, hosts, auth, tls, server } = this.settings;
    return this.#library.driver(address, auth, {
      ...tls,
      resolver: () => [...hosts],
      useBigInt: true,
      maxConnectionPoolSize: server.poolMax,
      connectionTimeout: server.connectMs,
      connectionAcquisitionTimeout: Math.max(server.timeoutMs, server.connectMs),
      connectionLivenessCheckTimeout: LIVENESS_MS,
      notificationFilter: { minimumSeverityLevel: "OFF" },
      telemetryDisabled: true,
      userAgent: "custody",
    });
  }
}

async function readVersion(session: Session): Promise<string> {
  const { summary } = await session.run("RETURN 1 AS one");
  return checkNeo4jVersion(summary.server.agent ?? "");
}

/** What a promise that is never rejected gives in time; `undefined` when it does not. */
async function before<Result>(ms: number, promise: Promise<Result>): Promise<Result | undefined> {
  const over = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => over.resolve(undefined), ms);
  try {
    return await Promise.race([promise, over.promise]);
  } finally {
    clearTimeout(timer);
  }
}
