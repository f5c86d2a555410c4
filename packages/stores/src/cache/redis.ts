import { checkTenant } from "@custody/contract/ids";

import { openRedisConnection } from "../drivers/redis.ts";
import type { RedisClient, RedisConnection, RedisScript } from "../drivers/redis.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth, ServerEngine } from "../server-engine.ts";
import { checkCacheKey, checkLife, checkRate, checkValue } from "./limits.ts";
import type { HeldLock, Locks } from "./locks.ts";
import { NOTICE_BYTES_MAX } from "./notices.ts";
import type { Notices } from "./notices.ts";
import type { Cache, CacheLimits, Clock, RateAnswer } from "./port.ts";
import { RedisNotices } from "./redis-notices.ts";
import { ACQUIRE, COUNT, LOCK, RENEW } from "./redis-scripts.ts";

export interface RedisCacheOptions {
  readonly url: string;
  /**
   * Time to reckon with in place of the server's; for tests and simulations alone, as the clocks of
   * processes that share a cache differ.
   */
  readonly simulatedClock?: Clock;
}

const LIMITS: CacheLimits = { keyLengthMax: 512, valueBytesMax: 1024 * 1024, rateMax: 10_000 };
const SCAN_COUNT = 1_000;
/**
 * By their first letters, as a pattern knows no choice of words: values, counts, windows, locks. Keys of
 * the queue begin with other letters there, where its tenant is called `cache` and ours `scan`.
 */
const ALL_KINDS = "[vcwl]*";
/** With a clock of our own, the server must not forget before that clock says so. */
const CLOCK_GRACE_MS = 60_000;
/** A lock's last token is kept so long beyond its end; afterwards the clock is surely ahead of it. */
const TOKEN_KEPT_MS = 24 * 3_600 * 1_000;

/**
 * Cache, locks and notices on Redis (6.2 or later) or Valkey.
 *
 * `redis://user:password@host:6379/0?prefix=custody`, by TLS `rediss://…`; for a cluster
 * `redis://a,b,c?cluster=true`, behind sentinels `redis://s1:26379,s2:26379/0?sentinel=<primary>`.
 * Keys are `<prefix>:cache:<tenant>:…`. Calls share one connection, so `pool` has no effect.
 *
 * Lives and windows are reckoned by the server's clock: all processes agree on it, however their own
 * clocks differ. Sessions are values with a life; a rate limit is `acquire`.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the library is not installed.
 */
export async function openRedisCache({
  url,
  simulatedClock,
}: RedisCacheOptions): Promise<Cache & Locks & Notices & ServerEngine> {
  return new RedisCache(await openRedisConnection(url), simulatedClock);
}

class RedisCache implements Cache, Locks, Notices, ServerEngine {
  readonly role = "cache";
  readonly engine = "redis";
  readonly limits: CacheLimits = LIMITS;
  readonly #redis: RedisConnection;
  readonly #clock: Clock | undefined;
  readonly #notices: RedisNotices;

  constructor(redis: RedisConnection, clock: Clock | undefined) {
    this.#redis = redis;
    this.#clock = clock;
    this.#notices = new RedisNotices(redis);
  }

