import { StoreError } from "../errors.ts";
import { connectPostgresql } from "./postgresql-connection.ts";
import type { PgConnection } from "./postgresql-connection.ts";
import type { ServerSettings } from "./server-settings.ts";

/** A bounded number of places, given in the order of asking. */
class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** @throws StoreError `unavailable` when none is free within `ms`. */
  async take(ms: number, what: string): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const go = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(() => {
      this.#waiting.splice(this.#waiting.indexOf(go), 1);
      reject(new StoreError("unavailable", `no ${what} of PostgreSQL was free within ${ms} ms`));
    }, ms);
    this.#waiting.push(go);
    await promise;
  }

  give(): void {
    const next = this.#waiting.shift();
    // Handed on while still taken, so that nobody slips in between.
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/** Whether a connection is kept for several calls in a row, or for one. */
export type PgUse = "transaction" | "call";

// Beyond this a connection that lies idle is more likely to be dead than to be of use.
const IDLE_MS_MAX = 300_000;

/**
 * ConnectionPool: connections to one PostgreSQL, made when needed and used again.
 *
 * Transactions take at most three quarters, so that a call that a transaction waits for finds a
 * connection: a commit reads keys and types while it holds the tenant's lock.
 */
export class ConnectionPool {
  readonly #settings: ServerSettings;
  readonly #mustWrite: boolean;
  readonly #all: Places;
  readonly #transactions: Places;
  readonly #idle: { readonly connection: PgConnection; readonly since: number }[] = [];
  readonly #used = new Set<PgConnection>();
  #isClosed = false;

  /** @throws StoreError `refused` for a pool of less than two. */
  constructor(settings: ServerSettings, options: { readonly mustWrite: boolean }) {
    const { poolMax } = settings;
    if (poolMax < 2) {
      throw new StoreError("refused", "the URL of PostgreSQL cannot be used: pool is 2 or more");
    }
    this.#settings = settings;
    this.#mustWrite = options.mustWrite;
    this.#all = new Places(poolMax);
    this.#transactions = new Places(poolMax - Math.ceil(poolMax / 4));
  }

  /** A connection; give it back with {@link release}. @throws StoreError `unavailable`. */
  async acquire(use: PgUse, ms: number): Promise<PgConnection> {
    const until = performance.now() + ms;
    const left = (): number => Math.max(1, Math.ceil(until - performance.now()));
    if (use === "transaction") await this.#transactions.take(ms, "connection for transactions");
    try {
      await this.#all.take(left(), "connection");
      try {
        const connection = this.#takeIdle() ?? (await this.#connect(left()));
        this.#used.add(connection);
        return connection;
      } catch (cause) {
        this.#all.give();
        throw cause;
      }
    } catch (cause) {
      if (use === "transaction") this.#transactions.give();
      throw cause;
    }
  }

  /** Takes a connection back; one that is lost takes the idle ones with it, which lay on the same network. */
  release(use: PgUse, connection: PgConnection): void {
    this.#used.delete(connection);
    // The next one's statements would run in a transaction that is not theirs.
    if (connection.isInTransaction === true) connection.destroy();
    if (connection.isLost) this.#drain();
    else if (this.#isClosed) connection.destroy();
    else this.#idle.push({ connection, since: performance.now() });
    this.#all.give();
    if (use === "transaction") this.#transactions.give();
  }

  /** Ends every connection; what is under way is taken back by the server. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const connection of this.#used) connection.destroy();
    this.#used.clear();
    const idle = this.#idle.splice(0);
    await Promise.all(idle.map(({ connection }) => connection.end()));
  }

  async #connect(ms: number): Promise<PgConnection> {
    if (this.#isClosed) throw new StoreError("unavailable", "the store is closed");
    const connection = await connectPostgresql(this.#settings, {
      ms: Math.min(ms, this.#settings.connectMs),
      mustWrite: this.#mustWrite,
    });
    if (!this.#isClosed) return connection;
    connection.destroy();
    throw new StoreError("unavailable", "the store is closed");
  }

  #takeIdle(): PgConnection | undefined {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      const { connection, since } = last;
      if (connection.isLost) continue;
      if (performance.now() - since < IDLE_MS_MAX) return connection;
      connection.destroy();
    }
    return undefined;
  }

  #drain(): void {
    for (const { connection } of this.#idle.splice(0)) connection.destroy();
  }
}
