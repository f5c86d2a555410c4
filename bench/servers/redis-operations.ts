import { randomBytes } from "node:crypto";

import { Queue as BullQueue, Worker as BullWorker } from "bullmq";
import { Redis } from "ioredis";

import { openRedisCache } from "@custody/stores/cache/redis";
import { readRedisSettings } from "@custody/stores/drivers/redis-settings";
import { openBullmqQueue } from "@custody/stores/queue/bullmq";

import { SCOPE } from "../custody-scope.ts";
import { callsAtOnce } from "./measured.ts";
import type { Measured } from "./measured.ts";
import { serverAddress } from "./raw-server.ts";

const VALUE_BYTES = 1_024;
const VALUES = 10_000;
// Calls under way at a time, which the raw client sends as one pipeline.
const AT_ONCE = 100;
const TTL_MS = 600_000;
const TASKS = 2_000;
const TAKEN = 500;
const LEASE_MS = 60_000;

/** Values of 1 KiB: put, and got one after another and many at once. */
export async function cacheOperations(url: string): Promise<Measured> {
  const { prefix } = readRedisSettings(url);
  const client = new Redis(serverAddress(url));
  const cache = await openRedisCache({ url });
  const value = randomBytes(VALUE_BYTES);
  const key = (index: number): string => `${prefix}:raw:${index}`;
  const pipelines = async (
    add: (pipeline: ReturnType<Redis["pipeline"]>, index: number) => unknown,
  ): Promise<void> => {
    for (let from = 0; from < VALUES; from += AT_ONCE) {
      const pipeline = client.pipeline();
      for (let index = from; index < from + AT_ONCE; index += 1) add(pipeline, index);
      await pipeline.exec();
    }
  };
  return {
    pairs: [
      {
        name: "cache put, 1 KiB, 100 at once",
        unit: "puts/s",
        amount: VALUES,
        raw: () => pipelines((pipeline, index) => pipeline.set(key(index), value, "PX", TTL_MS)),
        store: () =>
          callsAtOnce(VALUES, AT_ONCE, (index) =>
            cache.put(SCOPE, String(index), value, { ttlMs: TTL_MS }),
          ),
      },
      {
        name: "cache get, 1 KiB, 100 at once",
        unit: "gets/s",
        amount: VALUES,
        raw: () => pipelines((pipeline, index) => pipeline.getBuffer(key(index))),
        store: () => callsAtOnce(VALUES, AT_ONCE, (index) => cache.get(SCOPE, String(index))),
      },
      {
        name: "cache get, one after another",
        unit: "gets/s",
        amount: TASKS,
        raw: () => callsAtOnce(TASKS, 1, (index) => client.getBuffer(key(index))),
        store: () => callsAtOnce(TASKS, 1, (index) => cache.get(SCOPE, String(index))),
      },
    ],
    close: async () => {
      client.disconnect();
      await cache[Symbol.asyncDispose]();
    },
  };
}

/** Tasks of 200 bytes: added, and taken and completed one after another. */
export async function queueOperations(url: string): Promise<Measured> {
  const { prefix } = readRedisSettings(url);
  const address = new URL(serverAddress(url));
  const connection = { host: address.hostname, port: Number(address.port) };
  const bull = new BullQueue("raw", { connection, prefix });
  const worker = new BullWorker("raw", null, { connection, prefix });
  const queue = await openBullmqQueue({ url });
  const text = randomBytes(100).toString("hex");
  const payload = new TextEncoder().encode(text);
  return {
    pairs: [
      {
        name: "queue add, 100 at once",
        unit: "tasks/s",
        amount: TASKS,
        raw: async (run) => {
          for (let from = 0; from < TASKS; from += AT_ONCE) {
            await bull.addBulk(
              Array.from({ length: AT_ONCE }, (_, index) => ({
                name: "task",
                data: { text },
                opts: { jobId: `${run}-${from + index}`, priority: 5, attempts: 5 },
              })),
            );
          }
        },
        store: (run) =>
          callsAtOnce(TASKS, AT_ONCE, (index) =>
            queue.enqueue(SCOPE, "tasks", { id: `${run}-${index}`, payload }),
          ),
      },
      {
        name: "queue take and complete",
        unit: "tasks/s",
        amount: TAKEN,
        raw: (run) =>
          callsAtOnce(TAKEN, 1, async () => {
            const job = await worker.getNextJob(run);
            await job?.moveToCompleted(true, run, false);
          }),
        store: (run) =>
          callsAtOnce(TAKEN, 1, async () => {
            const task = await queue.claim(SCOPE, "tasks", { worker: run, leaseMs: LEASE_MS });
            if (task !== undefined) await queue.complete(SCOPE, task);
          }),
      },
    ],
    close: async () => {
      await worker.close();
      await bull.close();
      await queue[Symbol.asyncDispose]();
    },
  };
}
