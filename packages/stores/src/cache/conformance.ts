import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { runUntilKilled } from "../testing/killed-child.ts";
import { scopeFor } from "../testing/scope.ts";
import type { Cache, Clock } from "./port.ts";

/** What an engine's test hands to the suite. */
export interface CacheFixture extends AsyncDisposable {
  readonly cache: Cache;
  /** Closes the cache in good order and opens it again. */
  reopen(): Promise<Cache>;
  /** A JavaScript expression that a child process awaits to get a cache on the same data. */
  readonly childCache: string;
}

const scope = scopeFor("tenant-a");
const other = scopeFor("tenant-b");
const ttlMs = 50;

interface Current {
  cache: Cache;
  fixture: CacheFixture;
  nowMs: number;
}

/** The contract of every cache engine. An engine is done when this passes unedited. */
export function describeCache(engine: string, open: (clock: Clock) => Promise<CacheFixture>): void {
  describe(`cache: ${engine}`, () => {
    const current = { nowMs: 1_000 } as Current;
    beforeEach(async () => {
      current.nowMs = 1_000;
      current.fixture = await open(() => current.nowMs);
      current.cache = current.fixture.cache;
    });
    afterEach(() => current.fixture[Symbol.asyncDispose]());

    describeValues(current);
    describeCounters(current);
    describeWindows(current);
    describeClosing(current);
  });
}

function describeValues(current: Current): void {
  test("a value is gone at the instant its life ends, not before", async () => {
    const { cache } = current;
    await cache.put(scope, "k", Uint8Array.of(7), { ttlMs });
    current.nowMs = 1_049;
    expect(await cache.get(scope, "k")).toEqual(Uint8Array.of(7));
    current.nowMs = 1_050;
    expect(await cache.get(scope, "k")).toBeUndefined();
  });

  test("a later put replaces the value and begins its life anew", async () => {
    const { cache } = current;
    await cache.put(scope, "k", Uint8Array.of(1), { ttlMs });
    current.nowMs = 1_040;
    await cache.put(scope, "k", Uint8Array.of(2), { ttlMs });
    current.nowMs = 1_089;
    expect(await cache.get(scope, "k")).toEqual(Uint8Array.of(2));
  });

  test("what was never put is undefined, and deleting it is no error", async () => {
    const { cache } = current;
    expect(await cache.get(scope, "never")).toBeUndefined();
    await cache.delete(scope, "never");
  });

  test("a deleted key has no value, count or uses left", async () => {
    const { cache } = current;
    await cache.put(scope, "k", Uint8Array.of(1), { ttlMs });
    await cache.increment(scope, "k", 5, { ttlMs });
    await cache.acquire(scope, "k", { limit: 1, windowMs: 50 });
    expect(await cache.get(scope, "k")).toEqual(Uint8Array.of(1));
    await cache.delete(scope, "k");
    expect(await cache.get(scope, "k")).toBeUndefined();
    expect(await cache.increment(scope, "k", 1, { ttlMs })).toBe(1);
    expect(await cache.acquire(scope, "k", { limit: 1, windowMs: 50 })).toMatchObject({
      isAllowed: true,
    });
  });

  test("bytes are copied in and out", async () => {
    const { cache } = current;
    const bytes = Uint8Array.of(1);
    await cache.put(scope, "k", bytes, { ttlMs });
    bytes[0] = 2;
    const got = await cache.get(scope, "k");
    got?.fill(3);
    expect(await cache.get(scope, "k")).toEqual(Uint8Array.of(1));
  });

  test("an empty value is a value", async () => {
    const { cache } = current;
    await cache.put(scope, "k", new Uint8Array(0), { ttlMs });
    expect(await cache.get(scope, "k")).toEqual(new Uint8Array(0));
  });

  test.each([
    "",
    " ",
    "a\0b",
    "a:b*c?[d]",
    "漢字 😀",
    "__proto__",
    "../x",
    "'; DROP TABLE entries",
  ])("a key is any text: %j", async (key) => {
    const { cache } = current;
    await cache.put(scope, key, Uint8Array.of(1), { ttlMs });
    await cache.put(scope, `${key}x`, Uint8Array.of(2), { ttlMs });
    expect(await cache.get(scope, key)).toEqual(Uint8Array.of(1));
    expect(await cache.increment(scope, key, 2, { ttlMs })).toBe(2);
  });

  test("another tenant sees no value, count or use, and clears only its own", async () => {
    const { cache } = current;
    await cache.put(scope, "k", Uint8Array.of(7), { ttlMs });
    await cache.increment(scope, "k", 5, { ttlMs });
    await cache.acquire(scope, "k", { limit: 1, windowMs: 50 });
    expect(await cache.get(other, "k")).toBeUndefined();
    expect(await cache.increment(other, "k", 1, { ttlMs })).toBe(1);
    expect(await cache.acquire(other, "k", { limit: 1, windowMs: 50 })).toMatchObject({
      isAllowed: true,
    });
    await cache.clear(other);
    expect(await cache.get(scope, "k")).toEqual(Uint8Array.of(7));
    expect(await cache.increment(scope, "k", 1, { ttlMs })).toBe(6);
    await cache.clear(scope);
    expect(await cache.get(scope, "k")).toBeUndefined();
    expect(await cache.increment(scope, "k", 1, { ttlMs })).toBe(1);
    expect(await cache.statistics(scope)).toMatchObject({ entries: 0, bytes: 0 });
  });

  test("statistics count living values of the tenant alone", async () => {
    const { cache } = current;
    await cache.put(scope, "short", new Uint8Array(100), { ttlMs: 10 });
    await cache.put(scope, "long", new Uint8Array(100), { ttlMs: 100 });
    await cache.put(other, "k", new Uint8Array(100), { ttlMs });
    expect((await cache.statistics(scope)).entries).toBe(2);
    expect((await cache.statistics(scope)).bytes).toBeGreaterThanOrEqual(200);
    current.nowMs = 1_010;
    expect((await cache.statistics(scope)).entries).toBe(1);
  });

  test("a key and a value at the limit are kept, one more is refused", async () => {
    const { cache } = current;
    const { keyLengthMax, valueBytesMax } = cache.limits;
    const key = "k".repeat(keyLengthMax);
    await cache.put(scope, key, new Uint8Array(valueBytesMax), { ttlMs });
    const limit = { name: "StoreError", code: "limit" };
    const over = new Uint8Array(valueBytesMax + 1);
    await expect(cache.put(scope, key, over, { ttlMs })).rejects.toMatchObject(limit);
    await expect(cache.put(scope, `${key}k`, over, { ttlMs })).rejects.toMatchObject(limit);
    await expect(cache.get(scope, `${key}k`)).rejects.toMatchObject(limit);
    expect((await cache.get(scope, key))?.byteLength).toBe(valueBytesMax);
  });

  test("a life is a whole number of milliseconds above 0", async () => {
    const { cache } = current;
    for (const bad of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      const refused = { name: "StoreError", code: "refused" };
      const life = { ttlMs: bad };
      await expect(cache.put(scope, "k", Uint8Array.of(1), life)).rejects.toMatchObject(refused);
      await expect(cache.increment(scope, "k", 1, life)).rejects.toMatchObject(refused);
      const rate = { limit: 1, windowMs: bad };
      await expect(cache.acquire(scope, "k", rate)).rejects.toMatchObject(refused);
    }
  });
}

