import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { describeLocksAndNotices } from "./conformance-locks.ts";
import { describeCache } from "./conformance.ts";
import { openMemoryCache } from "./memory.ts";
import type { Cache } from "./port.ts";

const scope = scopeFor("tenant-a");
const other = scopeFor("tenant-b");
const module = new URL("./memory.ts", import.meta.url).href;
const ttlMs = 1_000;

describeCache("memory", async (clock) => {
  const directory = await makeTemporaryDirectory();
  const path = join(directory.path, "cache.sqlite");
  const options = { path, clock, bytesMax: 4 * 1024 * 1024 };
  let cache: Cache = await openMemoryCache(options);
  return {
    cache,
    async reopen() {
      await cache[Symbol.asyncDispose]();
      cache = await openMemoryCache(options);
      return cache;
    },
    childCache: `(await import("${module}")).openMemoryCache({
      path: ${JSON.stringify(path)}, clock: () => 1000, bytesMax: 4194304 })`,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});

describeLocksAndNotices("memory", (clock) => openMemoryCache({ clock, bytesMax: 100_000 }));

async function withCaches(
  work: (open: (bytesMax?: number) => Promise<Cache>, path: string) => Promise<void>,
): Promise<void> {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, "cache.sqlite");
  await work((bytesMax = 100_000) => openMemoryCache({ path, clock: () => 1_000, bytesMax }), path);
}

test("values, counts and windows survive an orderly restart, and are found only once", async () => {
  await withCaches(async (open) => {
    const first = await open();
    await first.put(scope, "k", Uint8Array.of(0, 1, 255), { ttlMs });
    await first.increment(scope, "k", 41, { ttlMs });
    await first.acquire(scope, "k", { limit: 2, windowMs: 100 });
    await first[Symbol.asyncDispose]();
    const second = await open();
    expect(await second.get(scope, "k")).toEqual(Uint8Array.of(0, 1, 255));
    expect(await second.increment(scope, "k", 1, { ttlMs })).toBe(42);
    const rate = { limit: 2, windowMs: 100 };
    expect(await second.acquire(scope, "k", rate)).toMatchObject({ remaining: 0 });
    const third = await open();
    expect(await third.get(scope, "k")).toBeUndefined();
  });
});

test("beyond its bytes, the cache forgets what was unused longest, whoever's it is", async () => {
  const cache = await openMemoryCache({ clock: () => 1_000, bytesMax: 4_000 });
  for (const key of ["a", "b", "c"]) {
    await cache.put(key === "c" ? other : scope, key, new Uint8Array(1_000), { ttlMs });
  }
  expect(await cache.get(scope, "a")).toBeDefined();
  await cache.put(scope, "d", new Uint8Array(1_000), { ttlMs });
  expect(await cache.get(scope, "b")).toBeUndefined();
  expect(await cache.get(scope, "a")).toBeDefined();
  expect(await cache.get(other, "c")).toBeDefined();
  expect(await cache.get(scope, "d")).toBeDefined();
});

test("values do not push out counters or windows", async () => {
  const cache = await openMemoryCache({ clock: () => 1_000, bytesMax: 2_000 });
  const rate = { limit: 1, windowMs: 1_000 };
  await cache.increment(scope, "k", 1, { ttlMs });
  await cache.acquire(scope, "k", rate);
  for (let index = 0; index < 100; index += 1) {
    await cache.put(scope, `v${index}`, new Uint8Array(1_000), { ttlMs });
  }
  expect((await cache.statistics(scope)).entries).toBe(1);
  expect(await cache.increment(scope, "k", 1, { ttlMs })).toBe(2);
  expect((await cache.acquire(scope, "k", rate)).isAllowed).toBe(false);
});

test("a smaller cache takes the most recently used of a larger one's file", async () => {
  await withCaches(async (open) => {
    const first = await open();
    for (const key of ["a", "b", "c"]) await first.put(scope, key, new Uint8Array(900), { ttlMs });
    await first.get(scope, "a");
    await first[Symbol.asyncDispose]();
    const second = await open(2_500);
    expect(await second.get(scope, "b")).toBeUndefined();
    expect(await second.get(scope, "c")).toBeDefined();
    expect(await second.get(scope, "a")).toBeDefined();
  });
});

test("a file that is no database is replaced by an empty cache", async () => {
  await withCaches(async (open, path) => {
    await writeFile(path, "this is no database, and longer than its header would be".repeat(50));
    const cache = await open();
    expect(await cache.get(scope, "k")).toBeUndefined();
    await cache.put(scope, "k", Uint8Array.of(1), { ttlMs });
    await cache[Symbol.asyncDispose]();
    expect(await (await open()).get(scope, "k")).toEqual(Uint8Array.of(1));
  });
});