  async get(scope: Scope, key: string): Promise<Uint8Array | undefined> {
    const name = this.#name(scope, "value", key);
    const bytes = await this.#redis.call({ scope, doing: "get a value" }, (client) =>
      client.getBuffer(name),
    );
    return bytes === null ? undefined : this.#living(bytes);
  }

  async put(...[scope, key, value, { ttlMs }]: Parameters<Cache["put"]>): Promise<void> {
    const name = this.#name(scope, "value", key);
    checkLife(ttlMs);
    checkValue(LIMITS, value);
    const [bytes, lifeMs] = this.#mortal(value, ttlMs);
    await this.#redis.call({ scope, doing: "put a value" }, (client) =>
      client.set(name, bytes, "PX", lifeMs),
    );
  }

  async delete(scope: Scope, key: string): Promise<void> {
    const names = ["value", "count", "window"].map((kind) => this.#name(scope, kind, key));
    await this.#redis.call({ scope, doing: "delete a key" }, async (client) => {
      if (!this.#redis.settings.isCluster) await client.unlink(...names);
      else await Promise.all(names.map((name) => client.unlink(name)));
    });
  }

  async increment(...[scope, key, by, { ttlMs }]: Parameters<Cache["increment"]>): Promise<number> {
    const name = this.#name(scope, "count", key);
    checkLife(ttlMs);
    const value = Number.isSafeInteger(by)
      ? await this.#run(scope, COUNT, name, [this.#graceMs(), by, ttlMs])
      : null;
    if (value !== null) return Number(value);
    throw new StoreError("limit", "a counter counts whole numbers within 2^53");
  }

  async acquire(...[scope, key, rate]: Parameters<Cache["acquire"]>): Promise<RateAnswer> {
    const name = this.#name(scope, "window", key);
    checkRate(LIMITS, rate);
    const { limit, windowMs } = rate;
    const answer = await this.#run(scope, ACQUIRE, name, [this.#graceMs(), limit, windowMs]);
    const [isAllowed, remaining, retryAfterMs] = (answer as readonly unknown[]).map(Number);
    return {
      isAllowed: isAllowed === 1,
      remaining: remaining ?? 0,
      retryAfterMs: retryAfterMs ?? 0,
    };
  }

  async clear(scope: Scope): Promise<void> {
    await this.#scan(scope, "all", async (client, names) => {
      if (!this.#redis.settings.isCluster) await client.unlink(...names);
      else await Promise.all(names.map((name) => client.unlink(name)));
    });
  }

  async statistics(scope: Scope): Promise<{ readonly entries: number; readonly bytes: number }> {
    let [entries, bytes] = [0, 0];
    await this.#scan(scope, "value", async (client, names) => {
      // Of a value with an end of its own the first bytes tell whether it is over.
      const sizes = await Promise.all(names.map((name) => client.strlen(name)));
      const heads =
        this.#clock === undefined
          ? names.map(() => Buffer.alloc(0))
          : await Promise.all(names.map((name) => client.getrangeBuffer(name, 0, 7)));
      for (const [index, head] of heads.entries()) {
        const size = sizes[index] ?? 0;
        if (this.#living(head) === undefined) continue;
        entries += 1;
        bytes += size + Buffer.byteLength(names[index] ?? "");
      }
    });
    return { entries, bytes };
  }

  async lock(...[scope, name, { ttlMs }]: Parameters<Locks["lock"]>) {
    const key = this.#name(scope, "lock", name);
    checkLife(ttlMs);
    const token = Number(await this.#run(scope, LOCK, key, [TOKEN_KEPT_MS, ttlMs]));
    if (token === 0) return undefined;
    const renew = async (ms: number): Promise<boolean> =>
      Number(await this.#run(scope, RENEW, key, [TOKEN_KEPT_MS, ms, token])) === 1;
    return heldLock(token, renew);
  }

  async publish(scope: Scope, channel: string, bytes: Uint8Array): Promise<void> {
    const name = this.#channel(scope, channel);
    if (bytes.byteLength > NOTICE_BYTES_MAX) {
      throw new StoreError("limit", `a notice has at most ${NOTICE_BYTES_MAX} bytes`);
    }
    await this.#redis.call({ scope, doing: "publish a notice" }, (client) =>
      client.publish(name, Buffer.from(bytes)),
    );
  }

  async subscribe(...[scope, channel, listener]: Parameters<Notices["subscribe"]>) {
    return await this.#notices.subscribe(scope, this.#channel(scope, channel), listener);
  }

  health(): Promise<EngineHealth> {
    return this.#redis.health();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#notices[Symbol.asyncDispose]();
    await this.#redis[Symbol.asyncDispose]();
  }

  #root({ tenant }: Scope): string {
    return `${this.#redis.settings.prefix}:cache:${checkTenant(tenant)}`;
  }

  #name(scope: Scope, kind: string, key: string): string {
    return `${this.#root(scope)}:${kind}:${asUtf8(checkCacheKey(LIMITS, key))}`;
  }

  /** Channels are the server's, not a database's, so the database is part of their names. */
  #channel(scope: Scope, channel: string): string {
    return `${this.#name(scope, "notice", channel)}@${this.#redis.settings.database}`;
  }

  #graceMs(): number {
    return this.#clock === undefined ? 0 : CLOCK_GRACE_MS;
  }

  /** A value as the server keeps it, and how long; by a clock of our own it carries its end. */
  #mortal(value: Uint8Array, ttlMs: number): readonly [bytes: Buffer, lifeMs: number] {
    if (this.#clock === undefined) return [Buffer.from(value), ttlMs];
    const end = Buffer.alloc(8);
    end.writeDoubleBE(this.#clock() + ttlMs);
    return [Buffer.concat([end, value]), ttlMs + CLOCK_GRACE_MS];
  }

  #living(bytes: Buffer): Uint8Array | undefined {
    if (this.#clock === undefined) return new Uint8Array(bytes);
    if (bytes.length < 8 || bytes.readDoubleBE(0) <= this.#clock()) return undefined;
    return new Uint8Array(bytes.subarray(8));
  }

  async #run(
    scope: Scope,
    script: RedisScript,
    key: string,
    args: readonly number[],
  ): Promise<unknown> {
    const now = this.#clock?.() ?? -1;
    return await this.#redis.call({ scope, doing: "count" }, (client) =>
      this.#redis.run(client, script, [key], [now, ...args]),
    );
  }

  /** Goes through the tenant's keys of a kind, a page at a time; each page has its own time limit. */
  async #scan(
    scope: Scope,
    kind: "value" | "all",
    work: (client: RedisClient, names: readonly string[]) => Promise<void>,
  ): Promise<void> {
    const pattern = `${this.#root(scope)}:${kind === "all" ? ALL_KINDS : kind}:*`;
    const of = { scope, doing: "look through the tenant's keys" };
    const primaries = await this.#redis.call(of, (client) =>
      Promise.resolve(this.#redis.primaries(client)),
    );
    for (const primary of primaries) {
      for (let cursor = "0"; ;) {
        const from = cursor;
        const [next] = await this.#redis.call(of, async () => {
          const page = await primary.scan(from, "MATCH", pattern, "COUNT", SCAN_COUNT);
          if (page[1].length > 0) await work(primary, page[1]);
          return page;
        });
        cursor = next;
        if (cursor === "0") break;
      }
    }
  }
}

function heldLock(token: number, renew: (ms: number) => Promise<boolean>): HeldLock {
  return {
    token,
    async extend(ttlMs) {
      checkLife(ttlMs);
      if (!(await renew(ttlMs))) throw new StoreError("conflict", "the lock is lost");
    },
    async release() {
      await renew(0);
    },
  };
}

/** Text without lone surrogates as it is; UTF-8 would make one and the same of all others. */
function asUtf8(text: string): string {
  return text.isWellFormed() ? `=${text}` : `~${JSON.stringify(text)}`;
}
