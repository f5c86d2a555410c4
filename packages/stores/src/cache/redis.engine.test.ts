import { randomUUID } from "node:crypto";

import { Redis } from "ioredis";
import { afterAll, describe, expect, test } from "vitest";

import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { openBullmqQueue } from "../queue/bullmq.ts";
import { describeOnServer, serverName, testServerUrl } from "../testing/engine-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { describeLocksAndNotices } from "./conformance-locks.ts";
import { describeCache } from "./conformance.ts";
import { openRedisCache } from "./redis.ts";

const module = new URL("./redis.ts", import.meta.url).href;
const server = testServerUrl("redis") ?? "redis://127.0.0.1:1";
const tlsUrl = process.env["CUSTODY_TEST_REDIS_TLS_URL"];
const scope = scopeFor("tenant-a");
const bytes = Uint8Array.of(0, 1, 255);
const newPrefix = (): string => serverName(randomUUID());

/** The server's URL with a prefix of its own. */
function under(prefix: string, url = server, options = ""): string {
  return `${url}${url.includes("?") ? "&" : "?"}prefix=${prefix}${options}`;
}

/** The server itself, past the store. */
async function withRaw<Result>(work: (raw: Redis) => Promise<Result>): Promise<Result> {
  const raw = new Redis(server);
  try {
    return await work(raw);
  } finally {
    raw.disconnect();
  }
}

async function dropKeys(prefix: string): Promise<void> {
  await withRaw(async (raw) => {
    for await (const page of raw.scanStream({ match: `${prefix}[.:]*` })) {
      for (const key of page as string[]) await raw.unlink(key);
    }
  });
}

describeOnServer("redis", () => {
  describeCache("redis", async (clock) => {
    const directory = await makeTemporaryDirectory();
    const prefix = serverName(directory.path);
    const url = under(prefix);
    let cache = await openRedisCache({ url, simulatedClock: clock });
    return {
      cache,
      async reopen() {
        await cache[Symbol.asyncDispose]();
        cache = await openRedisCache({ url, simulatedClock: clock });
        return cache;
      },
      childCache: `(await import("${module}")).openRedisCache({
        url: ${JSON.stringify(url)}, simulatedClock: () => 1000 })`,
      async [Symbol.asyncDispose]() {
        await cache[Symbol.asyncDispose]();
        await dropKeys(prefix);
        await directory[Symbol.asyncDispose]();
      },
    };
  });

  const prefix = newPrefix();
  afterAll(() => dropKeys(prefix));
  let stores = 0;
  describeLocksAndNotices("redis", (clock) => {
    stores += 1;
    return openRedisCache({ url: under(`${prefix}.${stores}`), simulatedClock: clock });
  });
});

