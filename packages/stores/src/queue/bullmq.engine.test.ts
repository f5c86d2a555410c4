import { randomUUID } from "node:crypto";

import { Queue as BullQueue, Worker as BullWorker } from "bullmq";
import { Redis } from "ioredis";
import { expect, test } from "vitest";

import type { ServerEngine } from "../server-engine.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, serverName, testServerUrl } from "../testing/engine-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { checkPolicy, openBullmqQueue } from "./bullmq.ts";
import { describeQueue } from "./conformance.ts";
import type { ClaimedTask, NewTask, Queue } from "./port.ts";

const module = new URL("./bullmq.ts", import.meta.url).href;
const server = testServerUrl("redis") ?? "redis://127.0.0.1:1";
const scope = scopeFor("tenant-a");
const connection = { host: new URL(server).hostname, port: Number(new URL(server).port) };
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const newPrefix = (): string => serverName(randomUUID());

/** The server's URL with a prefix of its own. */
function under(prefix: string, url = server): string {
  return `${url}${url.includes("?") ? "&" : "?"}prefix=${prefix}`;
}

async function dropKeys(prefix: string): Promise<void> {
  const raw = new Redis(server);
  for await (const page of raw.scanStream({ match: `${prefix}:*`, count: 1_000 })) {
    if ((page as string[]).length > 0) await raw.unlink(page as string[]);
  }
  raw.disconnect();
}

describeOnServer("redis", () => {
  describeQueue("bullmq", async (clock) => {
    const directory = await makeTemporaryDirectory();
    const prefix = serverName(directory.path);
    const url = under(prefix);
    let queue = await openBullmqQueue({ url, simulatedClock: clock });
    return {
      queue,
      async reopen() {
        await queue[Symbol.asyncDispose]();
        queue = await openBullmqQueue({ url, simulatedClock: clock });
        return queue;
      },
      childQueue: `(await import("${module}")).openBullmqQueue({
        url: ${JSON.stringify(url)}, simulatedClock: () => 1000 })`,
      async [Symbol.asyncDispose]() {
        await queue[Symbol.asyncDispose]();
        await dropKeys(prefix);
        await directory[Symbol.asyncDispose]();
      },
    };
  });
});

async function withQueue(
  work: (queue: Queue & ServerEngine, prefix: string, url: string) => Promise<void>,
): Promise<void> {
  const prefix = newPrefix();
  const url = under(prefix);
  await using queue = await openBullmqQueue({ url });
  try {
    await work(queue, prefix, url);
  } finally {
    await dropKeys(prefix);
  }
}

