import { checkTenant } from "@custody/contract/ids";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { loadSnapshot, saveSnapshot } from "./cache-snapshot.ts";
import { checkCacheKey, checkLife, checkRate, checkValue } from "./limits.ts";
import type { HeldLock, Locks } from "./locks.ts";
import { MemoryLocks } from "./memory-locks.ts";
import { MemoryNotices } from "./memory-notices.ts";
import { NOTICE_BYTES_MAX } from "./notices.ts";
import type { Notices } from "./notices.ts";
import type { Cache, CacheLimits, Clock, RateAnswer } from "./port.ts";

export interface MemoryCacheOptions {
  /** File in which the cache is laid down at closing and found again at opening; without it, it dies with the process. */
  readonly path?: string;
  readonly clock: Clock;
  /** Bytes of keys and values kept at most; the longest unused go first. */
  readonly bytesMax: number;
}

/** A value or counter with its life, as the cache holds it. */
export interface CacheEntry<Value> {
  readonly value: Value;
  /** Epoch milliseconds at which it is gone. */
  readonly expiresAt: number;
}

/** Everything the cache holds, by tenant and key; longest unused first. */
export interface CacheContents {
  readonly values: Map<string, CacheEntry<Uint8Array>>;
  readonly counters: Map<string, CacheEntry<number>>;
  /** Instants of the uses that still count, ascending. */
  readonly windows: Map<string, CacheEntry<readonly number[]>>;
}

// A key, its map entry and its object cost about this much beside the value itself.
const ENTRY_BYTES = 128;
// Counters and windows are not pushed out by values, or filling the cache would lift every rate limit;
// so they have a bound of their own.
const TALLIES_MAX = 100_000;
const RATE_MAX = 10_000;

/**
 * Embedded cache: maps in this process. A call is atomic among all callers, as nothing in it waits.
 *
 * The file is written only at closing and used up at opening, so that after a crash nothing old comes
 * back: a session that was revoked since would be the worst of it.
 */
export async function openMemoryCache(
  options: MemoryCacheOptions,
): Promise<Cache & Locks & Notices> {
  const { path, clock, bytesMax } = options;
  const contents = (path === undefined ? undefined : loadSnapshot(path, clock())) ?? {
    values: new Map(),
    counters: new Map(),
    windows: new Map(),
  };
  return await Promise.resolve(new MemoryCache(contents, options, bytesMax));
}

class MemoryCache implements Cache, Locks, Notices {
  readonly role = "cache";
  readonly engine = "memory";
  readonly limits: CacheLimits;
  readonly #contents: CacheContents;
  readonly #clock: Clock;
  readonly #path: string | undefined;
  readonly #bytesMax: number;
  readonly #locks: MemoryLocks;
  readonly #notices = new MemoryNotices();
  #bytes = 0;
  #isClosed = false;

  constructor(contents: CacheContents, { clock, path }: MemoryCacheOptions, bytesMax: number) {
    this.#contents = contents;
    this.#clock = clock;
    this.#locks = new MemoryLocks(clock);
    this.#path = path;
    this.#bytesMax = bytesMax;
    this.limits = {
      keyLengthMax: 512,
      valueBytesMax: Math.min(1024 * 1024, bytesMax),
      rateMax: RATE_MAX,
    };
    for (const [key, { value }] of contents.values) this.#bytes += cost(key, value);
    this.#evict();
  }

