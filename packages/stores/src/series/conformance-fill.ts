import { beforeAll, describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { callsOf, writePoints } from "./conformance-points.ts";
import type { SeriesQuery, SeriesStore } from "./port.ts";

const scope = scopeFor("filling");
const CALLS = callsOf("lab/calls");

/** What stands in buckets without points. */
export function describeFilling(opened: () => SeriesStore): void {
  describe("filling", () => {
    let store: SeriesStore;
    beforeAll(async () => {
      store = opened();
      await writePoints(store, scope, CALLS, {
        points: [
          { at: 20, model: "a", ms: 10 },
          { at: 35, model: "a", size: 1 },
          { at: 50, model: "a", ms: 40 },
          { at: 31, model: "b", ms: 7 },
        ],
      });
    });
    const values = async (fill: SeriesQuery["fill"] & string, model = "a") => {
      const { rows } = await store.query(scope, CALLS, {
        measurement: "calls",
        from: 5,
        to: 71,
        bucketMs: 10,
        values: { ms: { field: "ms", fn: "sum" }, size: { field: "size", fn: "max" } },
        where: { model: [model] },
        fill,
      });
      return rows.map((row) => [row.bucketAt, row.values["ms"], row.values["size"]]);
    };

    test("none answers only buckets with points", async () => {
      expect(await values("none")).toEqual([
        [20, 10, null],
        [30, null, 1],
        [50, 40, null],
      ]);
    });

    test("null answers every bucket of the range", async () => {
      expect(await values("null")).toEqual([
        [0, null, null],
        [10, null, null],
        [20, 10, null],
        [30, null, 1],
        [40, null, null],
        [50, 40, null],
        [60, null, null],
        [70, null, null],
      ]);
    });

    test("zero stands for nothing", async () => {
      expect((await values("zero")).map(([, ms]) => ms)).toEqual([0, 0, 10, 0, 0, 40, 0, 0]);
    });

    test("previous repeats the last value, and has none before the first", async () => {
      expect(await values("previous")).toEqual([
        [0, null, null],
        [10, null, null],
        [20, 10, null],
        [30, 10, 1],
        [40, 10, 1],
        [50, 40, 1],
        [60, 40, 1],
        [70, 40, 1],
      ]);
    });

    test("linear draws a straight line between values, and none beyond them", async () => {
      expect((await values("linear")).map(([, ms, size]) => [ms, size])).toEqual([
        [null, null],
        [null, null],
        [10, null],
        [20, 1],
        [30, null],
        [40, null],
        [null, null],
        [null, null],
      ]);
    });

    test("each group is filled by itself, in order of bucket then group", async () => {
      const { rows } = await store.query(scope, CALLS, {
        measurement: "calls",
        from: 20,
        to: 40,
        bucketMs: 10,
        values: { ms: { field: "ms", fn: "sum" } },
        groupBy: ["model"],
        fill: "previous",
      });
      expect(rows.map((row) => [row.bucketAt, row.tags["model"], row.values["ms"]])).toEqual([
        [20, "a", 10],
        [20, "b", null],
        [30, "a", 10],
        [30, "b", 7],
      ]);
    });

    test("without any point and without groups every bucket is there", async () => {
      expect(await values("zero", "none")).toHaveLength(8);
      expect((await values("linear", "none")).every(([, ms]) => ms === null)).toBe(true);
    });

    test("with groups and without any point there is no group to fill", async () => {
      const { rows } = await store.query(scope, CALLS, {
        measurement: "calls",
        from: 0,
        to: 20,
        bucketMs: 10,
        values: { ms: { field: "ms", fn: "sum" } },
        groupBy: ["model"],
        fill: "zero",
      });
      expect(rows).toEqual([]);
    });
  });
}