describeOnServer("redis", () => {
  test("lives and windows are reckoned by the server's clock, whatever this process believes", async () => {
    const prefix = newPrefix();
    await using cache = await openRedisCache({ url: under(prefix) });
    await cache.put(scope, "k", bytes, { ttlMs: 60_000 });
    await cache.increment(scope, "k", 41, { ttlMs: 60_000 });
    await cache.acquire(scope, "k", { limit: 3, windowMs: 60_000 });
    await withRaw(async (raw) => {
      const root = `${prefix}:cache:tenant-a`;
      expect(await raw.getBuffer(`${root}:value:=k`)).toEqual(Buffer.from([0, 1, 255]));
      for (const kind of ["value", "count", "window"]) {
        const lifeMs = await raw.pttl(`${root}:${kind}:=k`);
        expect([kind, lifeMs > 50_000 && lifeMs <= 60_000]).toEqual([kind, true]);
      }
      const [seconds] = await raw.time();
      const usedAt = Number(await raw.lindex(`${root}:window:=k`, 0));
      expect(Math.abs(usedAt - Number(seconds) * 1_000)).toBeLessThan(3_000);
    });
    await cache.put(scope, "short", bytes, { ttlMs: 30 });
    await expect.poll(() => cache.get(scope, "short"), { interval: 5 }).toBeUndefined();
    await cache.increment(scope, "short", 5, { ttlMs: 30 });
    const life = { ttlMs: 1 };
    await expect
      .poll(() => cache.increment(scope, "short", 0, life), { interval: 5 })
      .toBeLessThan(5);
    expect((await cache.statistics(scope)).entries).toBe(1);
    await cache.clear(scope);
    expect(await withRaw((raw) => raw.keys(`${prefix}:*`))).toEqual([]);
  });

  test("two processes with different clocks of their own share one window and one lock", async () => {
    const prefix = newPrefix();
    await using one = await openRedisCache({ url: under(prefix) });
    await using two = await openRedisCache({ url: under(prefix) });
    const rate = { limit: 3, windowMs: 60_000 };
    const uses = await Promise.all(
      [one, two, one, two, one, two].map((cache) => cache.acquire(scope, "k", rate)),
    );
    expect(uses.filter(({ isAllowed }) => isAllowed)).toHaveLength(3);
    const locks = await Promise.all(
      [one, two, one, two].map((cache) => cache.lock(scope, "job", { ttlMs: 60_000 })),
    );
    const held = locks.filter((lock) => lock !== undefined);
    expect(held).toHaveLength(1);
    // Microseconds since the epoch, so that a server that has lost everything gives a higher one.
    expect(held[0]?.token).toBeGreaterThan(1_700_000_000_000_000);
    await dropKeys(prefix);
  });

  test("a notice crosses processes, and is heard again after a connection was killed", async () => {
    const prefix = newPrefix();
    await using one = await openRedisCache({ url: under(prefix) });
    await using two = await openRedisCache({ url: under(prefix) });
    const heard: number[] = [];
    await two.subscribe(scope, "news", ([first = -1]) => heard.push(first));
    await one.publish(scope, "news", Uint8Array.of(1));
    await expect.poll(() => heard, { interval: 5 }).toEqual([1]);
    const channel = `${prefix}:cache:tenant-a:notice:=news@0`;
    await withRaw(async (raw) => {
      const list = String(await raw.client("LIST", "TYPE", "PUBSUB"));
      for (const line of list.split("\n").filter((one) => one.includes(`name=custody:${prefix}`))) {
        await raw.client("KILL", "ID", /^id=(\d+)/.exec(line)?.[1] ?? "0");
      }
      const listeners = async (): Promise<unknown> => (await raw.pubsub("NUMSUB", channel))[1];
      await expect.poll(listeners, { interval: 5 }).toBe(1);
    });
    await one.publish(scope, "news", Uint8Array.of(2));
    await expect.poll(() => heard, { interval: 5 }).toEqual([1, 2]);
  });

  test("after its connection was killed, the next call has a new one", async () => {
    const prefix = newPrefix();
    await using cache = await openRedisCache({ url: under(prefix) });
    await cache.put(scope, "k", bytes, { ttlMs: 60_000 });
    await withRaw(async (raw) => {
      const list = String(await raw.client("LIST", "TYPE", "NORMAL"));
      const line = list.split("\n").find((one) => one.includes(`name=custody:${prefix}`)) ?? "";
      await raw.client("KILL", "ID", /^id=(\d+)/.exec(line)?.[1] ?? "0");
    });
    const get = async (): Promise<unknown> =>
      await cache.get(scope, "k").catch((cause: { code: string }) => cause.code);
    await expect.poll(get, { interval: 5 }).toEqual(bytes);
    await dropKeys(prefix);
  });

  test("beyond ten thousand calls without an answer, the next is refused", async () => {
    await using cache = await openRedisCache({ url: under(newPrefix()) });
    await cache.get(scope, "k");
    const calls = Array.from({ length: 10_001 }, () => cache.get(scope, "k"));
    const outcomes = await Promise.allSettled(calls);
    const refused = outcomes.filter(({ status }) => status === "rejected");
    expect(refused).toMatchObject([
      { reason: { name: "StoreError", code: "unavailable", retryable: true } },
    ]);
  });
});