describeOnServer("redis", () => {
  test("BullMQ's own queue sees what is queued, in every state", async () => {
    await withQueue(async (queue, prefix) => {
      const add = async (id: string, options: Partial<NewTask> = {}): Promise<unknown> =>
        await queue.enqueue(scope, "high_priority", {
          id,
          payload: text('{"scan":1}'),
          ...options,
        });
      const claim = async () =>
        await queue.claim(scope, "high_priority", { worker: "w", leaseMs: 60_000 });
      await add("dead", { attemptsMax: 1 });
      await queue.fail(scope, required(await claim()), "broke");
      await add("done");
      await queue.complete(scope, required(await claim()));
      await add("held");
      await claim();
      await add("due", { priority: 3 });
      await add("later", { dueAt: Date.now() + 3_600_000 });
      const bull = new BullQueue("high_priority", {
        connection,
        prefix: `${prefix}:tenant-a:scan:queue`,
      });
      expect(
        await bull.getJobCounts("active", "completed", "delayed", "failed", "prioritized"),
      ).toEqual({ active: 1, completed: 1, delayed: 1, failed: 1, prioritized: 1 });
      const job = await bull.getJob("task-due");
      expect(job?.data).toEqual({ scan: 1 });
      expect(job?.opts).toMatchObject({ attempts: 5, priority: 1_048_573 });
      expect((await bull.getFailed())[0]).toMatchObject({
        id: "task-dead",
        failedReason: "broke",
        attemptsMade: 1,
      });
      await bull.pause();
      expect(await claim()).toBeUndefined();
      await bull.resume();
      expect((await claim())?.id).toBe("due");
      await bull.close();
    });
  });

  test("a worker of BullMQ's does what is queued here, once", async () => {
    await withQueue(async (queue, prefix) => {
      const seen: unknown[] = [];
      const worker = new BullWorker(
        "medium_priority",
        async (job) => {
          await Promise.resolve(seen.push(job.data));
        },
        { connection, prefix: `${prefix}:tenant-a:scan:queue` },
      );
      const add = async (id: string): Promise<boolean> =>
        await queue.enqueue(scope, "medium_priority", { id, payload: text(`"${id}"`) });
      await add("one");
      await add("two");
      await expect.poll(() => seen, { timeout: 10_000, interval: 10 }).toEqual(["one", "two"]);
      await worker.close();
      expect(await add("one")).toBe(false);
      expect(await queue.depth(scope, "medium_priority")).toEqual({
        due: 0,
        later: 0,
        claimed: 0,
        dead: 0,
      });
    });
  });

  test("what BullMQ's stalled check gives back is due again, and what is held it leaves alone", async () => {
    await withQueue(async (queue, prefix) => {
      const base = `${prefix}:tenant-a:scan:queue:q:`;
      await queue.enqueue(scope, "q", { id: "t", payload: text("1") });
      const claim = async () => await queue.claim(scope, "q", { worker: "w", leaseMs: 60_000 });
      const task = required(await claim());
      const raw = new Redis(server);
      expect(await raw.get(`${base}task-t:lock`)).toBe(String(task.fencingToken));
      // As moveStalledJobsToWait does with a job whose lock is gone.
      await raw.lrem(`${base}active`, 1, "task-t");
      await raw.rpush(`${base}wait`, "task-t");
      expect((await queue.depth(scope, "q")).due).toBe(1);
      const again = required(await claim());
      expect([again.id, again.attempt]).toEqual(["t", 2]);
      await expect(queue.complete(scope, task)).rejects.toMatchObject({ code: "conflict" });
      await queue.complete(scope, again);
      expect(await queue.depth(scope, "q")).toEqual({ due: 0, later: 0, claimed: 0, dead: 0 });
      for (const id of ["gone", "there"]) {
        await queue.enqueue(scope, "q", { id, payload: text("1") });
      }
      await raw.unlink(`${base}task-gone`);
      expect((await claim())?.id).toBe("there");
      raw.disconnect();
    });
  });

  test("leases end, and back-offs too, by the server's clock", async () => {
    await withQueue(async (queue) => {
      const claim = async (leaseMs: number): Promise<ClaimedTask | undefined> =>
        await queue.claim(scope, "q", { worker: "w", leaseMs });
      await queue.enqueue(scope, "q", { id: "t", payload: text("1"), backoffMs: 30 });
      const first = required(await claim(30));
      const again = async (): Promise<number | undefined> => (await claim(60_000))?.fencingToken;
      await expect.poll(again, { interval: 5 }).toBeGreaterThan(first.fencingToken);
      await queue.remove(scope, "q", "t");
      await queue.enqueue(scope, "q", { id: "u", payload: text("1"), backoffMs: 30 });
      const task = required(await claim(60_000));
      expect(await queue.fail(scope, task, "broke")).toBe("retry");
      expect(await queue.depth(scope, "q")).toMatchObject({ due: 0, later: 1 });
      await expect.poll(again, { interval: 5 }).toBeGreaterThan(task.fencingToken);
    });
  });

  test("processes that claim at once get every task, each once", async () => {
    await withQueue(async (queue, _prefix, url) => {
      await using other = await openBullmqQueue({ url });
      const ids = Array.from({ length: 200 }, (_, index) => `t${index}`);
      await Promise.all(ids.map((id) => queue.enqueue(scope, "q", { id, payload: text("1") })));
      const claims = await Promise.all(
        [...ids, ...ids].map((_, index) =>
          (index % 2 === 0 ? queue : other).claim(scope, "q", { worker: "w", leaseMs: 60_000 }),
        ),
      );
      const got = claims.flatMap((task) => (task === undefined ? [] : [task.id]));
      expect(got.toSorted()).toEqual(ids.toSorted());
      const tokens = claims.flatMap((task) => (task === undefined ? [] : [task.fencingToken]));
      expect(new Set(tokens).size).toBe(200);
    });
  });

  test("the ids of the last hundred thousand tasks done are remembered, no more", async () => {
    await withQueue(async (queue, prefix) => {
      const raw = new Redis(server);
      const base = `${prefix}:tenant-a:scan:queue:q:`;
      for (let part = 0; part < 10; part += 1) {
        const members = Array.from({ length: 10_000 }, (_, index) => [
          String(part * 10_000 + index),
          `task-old${part * 10_000 + index}`,
        ]);
        await raw.zadd(`${base}completed`, ...members.flat());
      }
      await raw.hset(`${base}task-old0`, "name", "task");
      expect(await queue.enqueue(scope, "q", { id: "old0", payload: text("1") })).toBe(false);
      await queue.enqueue(scope, "q", { id: "new", payload: text("1") });
      const task = required(await queue.claim(scope, "q", { worker: "w", leaseMs: 60_000 }));
      await queue.complete(scope, task);
      expect(await raw.zcard(`${base}completed`)).toBe(100_000);
      raw.disconnect();
      expect(await queue.enqueue(scope, "q", { id: "old0", payload: text("1") })).toBe(true);
      expect(await queue.enqueue(scope, "q", { id: "new", payload: text("1") })).toBe(false);
    });
  });

  test("a healthy server tells its version, and one that would drop tasks is refused", async () => {
    await withQueue(async (queue) => {
      expect(await queue.health()).toMatchObject({
        product: expect.stringMatching(/^(Redis|Valkey)$/) as string,
      });
    });
    checkPolicy(new Map([["maxmemory_policy", "noeviction"]]));
    expect(() => checkPolicy(new Map([["maxmemory_policy", "allkeys-lru"]]))).toThrow(
      expect.objectContaining({
        code: "unsupported",
        message: expect.stringContaining("noeviction") as string,
      }) as Error,
    );
  });
});

function required(task: ClaimedTask | undefined): ClaimedTask {
  if (task === undefined) throw new Error("no task is due");
  return task;
}

const networkPrefix = newPrefix();

describeNetworkFaults("redis", {
  open: (url) => openBullmqQueue({ url: under(networkPrefix, url) }),
  write: async (queue, number, of) => {
    await queue.enqueue(of, "q", { id: `row ${number}`, payload: Uint8Array.of(1) });
  },
  count: async (queue, of) => (await queue.depth(of, "q")).due,
  clean: () => dropKeys(networkPrefix),
});
