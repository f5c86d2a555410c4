import { beforeAll, describe, expect, test } from "vitest";

import { makeBatch } from "../record-batch.ts";
import { scopeFor } from "../testing/scope.ts";
import { HOSTILE_NAMES, SAMPLES } from "./conformance-case.ts";
import { callsOf, writePoints } from "./conformance-points.ts";
import type { SeriesQuery, SeriesRow, SeriesStore } from "./port.ts";

const scope = scopeFor("queries");
const CALLS = callsOf("lab/calls");

const BASE: SeriesQuery = {
  measurement: "calls",
  from: 0,
  to: 1_000,
  bucketMs: 100,
  values: { n: { field: "ms", fn: "count" } },
};

/** Buckets, functions, groups, conditions and limits. */
export function describeQueries(opened: () => SeriesStore): void {
  describe("queries", () => {
    let store: SeriesStore;
    beforeAll(async () => {
      store = opened();
      await writePoints(store, scope, CALLS, {
        points: [
          { at: 0, model: "a", host: "x", ms: 10, size: 1 },
          { at: 50, model: "a", host: "y", ms: 20 },
          { at: 99, model: "b", host: "x", ms: 30 },
          { at: 100, model: "a", host: "x", ms: 40 },
          { at: 250, ms: 50, host: "x" },
          { at: 250, ms: 50, host: "x" },
          { at: 999, model: "b", size: 7 },
          { at: 1_000, model: "b", ms: 1 },
          { at: -1, model: "a", ms: 5 },
          { at: -100, model: "a", ms: 6 },
          { model: "no time", ms: 7 },
          { at: 300, model: "no field" },
        ],
      });
    });
    const ask = async (query: Partial<SeriesQuery>): Promise<readonly SeriesRow[]> =>
      (await store.query(scope, CALLS, { ...BASE, ...query })).rows;
    const refusal = async (query: Partial<SeriesQuery>, code = "refused"): Promise<void> => {
      await expect(ask(query)).rejects.toMatchObject({ name: "StoreError", code });
    };

    test("points fall into buckets; the first instant is in, the last is out", async () => {
      expect(await ask({})).toEqual([
        { bucketAt: 0, tags: {}, values: { n: 3 } },
        { bucketAt: 100, tags: {}, values: { n: 1 } },
        { bucketAt: 200, tags: {}, values: { n: 2 } },
        { bucketAt: 900, tags: {}, values: { n: 0 } },
      ]);
    });

    test("buckets are aligned to the epoch, whatever the range, and before it too", async () => {
      const rows = await ask({ from: -100, to: 51, bucketMs: 60 });
      expect(rows.map(({ bucketAt, values }) => [bucketAt, values["n"]])).toEqual([
        [-120, 1],
        [-60, 1],
        [0, 2],
      ]);
    });

    test("a range that cuts a bucket counts only the points in it", async () => {
      expect(await ask({ from: 50, to: 100 })).toEqual([
        { bucketAt: 0, tags: {}, values: { n: 2 } },
      ]);
    });

    test("points of equal tags and instant are kept apart", async () => {
      expect(await ask({ from: 250, to: 251 })).toEqual([
        { bucketAt: 200, tags: {}, values: { n: 2 } },
      ]);
    });

    test("every function is computed over the values of its field", async () => {
      const fns = ["count", "sum", "mean", "min", "max", "first", "last"] as const;
      const quantiles = ["p50", "p90", "p95", "p99"] as const;
      const values = Object.fromEntries([
        ...[...fns, ...quantiles].map((fn) => [fn, { field: "ms", fn }]),
        ["sizes", { field: "size", fn: "count" }],
        ["lastSize", { field: "size", fn: "last" }],
      ]);
      expect(await ask({ to: 100, values })).toEqual([
        {
          bucketAt: 0,
          tags: {},
          values: {
            count: 3,
            sum: 60,
            mean: 20,
            min: 10,
            max: 30,
            first: 10,
            last: 30,
            p50: 20,
            p90: 28,
            p95: 29,
            p99: expect.closeTo(29.8, 9),
            sizes: 1,
            lastSize: 1,
          },
        },
      ]);
    });

    test("groups are kept apart, in order of bucket, then tags, absent ones first", async () => {
      expect(await ask({ groupBy: ["model"], bucketMs: 500, to: 500 })).toEqual([
        { bucketAt: 0, tags: { model: null }, values: { n: 2 } },
        { bucketAt: 0, tags: { model: "a" }, values: { n: 3 } },
        { bucketAt: 0, tags: { model: "b" }, values: { n: 1 } },
      ]);
      const both = await ask({ groupBy: ["host", "model"], to: 100 });
      expect(both.map(({ tags }) => tags)).toEqual([
        { host: "x", model: "a" },
        { host: "x", model: "b" },
        { host: "y", model: "a" },
      ]);
    });

    test("a condition keeps points whose tag has one of the values", async () => {
      const count = async (where: SeriesQuery["where"] & object): Promise<number> => {
        const rows = await ask({ where });
        return rows.reduce((sum, { values }) => sum + (values["n"] ?? 0), 0);
      };
      expect(await count({ model: ["a"] })).toBe(3);
      expect(await count({ model: ["a", "b"], host: ["x"] })).toBe(3);
      expect(await count({ model: ["' OR 1=1 --"] })).toBe(0);
      expect(await count({ model: [] })).toBe(0);
    });

    test("the answer says the checkpoint it was read at", async () => {
      expect((await store.query(scope, CALLS, BASE)).checkpoint).toBe(1);
    });

    test("an empty range has no buckets", async () => {
      expect(await ask({ from: 100, to: 100, fill: "zero" })).toEqual([]);
      expect(await ask({ from: 200, to: 100 })).toEqual([]);
    });

    test("a changed record's points take the place of the old, a deleted one's are gone", async () => {
      const changing = callsOf("lab/changing");
      const points = [
        { at: 0, ms: 1 },
        { at: 0, ms: 2 },
        { at: 0, ms: 4 },
      ];
      await writePoints(store, scope, changing, { points });
      const batch = makeBatch("lab/changing", [
        { id: "point-0", sequence: 2, text: '{"at":0,"ms":8}' },
        { id: "point-1", sequence: 2 },
        { id: "point-2", sequence: 2, text: '{"at":0}' },
      ]);
      await store.apply(scope, changing, { batches: [batch], checkpoint: 2 });
      const { rows } = await store.query(scope, changing, {
        ...BASE,
        values: { sum: { field: "ms", fn: "sum" } },
      });
      expect(rows).toEqual([{ bucketAt: 0, tags: {}, values: { sum: 8 } }]);
      const { collections } = await store.statistics(scope);
      expect(collections.find(({ name }) => name === "lab/changing")?.records).toBe(1);
    });

    test("a record may have a point in several measurements, of names that are syntax elsewhere", async () => {
      await store.prepare(scope, SAMPLES);
      const text = `{"at":5,"model":"m","ms":3,"ok":true,"size":9,"hostile":"h","scores":[{"value":4}]}`;
      const batch = makeBatch(SAMPLES.name, [{ id: "one", sequence: 1, text }]);
      await store.apply(scope, SAMPLES, { batches: [batch], checkpoint: 1 });
      const sum = (field: string) => ({ field, fn: "sum" }) as const;
      const latency = await store.query(scope, SAMPLES, {
        ...BASE,
        measurement: "latency",
        groupBy: [HOSTILE_NAMES[0]],
        values: { [HOSTILE_NAMES[1]]: sum(HOSTILE_NAMES[1]), ok: sum("ok") },
      });
      expect(latency.rows).toEqual([
        {
          bucketAt: 0,
          tags: { [HOSTILE_NAMES[0]]: "h" },
          values: { [HOSTILE_NAMES[1]]: 3, ok: 1 },
        },
      ]);
      const other = await store.query(scope, SAMPLES, {
        ...BASE,
        measurement: HOSTILE_NAMES[2],
        groupBy: ["__proto__"],
        where: { model: ["m"] },
        values: Object.fromEntries([["__proto__", sum("score")]]),
      });
      expect(other.rows.map(({ tags, values }) => [tags, values].map(Object.entries))).toEqual([
        [[["__proto__", "h"]], [["__proto__", 4]]],
      ]);
    });

    test("what is unknown or makes no sense is refused", async () => {
      await refusal({ measurement: "none" });
      await refusal({ measurement: `calls' OR 1=1 --` });
      await refusal({ groupBy: ["ms"] });
      await refusal({ where: { ms: ["1"] } });
      await refusal({ values: { x: { field: "model", fn: "sum" } } });
      await refusal({ values: { x: { field: "ms", fn: "median" as never } } });
      await refusal({ bucketMs: 0 });
      await refusal({ bucketMs: 0.5 });
      await refusal({ from: Number.NaN });
      await refusal({ to: Number.POSITIVE_INFINITY });
    });

    test("a plan is lines for people, and what the query refuses has none", async () => {
      const explain = async (query: Partial<SeriesQuery>): Promise<readonly string[]> =>
        await store.explain(scope, CALLS, { ...BASE, ...query });
      const plan = await explain({ groupBy: ["model"], where: { host: ["x"] } });
      expect(plan.length).toBeGreaterThan(1);
      expect(plan.filter((line) => line.includes("\n"))).toEqual([]);
      await expect(explain({ measurement: "none" })).rejects.toMatchObject({ code: "refused" });
      await expect(explain({ bucketMs: 0 })).rejects.toMatchObject({ code: "refused" });
    });

    test("the earliest and latest instants are asked for, those beyond are unsupported", async () => {
      const { instantMin, instantMax } = store.limits;
      const wide = { from: instantMin, to: instantMax, bucketMs: 1e12 };
      const counted = (await ask(wide)).reduce((sum, { values }) => sum + (values["n"] ?? 0), 0);
      expect(counted).toBe(9);
      const code = instantMin === -8.64e15 ? "refused" : "unsupported";
      await refusal({ ...wide, from: instantMin - 1 }, code);
      await refusal({ ...wide, to: instantMax + 1 }, code);
    });

    test("as many buckets as the limit are answered, one more is refused", async () => {
      const { bucketsMax } = store.limits;
      const query = { bucketMs: 1, to: bucketsMax, fill: "null" } as const;
      expect(await ask(query)).toHaveLength(bucketsMax);
      await refusal({ ...query, to: bucketsMax + 1 }, "limit");
      await refusal({ ...query, groupBy: ["host"] }, "limit");
    });
  });
}
