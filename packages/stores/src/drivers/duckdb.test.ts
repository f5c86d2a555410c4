import { existsSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { openDuckdbAnalytics } from "../analytics/duckdb.ts";
import type { AnalyticsStore } from "../analytics/port.ts";
import { makeBatch } from "../record-batch.ts";
import type { Delivery } from "../record-batch.ts";
import { openDuckdbSeries } from "../series/duckdb.ts";
import { endDuckdbProcess } from "../testing/duckdb-faults.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { joinDuckdbPool } from "./duckdb-pool.ts";
import { mapDuckdbError, quoteName, quoteText } from "./duckdb.ts";

const scope = scopeFor("tenant-a");
const TABLE = {
  name: "lab/things",
  generation: 1,
  placements: { "lab/things": { columns: { name: { type: "text", from: "name" } as const } } },
};

function things(sequence: number, count = 10): Delivery {
  const records = Array.from({ length: count }, (_, n) => ({
    id: `${sequence}-${n}`,
    sequence,
    text: `{"name":"thing ${n}"}`,
  }));
  return { batches: [makeBatch("lab/things", records)], checkpoint: sequence };
}

describe("the DuckDB process", () => {
  let home: TemporaryDirectory;
  let store: AnalyticsStore;
  beforeEach(async () => {
    home = await makeTemporaryDirectory();
    store = await openDuckdbAnalytics({ directory: home.path, processesMax: 2 });
  });
  afterEach(async () => {
    await store[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });
  const processId = async (of = scope): Promise<number | undefined> => {
    const { pool, release } = joinDuckdbPool({ directory: home.path });
    const id = pool.processId(of);
    await release();
    return id;
  };
  const isRunning = (id: number): boolean => {
    try {
      return process.kill(id, 0);
    } catch {
      return false;
    }
  };

  test("calls under way are unavailable when it is killed, and the next call starts another", async () => {
    await store.prepare(scope, TABLE);
    await store.apply(scope, TABLE, things(1));
    const calls = [2, 3, 4].map(async (sequence) => {
      await store.apply(scope, TABLE, things(sequence, 5_000));
    });
    const [, results] = await Promise.all([endDuckdbProcess(home.path), Promise.allSettled(calls)]);
    for (const result of results) {
      if (result.status === "fulfilled") continue;
      expect(result.reason).toMatchObject({ code: "unavailable", retryable: true });
    }
    expect(results.some(({ status }) => status === "rejected")).toBe(true);
    const checkpoint = await store.checkpoint(scope, TABLE);
    await store.apply(scope, TABLE, things(5));
    expect(checkpoint).toBeLessThanOrEqual(4);
    expect(await store.checkpoint(scope, TABLE)).toBe(5);
  });

  test("a tenant's analytics and series share one, and it is gone when both are closed", async () => {
    const series = await openDuckdbSeries({ directory: home.path });
    const points = {
      name: "lab/points",
      generation: 1,
      placements: { "lab/points": [{ measurement: "m", tags: {}, fields: { n: "n" } }] },
    };
    await store.prepare(scope, TABLE);
    const first = await processId();
    await series.prepare(scope, points);
    expect(await processId()).toBe(first);
    await store[Symbol.asyncDispose]();
    expect(await series.checkpoint(scope, points)).toBe(0);
    expect(isRunning(first ?? 0)).toBe(true);
    await series[Symbol.asyncDispose]();
    expect(isRunning(first ?? 0)).toBe(false);
  });

  test("more tenants than processes are served in turn, each with its own rows", async () => {
    const scopes = ["a", "b", "c", "d", "e"].map((name) => scopeFor(name));
    await Promise.all(
      scopes.map(async (of, index) => {
        await store.prepare(of, TABLE);
        await store.apply(of, TABLE, things(1, index + 1));
      }),
    );
    for (const [index, of] of scopes.entries()) {
      expect((await store.digest(of, TABLE, 10))[0]?.count).toBe(index + 1);
    }
    const ids = await Promise.all(scopes.map(processId));
    expect(ids.filter((id) => id !== undefined && isRunning(id)).length).toBeLessThanOrEqual(2);
  });

  test("it is ended when idle, and started again by the next call", async () => {
    await using other = await makeTemporaryDirectory();
    const brief = await openDuckdbAnalytics({ directory: other.path, idleMs: 1 });
    await brief.prepare(scope, TABLE);
    const { pool, release } = joinDuckdbPool({ directory: other.path });
    await expect.poll(() => pool.processId(scope)).toBeUndefined();
    await release();
    expect(await brief.checkpoint(scope, TABLE)).toBe(0);
    await brief[Symbol.asyncDispose]();
  });

  test("a call whose deadline is over is not made, and one that passes it is given up", async () => {
    await store.prepare(scope, TABLE);
    await expect(store.checkpoint({ ...scope, deadline: 0 }, TABLE)).rejects.toMatchObject({
      code: "unavailable",
    });
    const sql = store.sql(
      { ...scope, deadline: Date.now() + 200 },
      {
        statement: "SELECT count(*) FROM range(1000000) a, range(1000000) b",
        rowsMax: 1,
        timeMs: 60_000,
      },
    );
    await expect(sql).rejects.toMatchObject({ name: "StoreError" });
    expect(await store.checkpoint(scope, TABLE)).toBe(0);
  });

  test("a write that is given up leaves nothing behind and holds up no other", async () => {
    await store.prepare(scope, TABLE);
    const { batches } = things(1, 3);
    const wrong = { batches: [...batches, makeBatch("lab/other", [])], checkpoint: 1 };
    await expect(store.apply(scope, TABLE, wrong)).rejects.toMatchObject({ code: "refused" });
    await store.apply(scope, TABLE, things(1, 4));
    expect((await store.digest(scope, TABLE, 10))[0]?.count).toBe(4);
  });

  test("it works from a worker thread too", async () => {
    const module = new URL("../analytics/duckdb.ts", import.meta.url).href;
    const source = `
      import { parentPort } from "node:worker_threads";
      import { openDuckdbAnalytics } from ${JSON.stringify(module)};
      const store = await openDuckdbAnalytics({ directory: ${JSON.stringify(join(home.path, "worker"))} });
      await store.prepare(${JSON.stringify(scope).replace("null", "Infinity")}, ${JSON.stringify(TABLE)});
      await store[Symbol.asyncDispose]();
      parentPort.postMessage("prepared");`;
    const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
    const worker = new Worker(url);
    const answer = await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    expect(answer).toBe("prepared");
    await worker.terminate();
  });

  test("nothing of the caller's environment reaches it, and what it spilled is removed", async () => {
    await store.prepare(scope, TABLE);
    const spilled = join(home.path, "tenants", "tenant-a", "duckdb-temporary", "analytics");
    expect(existsSync(spilled)).toBe(true);
    await expect(
      store.sql(scope, { statement: "SELECT getenv('PATH')", rowsMax: 1, timeMs: 1_000 }),
    ).rejects.toMatchObject({ code: "refused" });
  });
});

describe("DuckDB's names and errors", () => {
  test("names and texts are quoted, and a name that cannot be one is refused", () => {
    expect(quoteName('a"b')).toBe('"a""b"');
    expect(quoteText("it's")).toBe("'it''s'");
    expect(() => quoteName("")).toThrow("no empty name");
    expect(() => quoteName("a\0")).toThrow("no NUL");
  });

  test.each([
    ['IO Error: Could not set lock on file "x"', "unavailable"],
    ["IO Error: Could not write to file: No space left on device", "full"],
    ["IO Error: Corrupt database file: computed checksum 1 does not match", "corrupt"],
    ['IO Error: The file "x" exists, but it is not a valid DuckDB database file!', "corrupt"],
    ['IO Error: Cannot open file "x": Permission denied', "read-only"],
    ["Out of Memory Error: could not allocate block", "limit"],
    ["INTERRUPT Error: Interrupted!", "limit"],
    ["FATAL Error: the database has been invalidated", "unavailable"],
    ["Constraint Error: NOT NULL constraint failed", "conflict"],
    ["Binder Error: no such column", "refused"],
  ])("%s is told as %s", (message, code) => {
    expect(mapDuckdbError("try", new Error(message))).toMatchObject({ name: "StoreError", code });
  });
});