  async get(scope: Scope, key: string): Promise<Uint8Array | undefined> {
    const name = this.#name(scope, key);
    const entry = this.#contents.values.get(name);
    this.#drop(name);
    if (entry === undefined || entry.expiresAt <= this.#clock()) return undefined;
    this.#put(name, entry);
    return await Promise.resolve(entry.value.slice());
  }

  async put(...[scope, key, value, { ttlMs }]: Parameters<Cache["put"]>): Promise<void> {
    const name = this.#name(scope, key);
    checkLife(ttlMs);
    checkValue(this.limits, value);
    this.#drop(name);
    this.#put(name, { value: value.slice(), expiresAt: this.#clock() + ttlMs });
    this.#evict();
    await Promise.resolve();
  }

  async delete(scope: Scope, key: string): Promise<void> {
    this.#forget(this.#name(scope, key));
    await Promise.resolve();
  }

  async increment(...[scope, key, by, { ttlMs }]: Parameters<Cache["increment"]>): Promise<number> {
    const name = this.#name(scope, key);
    checkLife(ttlMs);
    const { counters } = this.#contents;
    const now = this.#clock();
    const entry = counters.get(name);
    const isLiving = entry !== undefined && entry.expiresAt > now;
    const value = (isLiving ? entry.value : 0) + by;
    if (!Number.isSafeInteger(by) || !Number.isSafeInteger(value)) {
      throw new StoreError("limit", "a counter counts whole numbers within 2^53");
    }
    counters.delete(name);
    counters.set(name, { value, expiresAt: isLiving ? entry.expiresAt : now + ttlMs });
    shrink(counters, now);
    return await Promise.resolve(value);
  }

  async acquire(...[scope, key, rate]: Parameters<Cache["acquire"]>): Promise<RateAnswer> {
    const name = this.#name(scope, key);
    const { limit, windowMs } = rate;
    checkRate(this.limits, rate);
    const { windows } = this.#contents;
    const now = this.#clock();
    const uses = (windows.get(name)?.value ?? []).filter((usedAt) => usedAt > now - windowMs);
    const isAllowed = uses.length < limit;
    if (isAllowed) uses.push(now);
    windows.delete(name);
    const latest = uses.at(-1);
    if (latest !== undefined) windows.set(name, { value: uses, expiresAt: latest + windowMs });
    shrink(windows, now);
    // When this use is out of the window, fewer than `limit` are left in it.
    const blocking = uses[uses.length - limit];
    const retryAfterMs = isAllowed ? 0 : (limit === 0 ? now : (blocking ?? now)) + windowMs - now;
    return await Promise.resolve({
      isAllowed,
      remaining: Math.max(0, limit - uses.length),
      retryAfterMs,
    });
  }

  async clear(scope: Scope): Promise<void> {
    const prefix = this.#name(scope, "");
    for (const map of Object.values(this.#contents) as Map<string, unknown>[]) {
      for (const name of map.keys()) if (name.startsWith(prefix)) this.#forget(name);
    }
    await Promise.resolve();
  }

  async statistics(scope: Scope): Promise<{ readonly entries: number; readonly bytes: number }> {
    const prefix = this.#name(scope, "");
    const now = this.#clock();
    let [entries, bytes] = [0, 0];
    for (const [name, { value, expiresAt }] of this.#contents.values) {
      if (!name.startsWith(prefix) || expiresAt <= now) continue;
      entries += 1;
      bytes += cost(name, value);
    }
    return await Promise.resolve({ entries, bytes });
  }

  async lock(
    scope: Scope,
    name: string,
    { ttlMs }: { readonly ttlMs: number },
  ): Promise<HeldLock | undefined> {
    return await Promise.resolve(this.#locks.lock(this.#name(scope, name), ttlMs));
  }

  async publish(scope: Scope, channel: string, bytes: Uint8Array): Promise<void> {
    const name = this.#name(scope, channel);
    if (bytes.byteLength > NOTICE_BYTES_MAX) {
      throw new StoreError("limit", `a notice has at most ${NOTICE_BYTES_MAX} bytes`);
    }
    this.#notices.publish(name, bytes);
    await Promise.resolve();
  }

  async subscribe(...[scope, channel, listener]: Parameters<Notices["subscribe"]>) {
    return await Promise.resolve(this.#notices.subscribe(this.#name(scope, channel), listener));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#path !== undefined) saveSnapshot(this.#path, this.#contents, this.#clock());
    await Promise.resolve();
  }

  #name({ tenant }: Scope, key: string): string {
    return `${checkTenant(tenant)}\0${checkCacheKey(this.limits, key)}`;
  }

  #put(name: string, entry: CacheEntry<Uint8Array>): void {
    this.#contents.values.set(name, entry);
    this.#bytes += cost(name, entry.value);
  }

  #drop(name: string): void {
    const entry = this.#contents.values.get(name);
    if (entry === undefined) return;
    this.#contents.values.delete(name);
    this.#bytes -= cost(name, entry.value);
  }

  #forget(name: string): void {
    this.#drop(name);
    this.#contents.counters.delete(name);
    this.#contents.windows.delete(name);
  }

  #evict(): void {
    for (const name of this.#contents.values.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#drop(name);
    }
  }
}

function cost(name: string, value: Uint8Array): number {
  return ENTRY_BYTES + 2 * name.length + value.byteLength;
}

/** Beyond the bound, what is over goes, and if that is not enough the longest unused. */
function shrink(tallies: Map<string, CacheEntry<unknown>>, now: number): void {
  if (tallies.size <= TALLIES_MAX) return;
  for (const [name, { expiresAt }] of tallies) if (expiresAt <= now) tallies.delete(name);
  for (const name of tallies.keys()) {
    // A tenth at once, so that the search for dead ones is rare.
    if (tallies.size <= TALLIES_MAX * 0.9) return;
    tallies.delete(name);
  }
}
