import { dirname, resolve } from "node:path";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { DuckdbChild } from "./duckdb-child.ts";
import type { DuckdbChildCall } from "./duckdb-child.ts";
import { TenantFiles } from "./tenant-files.ts";

/** Where DuckDB files lie and what their processes may use. */
export interface DuckdbOptions {
  /** The data directory; a tenant's files lie in `tenants/<tenant>` below it. */
  readonly directory: string;
  /** Secret under which an owner's name becomes a file name; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Buffer memory of each store in MiB; default 48. */
  readonly memoryMib?: number;
  /** Threads of each store; default 2. */
  readonly threads?: number;
  /** Space to spill into, of each store, in MiB; default 1024. */
  readonly temporaryMib?: number;
  /** Resident size at which queries are ended, in MiB; at twice that the process is. Default 320. */
  readonly residentMib?: number;
  /** How long to wait for files that another process still holds; default 5 s. */
  readonly lockWaitMs?: number;
  /** Processes at most; a tenant beyond waits until one is free. Default 8. */
  readonly processesMax?: number;
  /** A process that had nothing to do for so long is ended; default 60 s. */
  readonly idleMs?: number;
  /** Epoch milliseconds, for deadlines; default the system's clock. */
  readonly clock?: () => number;
}

/** The DuckDB processes of one data directory: one for each tenant or owner, a bounded number in all. */
export class DuckdbPool {
  readonly #options: DuckdbOptions;
  readonly #files: TenantFiles<never>;
  /** In order of last use, so that the first idle one is the longest unused. */
  readonly #children = new Map<string, DuckdbChild>();
  readonly #queue: (() => void)[] = [];
  #sessions = 0;

  constructor(options: DuckdbOptions) {
    this.#options = options;
    const { directory, ownerSalt } = options;
    // Used for its paths alone: a process holds two files, and its life is not that of a file.
    this.#files = new TenantFiles<never>({
      directory,
      file: "duckdb",
      ...(ownerSalt === undefined ? {} : { ownerSalt }),
      open: () => Promise.reject(new StoreError("unsupported", "the process opens its files")),
      close: async () => undefined,
    });
  }

  /** Calls into the scope's process once. */
  async call(scope: Scope, call: DuckdbChildCall): Promise<unknown> {
    return await this.use(scope, (one) => one(call));
  }

  /**
   * Keeps the scope's process for several calls that belong together. The `timeMs` of each is cut to
   * the scope's deadline.
   */
  async use<Result>(
    scope: Scope,
    work: (call: (call: DuckdbChildCall) => Promise<unknown>) => Promise<Result>,
  ): Promise<Result> {
    this.checkDeadline(scope);
    const child = await this.#child(dirname(this.#files.path(scope)));
    try {
      return await work(async (call) => {
        return await child.call({
          ...call,
          timeMs: Math.min(call.timeMs, this.checkDeadline(scope)),
        });
      });
    } finally {
      child.release();
      this.#queue.shift()?.();
    }
  }

  /** The milliseconds left until the scope's deadline. @throws StoreError `unavailable` after it. */
  checkDeadline(scope: Scope): number {
    const { clock = Date.now } = this.#options;
    const leftMs = scope.deadline - clock();
    if (leftMs > 0) return leftMs;
    throw new StoreError("unavailable", "the deadline is over");
  }

  /** A number for a write, which no other write of this pool has. */
  nextSession(): number {
    this.#sessions += 1;
    return this.#sessions;
  }

  /** The id of the scope's process, where it runs. */
  processId(scope: Scope): number | undefined {
    return this.#children.get(dirname(this.#files.path(scope)))?.processId;
  }

  async close(): Promise<void> {
    const children = [...this.#children.values()];
    this.#children.clear();
    await Promise.all(children.map((child) => child.close()));
  }

  async #child(directory: string): Promise<DuckdbChild> {
    for (;;) {
      const child = this.#children.get(directory) ?? this.#newChild(directory);
      if (child !== undefined) {
        // At once, lest another call takes its place for its own before this one has begun.
        child.reserve();
        this.#children.delete(directory);
        this.#children.set(directory, child);
        return child;
      }
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    }
  }

  /** Takes a free place, or that of the longest unused process; `undefined` while all are busy. */
  #newChild(directory: string): DuckdbChild | undefined {
    const { processesMax = 8, idleMs = 60_000 } = this.#options;
    if (this.#children.size >= processesMax) {
      const idle = [...this.#children].find(([, child]) => !child.isBusy);
      if (idle === undefined) return undefined;
      this.#children.delete(idle[0]);
      void idle[1].close();
    }
    const { memoryMib = 48, threads = 2, temporaryMib = 1_024 } = this.#options;
    const { residentMib = 320, lockWaitMs = 5_000 } = this.#options;
    const bounds = { memoryMib, threads, temporaryMib, residentMib, lockWaitMs };
    return new DuckdbChild(directory, bounds, idleMs);
  }
}

/** The pools in use in this thread, so that a tenant's analytics and series share a process. */
const pools = new Map<string, { readonly pool: DuckdbPool; users: number }>();

/**
 * Takes part in the pool of a directory; the bounds are those of whoever opened it first.
 *
 * `release` closes the pool when the last user is gone.
 */
export function joinDuckdbPool(options: DuckdbOptions): {
  readonly pool: DuckdbPool;
  readonly release: () => Promise<void>;
} {
  const key = resolve(options.directory);
  const slot = pools.get(key) ?? { pool: new DuckdbPool(options), users: 0 };
  pools.set(key, slot);
  slot.users += 1;
  let isReleased = false;
  return {
    pool: slot.pool,
    release: async () => {
      if (isReleased) return;
      isReleased = true;
      slot.users -= 1;
      if (slot.users > 0) return;
      pools.delete(key);
      await slot.pool.close();
    },
  };
}