describeOnServer("redis", () => {
  test("a user sees and changes what its ACL allows: the rest is read-only, a wrong password unavailable", async () => {
    const prefix = newPrefix();
    const user = `custody-${prefix}`;
    await withRaw(async (raw) => {
      const rules = [
        "on",
        ">Sesame-42",
        `~${prefix}:*`,
        "-@all",
        "+@read",
        "+@connection",
        "+info",
      ];
      await raw.acl("SETUSER", user, ...rules);
      const as = (password: string): string =>
        under(prefix, server.replace(/\/\/(?:[^@/]*@)?/, `//${user}:${password}@`));
      await using cache = await openRedisCache({ url: as("Sesame-42") });
      expect(await cache.get(scope, "k")).toBeUndefined();
      await expect(cache.put(scope, "k", bytes, { ttlMs: 1_000 })).rejects.toMatchObject({
        name: "StoreError",
        code: "read-only",
      });
      await using stranger = await openRedisCache({ url: as("Open-43") });
      const failure = await stranger.get(scope, "k").catch((cause: unknown) => cause);
      expect(failure).toMatchObject({ name: "StoreError", code: "unavailable" });
      expect(String(failure)).not.toContain("Open-43");
      await raw.acl("DELUSER", user);
    });
  });

  test("clearing a tenant's cache leaves the tasks of a tenant whose name is a part of keys", async () => {
    const prefix = newPrefix();
    await using queue = await openBullmqQueue({ url: under(prefix) });
    await using cache = await openRedisCache({ url: under(prefix) });
    await queue.enqueue(scopeFor("cache"), "q", { id: "task", payload: bytes });
    await cache.put(scopeFor("scan"), "k", bytes, { ttlMs: 60_000 });
    await cache.increment(scopeFor("scan"), "k", 1, { ttlMs: 60_000 });
    await cache.clear(scopeFor("scan"));
    expect(await cache.get(scopeFor("scan"), "k")).toBeUndefined();
    expect(await cache.increment(scopeFor("scan"), "k", 1, { ttlMs: 60_000 })).toBe(1);
    const options = { worker: "w", leaseMs: 60_000 };
    expect(await queue.claim(scopeFor("cache"), "q", options)).toMatchObject({ id: "task" });
    await dropKeys(prefix);
  });

  test("databases of one server share nothing, notices neither", async () => {
    const prefix = newPrefix();
    await using zero = await openRedisCache({ url: under(prefix, `${server}/0`) });
    await using one = await openRedisCache({ url: under(prefix, `${server}/1`) });
    await zero.put(scope, "k", bytes, { ttlMs: 60_000 });
    expect(await one.get(scope, "k")).toBeUndefined();
    const heard: number[] = [];
    await one.subscribe(scope, "news", ([first = -1]) => heard.push(first));
    await zero.publish(scope, "news", Uint8Array.of(0));
    await one.publish(scope, "news", Uint8Array.of(1));
    await expect.poll(() => heard, { interval: 5 }).toEqual([1]);
    await dropKeys(prefix);
  });

  test("a healthy server tells its product and version", async () => {
    await using cache = await openRedisCache({ url: under(newPrefix()) });
    expect(await cache.health()).toEqual({
      product: expect.stringMatching(/^(Redis|Valkey)$/) as string,
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      tookMs: expect.any(Number) as number,
    });
  });
});

describe.skipIf(tlsUrl === undefined)("on redis with TLS", () => {
  const url = tlsUrl ?? "rediss://none";

  test("the certificate of the given authority is trusted, any other is not", async () => {
    await using cache = await openRedisCache({ url: under(newPrefix(), url) });
    await cache.put(scope, "k", bytes, { ttlMs: 1_000 });
    expect(await cache.get(scope, "k")).toEqual(bytes);
    await using untrusting = await openRedisCache({
      url: under(newPrefix(), url.replace(/ca=[^&]*/, "verify=true")),
    });
    await expect(untrusting.get(scope, "k")).rejects.toMatchObject({ code: "unavailable" });
  });
});

const networkPrefix = newPrefix();

describeNetworkFaults("redis", {
  open: (url) => openRedisCache({ url: under(networkPrefix, url) }),
  write: (cache, number, of) =>
    cache.put(of, `row ${number}`, Uint8Array.of(1), { ttlMs: 600_000 }),
  count: async (cache, of) => (await cache.statistics(of)).entries,
  clean: () => dropKeys(networkPrefix),
});