function describeCounters(current: Current): void {
  test("a hundred adds at once are all counted", async () => {
    const { cache } = current;
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => cache.increment(scope, "k", 1, { ttlMs })),
    );
    expect(new Set(answers).size).toBe(100);
    expect(await cache.increment(scope, "k", 0, { ttlMs })).toBe(100);
  });

  test("a counter's life begins with its first add and is not prolonged by later ones", async () => {
    const { cache } = current;
    await cache.increment(scope, "k", 3, { ttlMs });
    current.nowMs = 1_049;
    expect(await cache.increment(scope, "k", -1, { ttlMs })).toBe(2);
    current.nowMs = 1_050;
    expect(await cache.increment(scope, "k", 1, { ttlMs })).toBe(1);
    current.nowMs = 1_099;
    expect(await cache.increment(scope, "k", 1, { ttlMs })).toBe(2);
  });

  test("a counter counts whole numbers up to 2^53, one more is refused and not counted", async () => {
    const { cache } = current;
    const max = Number.MAX_SAFE_INTEGER;
    expect(await cache.increment(scope, "k", max, { ttlMs })).toBe(max);
    for (const by of [1, 0.5, Number.NaN]) {
      await expect(cache.increment(scope, "k", by, { ttlMs })).rejects.toMatchObject({
        code: "limit",
      });
    }
    expect(await cache.increment(scope, "k", 0, { ttlMs })).toBe(max);
  });
}

