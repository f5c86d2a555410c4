import { basename, dirname, join, resolve, sep } from "node:path";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { DuckdbChild } from "./duckdb-child.ts";
import type { DuckdbChildCall } from "./duckdb-child.ts";
import type { DuckdbStoreName } from "./duckdb-protocol.ts";
import { DUCKDB_ENDINGS } from "./duckdb.ts";
import { setFileAside } from "./set-aside.ts";
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

interface Leaving {
  /** Called when no call uses the directory's process any more. */
  readonly onUnused: () => void;
  readonly done: Promise<void>;
}

/** The DuckDB processes of one data directory: one for each tenant or owner, a bounded number in all. */
export class DuckdbPool {
  readonly #options: DuckdbOptions;
  readonly #files: TenantFiles<never>;
  /** In order of last use, so that the first idle one is the longest unused. */
  readonly #children = new Map<string, DuckdbChild>();
  readonly #queue: (() => void)[] = [];
  /** Stores in which a call met damage, by the directory of their process. */
  readonly #damaged = new Map<string, Set<DuckdbStoreName>>();
  /** Directories of which a file is being set aside. */
  readonly #leaving = new Map<string, Leaving>();
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
    const directory = dirname(this.#files.path(scope));
    while (this.#leaving.has(directory)) await this.#leaving.get(directory)?.done;
    const child = await this.#child(directory);
    try {
      return await work(async (call) => {
        const timeMs = Math.min(call.timeMs, this.checkDeadline(scope));
        return await child.call({ ...call, timeMs }).catch((cause: unknown) => {
          this.#noteDamage(directory, call, cause);
          throw cause;
        });
      });
    } finally {
      child.release();
      this.#queue.shift()?.();
      if (!child.isBusy) this.#leaving.get(directory)?.onUnused();
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

  /** Whether a call met damage in a store's file, of a tenant or of one of its owners. */
  hasDamage(scope: Scope, store: DuckdbStoreName): boolean {
    return this.#damagedIn(scope, store).length > 0;
  }

  /**
   * Ends the processes that hold a store's damaged files, and sets these aside; the process's other file
   * stays as it is. Answers the new names.
   */
  async setAside(scope: Scope, store: DuckdbStoreName, atMs: number): Promise<readonly string[]> {
    const names: string[] = [];
    for (const directory of this.#damagedIn(scope, store)) {
      await this.#whileUnused(directory, () => {
        this.#damaged.get(directory)?.delete(store);
        const target = setFileAside(join(directory, `${store}.duckdb`), DUCKDB_ENDINGS, atMs);
        if (target !== undefined) names.push(basename(target));
      });
    }
    return names;
  }

  /** Lets present calls end, ends the process, and holds later calls back until the work is done. */
  async #whileUnused(directory: string, work: () => void): Promise<void> {
    while (this.#leaving.has(directory)) await this.#leaving.get(directory)?.done;
    const unused = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    this.#leaving.set(directory, { onUnused: unused.resolve, done: done.promise });
    try {
      const child = this.#children.get(directory);
      if (child?.isBusy === true) await unused.promise;
      await child?.close();
      work();
    } finally {
      this.#leaving.delete(directory);
      done.resolve();
    }
  }

  #damagedIn(scope: Scope, store: DuckdbStoreName): readonly string[] {
    const { owner: _, ...tenant } = scope;
    const own = dirname(this.#files.path(tenant));
    return [...this.#damaged]
      .filter(([directory]) => directory === own || directory.startsWith(`${own}${sep}`))
      .filter(([, stores]) => stores.has(store))
      .map(([directory]) => directory);
  }

  /** What a tenant's own SQL says of damage may be its own words. */
  #noteDamage(directory: string, { store, isQuery }: DuckdbChildCall, cause: unknown): void {
    if (!(cause instanceof StoreError) || cause.code !== "corrupt" || isQuery === true) return;
    const stores = this.#damaged.get(directory) ?? new Set();
    this.#damaged.set(directory, stores.add(store));
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
