import { beforeAll, describe, expect, test } from "vitest";

import { makeBatch } from "../record-batch.ts";
import { scopeFor } from "../testing/scope.ts";
import { callsOf, writePoints } from "./conformance-points.ts";
import type { SeriesQuery, SeriesRow, SeriesStore } from "./port.ts";

const scope = scopeFor("rollups");

const POINTS = [
  { at: 0, model: "a", ms: 10 },
  { at: 5, model: "a", ms: 30 },
  { at: 9, model: "b", ms: 1, size: 2 },
  { at: 10, model: "a", ms: 5 },
  { at: 25, model: "a", ms: 7 },
  { at: -1, ms: 100 },
];

const BASE: SeriesQuery = {
  measurement: "calls",
  from: -10,
  to: 100,
  bucketMs: 20,
  values: {
    count: { field: "ms", fn: "count" },
    sum: { field: "ms", fn: "sum" },
    min: { field: "ms", fn: "min" },
    max: { field: "ms", fn: "max" },
    mean: { field: "ms", fn: "mean" },
    sizes: { field: "size", fn: "count" },
  },
  groupBy: ["model"],
  source: { rollupMs: 10 },
};

/** Folding points into buckets of their own, and reading those. */
export function describeRollups(opened: () => SeriesStore): void {
  describe("rollups", () => {
    let store: SeriesStore;
    beforeAll(() => {
      store = opened();
    });
    const fold = async (name: string, before: number): Promise<number> =>
      await store.rollup(scope, callsOf(name), { measurement: "calls", bucketMs: 10, before });
    const ask = async (
      name: string,
      query: Partial<SeriesQuery> = {},
    ): Promise<readonly SeriesRow[]> =>
      (await store.query(scope, callsOf(name), { ...BASE, ...query })).rows;

    test("a rollup answers as the points do", async () => {
      const name = "lab/equal";
      await writePoints(store, scope, callsOf(name), { points: POINTS });
      expect(await fold(name, 1_000)).toBe(5);
      const rows = await ask(name);
      expect(rows).toEqual(await ask(name, { source: "points" }));
      expect(rows.map(({ bucketAt, tags, values }) => [bucketAt, tags["model"], values])).toEqual([
        [-20, null, { count: 1, sum: 100, min: 100, max: 100, mean: 100, sizes: 0 }],
        [0, "a", { count: 3, sum: 45, min: 5, max: 30, mean: 15, sizes: 0 }],
        [0, "b", { count: 1, sum: 1, min: 1, max: 1, mean: 1, sizes: 1 }],
        [20, "a", { count: 1, sum: 7, min: 7, max: 7, mean: 7, sizes: 0 }],
      ]);
    });

    test("folding again changes nothing, and only whole buckets before the instant are folded", async () => {
      const name = "lab/again";
      await writePoints(store, scope, callsOf(name), { points: POINTS });
      expect(await fold(name, 19)).toBe(3);
      expect(await fold(name, 19)).toBe(0);
      expect(await fold(name, 20)).toBe(1);
      expect(await fold(name, 30)).toBe(1);
      expect(await fold(name, 30)).toBe(0);
    });

    test("a point that comes late, or changes, is folded in by the next fold", async () => {
      const name = "lab/late";
      await writePoints(store, scope, callsOf(name), { points: POINTS });
      await fold(name, 100);
      const points = [{ at: 1, model: "a", ms: 2 }];
      await writePoints(store, scope, callsOf(name), { points, sequence: 2, first: 50 });
      const changed = [{ at: 25, model: "a", ms: 8 }];
      await writePoints(store, scope, callsOf(name), { points: changed, sequence: 3, first: 4 });
      expect(await fold(name, 100)).toBe(2);
      const sums = (await ask(name, { where: { model: ["a"] } })).map(
        ({ values }) => values["sum"],
      );
      expect(sums).toEqual([47, 8]);
    });

    test("what was folded stays when its points are dropped", async () => {
      const name = "lab/dropped";
      await writePoints(store, scope, callsOf(name), { points: POINTS });
      await fold(name, 100);
      const before = await ask(name);
      const batch = makeBatch(
        name,
        POINTS.map((_, index) => ({ id: `point-${index}`, sequence: 2 })),
      );
      await store.apply(scope, callsOf(name), { batches: [batch], checkpoint: 2 });
      expect(await fold(name, 100)).toBe(0);
      expect(await ask(name)).toEqual(before);
      expect(await ask(name, { source: "points" })).toEqual([]);
    });

    test("a rollup fills, groups and narrows as points do", async () => {
      const name = "lab/filled";
      await writePoints(store, scope, callsOf(name), { points: POINTS });
      await fold(name, 100);
      const values = { sum: { field: "ms", fn: "sum" } } as const;
      const query = { values, from: 0, to: 40, bucketMs: 10, fill: "linear" } as const;
      const narrowed = await ask(name, { ...query, where: { model: ["a"] }, groupBy: [] });
      expect(narrowed.map((row) => [row.bucketAt, row.values["sum"]])).toEqual([
        [0, 40],
        [10, 5],
        [20, 7],
        [30, null],
      ]);
    });

    test("what a rollup does not keep is unsupported, and what it cannot cut is refused", async () => {
      const name = "lab/limits";
      await writePoints(store, scope, callsOf(name), { points: POINTS });
      await expect(ask(name)).rejects.toMatchObject({ code: "refused" });
      await fold(name, 100);
      for (const fn of ["p50", "p90", "p95", "p99", "first", "last"] as const) {
        const values = { x: { field: "ms", fn } };
        await expect(ask(name, { values })).rejects.toMatchObject({
          name: "StoreError",
          code: "unsupported",
        });
      }
      for (const query of [
        { bucketMs: 15 },
        { from: -5 },
        { to: 33 },
        { source: { rollupMs: 20 } },
      ]) {
        await expect(ask(name, query)).rejects.toMatchObject({ code: "refused" });
      }
    });

    test("an unknown measurement or a width that is none is refused", async () => {
      const name = "lab/unknown";
      await writePoints(store, scope, callsOf(name), { points: POINTS });
      for (const wrong of [{ measurement: "none" }, { bucketMs: 0 }, { bucketMs: 1.5 }]) {
        const rollup = { measurement: "calls", bucketMs: 10, before: 100, ...wrong };
        await expect(store.rollup(scope, callsOf(name), rollup)).rejects.toMatchObject({
          code: "refused",
        });
      }
    });

    test("discarding a collection drops what was folded of it", async () => {
      const name = "lab/discarded";
      await writePoints(store, scope, callsOf(name), { points: POINTS });
      await fold(name, 100);
      await store.discard(scope, callsOf(name));
      await writePoints(store, scope, callsOf(name), { points: [{ at: 0, ms: 1 }] });
      await expect(ask(name)).rejects.toMatchObject({ code: "refused" });
      expect(await fold(name, 100)).toBe(1);
    });
  });
}
