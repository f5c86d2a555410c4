/**
 * The process that owns a tenant's DuckDB files. It is started by `duckdb-child.ts`, speaks with it
 * over its IPC channel alone, and ends when that closes: a tenant's SQL runs nowhere else.
 */
import { join } from "node:path";

import { DuckdbAnalyticsTables } from "../analytics/duckdb-tables.ts";
import { StoreError } from "../errors.ts";
import { DuckdbSeriesTables } from "../series/duckdb-tables.ts";
import { GOODBYE_CALL } from "./duckdb-protocol.ts";
import type {
  DuckdbProcessSettings,
  DuckdbReply,
  DuckdbRequest,
  DuckdbStoreName,
} from "./duckdb-protocol.ts";
import type { DuckdbRoleTables } from "./duckdb-role.ts";
import { isBroken, isOutOfRoom } from "./duckdb.ts";

/** What may be sent to the process: a call, or that a call's answer is no longer waited for. */
type Message = DuckdbRequest | { readonly cancel: number };

// How often the resident size is looked at while calls are under way: one function call can allocate a
// gigabyte outside of DuckDB's memory limit in about a third of a second.
const RESIDENT_CHECK_MS = 20;

// Sent before the process ends itself, so that no further call is made to it.
const GOODBYE: DuckdbReply = { call: GOODBYE_CALL, value: undefined, residentMib: 0 };

class DuckdbProcess {
  readonly #settings: DuckdbProcessSettings;
  readonly #stores = new Map<DuckdbStoreName, Promise<DuckdbRoleTables>>();
  readonly #running = new Map<
    number,
    { readonly method: string; readonly stop: AbortController }
  >();
  #isBroken = false;
  #watch: NodeJS.Timeout | undefined;

  constructor(settings: DuckdbProcessSettings) {
    this.#settings = settings;
  }

  async receive(message: Message): Promise<void> {
    if ("cancel" in message) {
      this.#running
        .get(message.cancel)
        ?.stop.abort(new StoreError("unavailable", "no longer wanted"));
      return;
    }
    const stop = new AbortController();
    this.#running.set(message.call, { method: message.method, stop });
    this.#watch ??= setInterval(() => this.#checkResident(), RESIDENT_CHECK_MS);
    const reply = await this.#answer(message, stop.signal);
    this.#running.delete(message.call);
    if (this.#running.size === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    if (this.#isBroken) process.send?.(GOODBYE);
    process.send?.(reply, () => {
      if (this.#isBroken) process.kill(process.pid, "SIGKILL");
    });
  }

  /** Closes the files and ends the process. */
  async end(): Promise<void> {
    for (const { stop } of this.#running.values()) stop.abort();
    for (const store of this.#stores.values()) {
      await store.then((tables) => tables.close()).catch(() => undefined);
    }
    // A statement that does not stop would hold an orderly exit up for as long as it runs.
    if (this.#running.size > 0) process.kill(process.pid, "SIGKILL");
    process.exit(0);
  }

  async #answer(request: DuckdbRequest, signal: AbortSignal): Promise<DuckdbReply> {
    const { call, store, method, argument } = request;
    try {
      const tables = await this.#store(store);
      const value = await tables.call({ call, method, argument, signal });
      return { call, value, residentMib: residentMib() };
    } catch (cause) {
      const error = cause instanceof StoreError ? cause : undefined;
      this.#isBroken ||= isBroken(error?.cause ?? cause);
      // A query that ran out of room itself ends no other.
      const isWorthRepeating = method !== "sql" && isOutOfRoom(cause) && (await this.#endQueries());
      return {
        call,
        error: {
          code: error?.code ?? "unavailable",
          message: error?.message ?? String(cause),
          isWorthRepeating,
        },
      };
    }
  }

  async #store(name: DuckdbStoreName): Promise<DuckdbRoleTables> {
    const open = this.#stores.get(name) ?? this.#openStore(name);
    this.#stores.set(name, open);
    try {
      return await open;
    } catch (cause) {
      this.#stores.delete(name);
      throw cause;
    }
  }

  async #openStore(name: DuckdbStoreName): Promise<DuckdbRoleTables> {
    const { directory, bounds } = this.#settings;
    const file = {
      path: join(directory, `${name}.duckdb`),
      temporaryDirectory: join(this.#temporary(), name),
      memoryMib: bounds.memoryMib,
      threads: bounds.threads,
      temporaryMib: bounds.temporaryMib,
      lockWaitMs: bounds.lockWaitMs,
    };
    return name === "analytics"
      ? await DuckdbAnalyticsTables.open(file)
      : await DuckdbSeriesTables.open(file);
  }

  #temporary(): string {
    return join(this.#settings.directory, "duckdb-temporary");
  }

  /** Ends the tenant's SQL queries, so that a write gets their room; false when there were none. */
  async #endQueries(): Promise<boolean> {
    const tables = await this.#stores.get("analytics")?.catch(() => undefined);
    return tables?.endQueries() ?? false;
  }

  /**
   * Ends the process, the only way to stop an allocation under way. Nothing that was acknowledged is
   * lost, and the caller starts another process.
   */
  #endAtOnce(): void {
    process.send?.(GOODBYE);
    for (const [call, { method }] of this.#running) {
      const code = method === "sql" ? "limit" : "unavailable";
      const message = "the DuckDB process used too much memory and was ended";
      process.send?.({ call, error: { code, message, isWorthRepeating: false } });
    }
    process.send?.(GOODBYE, () => process.kill(process.pid, "SIGKILL"));
  }

  #checkResident(): void {
    const mib = residentMib();
    const max = this.#settings.bounds.residentMib;
    if (mib > max * 2) this.#endAtOnce();
    else if (mib > max) void this.#endQueries();
  }
}

function residentMib(): number {
  return process.memoryUsage.rss() / 1024 / 1024;
}

const settings = JSON.parse(process.argv[2] ?? "") as DuckdbProcessSettings;
const own = new DuckdbProcess(settings);
process.on("message", (message) => void own.receive(message as Message));
process.on("disconnect", () => void own.end());