function describeWindows(current: Current): void {
  const rate = { limit: 3, windowMs: 100 };

  test("as many uses as the limit are allowed in any window, whenever it begins", async () => {
    const { cache } = current;
    const at = async (nowMs: number): Promise<unknown> => {
      current.nowMs = nowMs;
      const { isAllowed, remaining, retryAfterMs } = await cache.acquire(scope, "k", rate);
      return [isAllowed, remaining, retryAfterMs];
    };
    expect(await at(1_000)).toEqual([true, 2, 0]);
    expect(await at(1_060)).toEqual([true, 1, 0]);
    expect(await at(1_090)).toEqual([true, 0, 0]);
    expect(await at(1_099)).toEqual([false, 0, 1]);
    expect(await at(1_100)).toEqual([true, 0, 0]);
    expect(await at(1_101)).toEqual([false, 0, 59]);
    expect(await at(1_160)).toEqual([true, 0, 0]);
    expect(await at(1_500)).toEqual([true, 2, 0]);
  });

  test("a refused use is not counted", async () => {
    const { cache } = current;
    for (let use = 0; use < 3; use += 1) await cache.acquire(scope, "k", rate);
    for (let use = 0; use < 10; use += 1) {
      current.nowMs += 5;
      expect((await cache.acquire(scope, "k", rate)).isAllowed).toBe(false);
    }
    current.nowMs = 1_100;
    expect(await cache.acquire(scope, "k", rate)).toMatchObject({ isAllowed: true, remaining: 2 });
  });

  test("of many uses asked for at once, exactly as many as the limit are allowed", async () => {
    const { cache } = current;
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => cache.acquire(scope, "k", { limit: 7, windowMs: 100 })),
    );
    expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(7);
  });

  test("a limit of 0 allows nothing, and a lowered limit counts the uses already made", async () => {
    const { cache } = current;
    expect(await cache.acquire(scope, "none", { limit: 0, windowMs: 100 })).toEqual({
      isAllowed: false,
      remaining: 0,
      retryAfterMs: 100,
    });
    await cache.acquire(scope, "k", rate);
    current.nowMs = 1_010;
    await cache.acquire(scope, "k", rate);
    expect(await cache.acquire(scope, "k", { limit: 1, windowMs: 100 })).toEqual({
      isAllowed: false,
      remaining: 0,
      retryAfterMs: 100,
    });
  });

  test("a window's limit is bounded, one over is refused", async () => {
    const { cache } = current;
    const { rateMax } = cache.limits;
    const asked = { limit: rateMax, windowMs: 100 };
    expect((await cache.acquire(scope, "k", asked)).remaining).toBe(rateMax - 1);
    await expect(
      cache.acquire(scope, "k", { limit: rateMax + 1, windowMs: 100 }),
    ).rejects.toMatchObject({ name: "StoreError", code: "limit" });
  });
}

function describeClosing(current: Current): void {
  test("after reopening, what is there is what was last put, and the dead stay dead", async () => {
    const { cache, fixture } = current;
    await cache.put(scope, "k", Uint8Array.of(1), { ttlMs });
    await cache.put(scope, "k", Uint8Array.of(2), { ttlMs });
    await cache.put(scope, "deleted", Uint8Array.of(3), { ttlMs });
    await cache.delete(scope, "deleted");
    await cache.put(scope, "dead", Uint8Array.of(4), { ttlMs: 5 });
    current.nowMs = 1_005;
    const reopened = await fixture.reopen();
    expect(await reopened.get(scope, "k")).toBeOneOf([undefined, Uint8Array.of(2)]);
    expect(await reopened.get(scope, "deleted")).toBeUndefined();
    expect(await reopened.get(scope, "dead")).toBeUndefined();
  });

  test("after the process was killed, nothing that was replaced or deleted comes back", async () => {
    const { cache, fixture } = current;
    await cache.put(scope, "k", Uint8Array.of(1), { ttlMs });
    await cache.put(scope, "deleted", Uint8Array.of(1), { ttlMs });
    await cache[Symbol.asyncDispose]();
    await runUntilKilled(
      `const cache = await (${fixture.childCache});
      const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
      await cache.put(scope, "k", Uint8Array.of(2), { ttlMs: 50 });
      await cache.delete(scope, "deleted");
      process.stdout.write("done\\n");
      setInterval(() => {}, 1000);`,
      1,
    );
    const reopened = await fixture.reopen();
    expect(await reopened.get(scope, "k")).toBeOneOf([undefined, Uint8Array.of(2)]);
    expect(await reopened.get(scope, "deleted")).toBeUndefined();
  });
}
