import { beforeAll, describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { HOSTILE_NAMES } from "./conformance-case.ts";
import { tableOf, writeRows } from "./conformance-rows.ts";
import type { AggregateAnswer, AggregateQuery, AnalyticsStore } from "./port.ts";

const scope = scopeFor("aggregates");
const CALLS = tableOf("lab/calls", {
  model: "text",
  ms: "real",
  tokens: "integer",
  ok: "boolean",
  at: "timestamp",
  tags: "text[]",
});
const HOSTILE = tableOf(
  "lab/hostile",
  Object.fromEntries(HOSTILE_NAMES.map((name) => [name.replaceAll(".", "_"), "text" as const])),
);

const HOUR = 3_600_000;

/** Groups, measures, buckets, order and limits. */
export function describeAggregates(opened: () => AnalyticsStore): void {
  describe("aggregates", () => {
    let store: AnalyticsStore;
    beforeAll(async () => {
      store = opened();
      await writeRows(store, scope, CALLS, [
        { model: "a", ms: 10, tokens: 1, ok: true, at: 0, tags: ["x"], observedAt: 5 },
        { model: "a", ms: 20, tokens: 2, ok: false, at: HOUR - 1 },
        { model: "a", ms: 30, tokens: 3, ok: true, at: HOUR },
        { model: "b", ms: 40, tokens: 4, at: -1 },
        { model: "b", tokens: 5, at: -HOUR },
        { ms: 60, tokens: 9_007_199_254_740_991, ok: false },
      ]);
      await writeRows(store, scope, HOSTILE, [
        Object.fromEntries(HOSTILE_NAMES.map((name) => [name.replaceAll(".", "_"), "value"])),
      ]);
    });
    const ask = async (query: Partial<AggregateQuery>): Promise<AggregateAnswer["rows"]> => {
      const whole = { groupBy: [], measures: {}, limit: 100, ...query };
      return (await store.aggregate(scope, CALLS, whole)).rows;
    };
    const refusal = async (query: Partial<AggregateQuery>, code = "refused"): Promise<void> => {
      await expect(ask(query)).rejects.toMatchObject({ name: "StoreError", code });
    };

    test("rows are grouped by a column, absent values first", async () => {
      expect(await ask({ groupBy: ["model"], measures: { n: { fn: "count" } } })).toEqual([
        { model: null, n: 1 },
        { model: "a", n: 3 },
        { model: "b", n: 2 },
      ]);
    });

    test("every measure is computed over the values that are there", async () => {
      const on = (fn: AggregateQuery["measures"][string]["fn"], column: string) => ({ fn, column });
      expect(
        await ask({
          filter: { op: "ne", path: "model", value: null },
          measures: {
            count: on("count", "ms"),
            distinct: on("countDistinct", "model"),
            sum: on("sum", "ms"),
            whole: on("sum", "tokens"),
            mean: on("mean", "ms"),
            min: on("min", "model"),
            max: on("max", "at"),
            share: on("mean", "ok"),
          },
        }),
      ).toEqual([
        {
          count: 4,
          distinct: 2,
          sum: 100,
          whole: 15,
          mean: 25,
          min: "a",
          max: HOUR,
          share: 2 / 3,
        },
      ]);
    });

    test("percentiles are exact, and interpolated between values", async () => {
      expect(
        await ask({
          measures: {
            p50: { fn: "p50", column: "ms" },
            p90: { fn: "p90", column: "ms" },
            p95: { fn: "p95", column: "ms" },
            p99: { fn: "p99", column: "ms" },
          },
          filter: { op: "lte", path: "ms", value: 40 },
        }),
      ).toEqual([{ p50: 25, p90: 37, p95: expect.closeTo(38.5, 9), p99: expect.closeTo(39.7, 9) }]);
    });

    test("a sum of whole numbers beyond 2^53 is exact", async () => {
      expect(await ask({ measures: { sum: { fn: "sum", column: "tokens" } } })).toEqual([
        { sum: 9_007_199_254_741_006n },
      ]);
    });

    test("timestamps are cut into buckets aligned to the epoch, before it too", async () => {
      expect(
        await ask({
          groupBy: [{ column: "at", bucketMs: HOUR }],
          measures: { n: { fn: "count" } },
        }),
      ).toEqual([
        { at: null, n: 1 },
        { at: -HOUR, n: 2 },
        { at: 0, n: 2 },
        { at: HOUR, n: 1 },
      ]);
    });

    test("timestamps of a group are epoch milliseconds", async () => {
      expect(
        await ask({
          groupBy: ["_observed_at"],
          measures: { ids: { fn: "min", column: "_id" } },
        }),
      ).toEqual([
        { _observed_at: null, ids: "row-1" },
        { _observed_at: 5, ids: "row-0" },
      ]);
    });

    test("rows come in the order asked for, and ties in that of the groups", async () => {
      const rows = await ask({
        groupBy: ["model"],
        measures: { n: { fn: "count", column: "ok" } },
        orderBy: [{ name: "n", direction: "desc" }],
      });
      expect(rows.map(({ model, n }) => [model, n])).toEqual([
        ["a", 3],
        [null, 1],
        ["b", 0],
      ]);
      const most = await ask({
        groupBy: ["model"],
        measures: { sum: { fn: "sum", column: "ms" } },
        orderBy: [{ name: "sum", direction: "asc" }],
        limit: 1,
      });
      expect(most).toEqual([{ model: "b", sum: 40 }]);
    });

    test("without groups there is one row, also over no rows", async () => {
      expect(
        await ask({
          measures: { n: { fn: "count" }, sum: { fn: "sum", column: "ms" } },
          filter: { op: "eq", path: "model", value: "none" },
        }),
      ).toEqual([{ n: 0, sum: null }]);
    });

    test("the answer says the checkpoint it was read at", async () => {
      const answer = await store.aggregate(scope, CALLS, {
        groupBy: [],
        measures: { n: { fn: "count" } },
        limit: 1,
      });
      expect(answer.checkpoint).toBe(1);
    });

    test("names that are syntax elsewhere are names", async () => {
      const names = HOSTILE_NAMES.map((name) => name.replaceAll(".", "_"));
      const measure = `n" FROM x; --`;
      const { rows } = await store.aggregate(scope, HOSTILE, {
        groupBy: names,
        measures: { [measure]: { fn: "count" } },
        orderBy: [{ name: measure, direction: "desc" }],
        limit: 5,
      });
      const expected = [...names.map((name) => [name, "value"]), [measure, 1]];
      expect(rows.map((row) => Object.entries(row))).toEqual([expected]);
    });

    test("a measure may be named __proto__", async () => {
      const measures = Object.fromEntries([["__proto__", { fn: "count" }]]) as never;
      const [row] = await ask({ measures });
      expect(Object.entries(row ?? {})).toEqual([["__proto__", 6]]);
    });

    test("what is unknown or makes no sense is refused", async () => {
      await refusal({ groupBy: ["nothing"] });
      await refusal({ groupBy: [`model" FROM x --`] });
      await refusal({ measures: { n: { fn: "sum", column: "model" } } });
      await refusal({ measures: { n: { fn: "max", column: "tags" } } });
      await refusal({ measures: { n: { fn: "sum" } } });
      await refusal({ measures: { n: { fn: "sleep_ms" as never, column: "ms" } } });
      await refusal({ groupBy: [{ column: "ms", bucketMs: 5 }] });
      await refusal({ groupBy: [{ column: "at", bucketMs: 0 }] });
      await refusal({ groupBy: ["model"], orderBy: [{ name: "ms", direction: "asc" }] });
      await refusal({ groupBy: ["model"], measures: { model: { fn: "count" } } });
      await refusal({});
      await expect(
        store.aggregate(
          scope,
          { ...CALLS, generation: 9 },
          {
            groupBy: [],
            measures: { n: { fn: "count" } },
            limit: 1,
          },
        ),
      ).rejects.toMatchObject({ code: "refused" });
    });

    test("the plan of a query is explained, step by step, and refused where the query is", async () => {
      const query = { groupBy: ["model"], measures: { n: { fn: "count" as const } }, limit: 10 };
      const steps = await store.explain(scope, CALLS, query);
      expect(steps.length).toBeGreaterThan(1);
      expect(steps.every((step) => step.trim() !== "" && !step.includes("\n"))).toBe(true);
      const refused = { name: "StoreError", code: "refused" };
      await expect(
        store.explain(scope, CALLS, { ...query, groupBy: ["nothing"] }),
      ).rejects.toMatchObject(refused);
      await expect(store.explain(scope, { ...CALLS, generation: 9 }, query)).rejects.toMatchObject(
        refused,
      );
      await expect(
        store.explain(scope, CALLS, { ...query, limit: store.limits.rowsMax + 1 }),
      ).rejects.toMatchObject({ code: "limit" });
    });

    test("as many rows as the limit are answered, one more is refused", async () => {
      const { rowsMax } = store.limits;
      expect(await ask({ groupBy: ["model"], limit: rowsMax })).toHaveLength(3);
      await refusal({ groupBy: ["model"], limit: rowsMax + 1 }, "limit");
      await refusal({ groupBy: ["model"], limit: 0 }, "limit");
    });
  });
}
