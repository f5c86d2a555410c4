import { expect, test } from "vitest";

import {
  bullmqLayout,
  bullmqPriority,
  decodeData,
  decodeJobId,
  encodeData,
  encodeJobId,
} from "./bullmq-layout.ts";
import { readRedisSettings } from "./redis-settings.ts";

test("queues lie where BullMQ looks for them, in a cluster on one node", () => {
  const alone = bullmqLayout(readRedisSettings("redis://a?prefix=eu"), "tenant-a");
  expect(alone.base("high_priority")).toBe("eu:tenant-a:scan:queue:high_priority:");
  expect(alone.base("a:b/漢")).toBe("eu:tenant-a:scan:queue:a%3Ab%2F%E6%BC%A2:");
  const cluster = bullmqLayout(readRedisSettings("redis://a,b?cluster=true"), "tenant-a");
  expect([cluster.base("q"), cluster.fencing, cluster.schedules, cluster.scheduleTimes]).toEqual([
    "{custody:tenant-a}:scan:queue:q:",
    "{custody:tenant-a}:scan:fencing",
    "{custody:tenant-a}:scan:schedules",
    "{custody:tenant-a}:scan:schedule-times",
  ]);
});

test("an id is no number, colon or key of BullMQ's, and comes back as it was", () => {
  expect(encodeJobId("7")).toBe("task-7");
  expect(encodeJobId("meta")).toBe("task-meta");
  expect(encodeJobId("a:b@1050")).toBe("task-a%3Ab%401050");
  for (const id of ["7", "a:b", "漢字 😀", "%3A", "task-x"]) {
    expect(decodeJobId(encodeJobId(id))).toBe(id);
  }
});

test("the highest priority is BullMQ's first, the lowest its last", () => {
  expect([1_048_575, 0, -1_048_575].map(bullmqPriority)).toEqual([1, 1_048_576, 2_097_151]);
});

test.each([
  ["JSON", '{"a": [1, "ä"]}', "json"],
  ["JSON with space around it", ' "x"\n', "json"],
  ["text that is no JSON", "scan 7", "base64"],
  ["nothing", "", "base64"],
  ["a byte order mark", '\ufeff{"a":1}', "base64"],
])("%s comes back byte for byte", (_name, payload, kind) => {
  const bytes = new TextEncoder().encode(payload);
  const [data, encoding] = encodeData(bytes);
  expect(encoding).toBe(kind);
  expect(() => JSON.parse(data) as unknown).not.toThrow();
  expect(decodeData(Buffer.from(data), encoding)).toEqual(bytes);
});

test("bytes that are no text come back as they were", () => {
  const bytes = Uint8Array.of(34, 255, 0, 34);
  const [data, encoding] = encodeData(bytes);
  expect([data, encoding]).toEqual(['{"base64":"Iv8AIg=="}', "base64"]);
  expect(decodeData(Buffer.from(data), encoding)).toEqual(bytes);
});
