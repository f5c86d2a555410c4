import { parseFilter } from "@custody/contract/filter";
import { beforeAll, describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { tableOf, writeRows } from "./conformance-rows.ts";
import type { AnalyticsStore } from "./port.ts";

const scope = scopeFor("filters");
const THINGS = tableOf("lab/things", {
  name: "text",
  size: "integer",
  ratio: "real",
  ok: "boolean",
  at: "timestamp",
  tags: "text[]",
  vector: "vector",
});

const NOON = Date.UTC(2026, 0, 1, 12);

const ROWS = [
  { name: "ant", size: 1, ratio: 0.5, ok: true, at: NOON, tags: ["x", "y"], vector: [1, 2] },
  { name: "bee", size: 2, ratio: -1, ok: false, at: NOON + 1, tags: ["y"] },
  { name: "Ärger", size: 9_007_199_254_740_993n, at: -5, tags: [] },
  { name: "", size: -3 },
  { name: "%' OR 1=1 --" },
  {},
];

/** Each filter with the numbers of the rows that meet it. */
const CASES: readonly (readonly [unknown, readonly number[]])[] = [
  [{}, [0, 1, 2, 3, 4, 5]],
  [{ name: "ant" }, [0]],
  [{ name: "ANT" }, []],
  [{ name: "%' OR 1=1 --" }, [4]],
  [{ name: "%" }, []],
  [{ name: null }, [5]],
  [{ name: { $ne: null } }, [0, 1, 2, 3, 4]],
  [{ name: { $ne: "ant" } }, [1, 2, 3, 4, 5]],
  [{ name: 1 }, []],
  [{ name: { $gt: "b" } }, [1, 2]],
  [{ name: { $lte: "ant" } }, [0, 3, 4]],
  [{ name: { $lt: 5 } }, []],
  [{ name: { $in: ["ant", "bee", null, 4] } }, [0, 1, 5]],
  [{ name: { $nin: ["ant", null] } }, [1, 2, 3, 4]],
  [{ name: { $exists: true } }, [0, 1, 2, 3, 4]],
  [{ name: { $exists: false } }, [5]],
  [{ size: 1 }, [0]],
  [{ size: "1" }, []],
  [{ size: 1.5 }, []],
  [{ size: { $gt: 0.5 } }, [0, 1, 2]],
  [{ size: 9_007_199_254_740_993n }, [2]],
  [{ size: 9_007_199_254_740_992n }, []],
  [{ size: { $lt: 2n ** 200n } }, [0, 1, 2, 3]],
  [{ size: { $not: { $gt: 1 } } }, [0, 3, 4, 5]],
  [{ ratio: { $gte: 0.5 } }, [0]],
  [{ ratio: -1 }, [1]],
  [{ ok: true }, [0]],
  [{ ok: { $ne: true } }, [1, 2, 3, 4, 5]],
  [{ ok: 1 }, []],
  [{ at: NOON }, [0]],
  [{ at: { $gt: NOON - 0.5 } }, [0, 1]],
  [{ at: { $lt: NOON + 0.5 } }, [0, 2]],
  [{ at: NOON + 0.5 }, []],
  [{ at: { $gte: "2026-01-01T12:00:00.001Z" } }, [1]],
  [{ at: { $lt: 1e300 } }, [0, 1, 2]],
  [{ tags: "y" }, [0, 1]],
  [{ tags: { $ne: "x" } }, [1, 2, 3, 4, 5]],
  [{ tags: { $all: ["x", "y"] } }, [0]],
  [{ tags: { $gt: "x" } }, [0, 1]],
  [{ tags: { $size: 1 } }, [1]],
  [{ name: { $size: 1 } }, []],
  [{ vector: 2 }, [0]],
  [{ vector: { $exists: true } }, [0, 1, 2, 3, 4, 5]],
  [{ vector: { $size: 0 } }, [1, 2, 3, 4, 5]],
  [{ $or: [{ name: "ant" }, { size: 2 }] }, [0, 1]],
  [{ $nor: [{ name: "ant" }, { size: 2 }] }, [2, 3, 4, 5]],
  [{ $and: [{ size: { $gt: 0 } }, { ok: { $exists: true } }] }, [0, 1]],
  [{ _id: { $in: ["row-4", "row-5"] } }, [4, 5]],
  [{ _sequence: { $gte: 1 } }, [0, 1, 2, 3, 4, 5]],
  [{ _observed_at: null }, [0, 1, 2, 3, 4, 5]],
  [{ name: { $in: Array.from({ length: 1_000 }, (_, n) => `no ${n}`) } }, []],
];

/** Filters over columns compare as the document store does. */
export function describeFilters(opened: () => AnalyticsStore): void {
  describe("filters", () => {
    let store: AnalyticsStore;
    beforeAll(async () => {
      store = opened();
      await writeRows(store, scope, THINGS, ROWS);
    });
    const matching = async (filter: unknown): Promise<readonly unknown[]> => {
      const answer = await store.aggregate(scope, THINGS, {
        groupBy: ["_id"],
        measures: {},
        filter: parseFilter(filter),
        limit: 100,
      });
      return answer.rows.map((row) => row["_id"]);
    };

    test.each(CASES.map(([filter, rows]) => [inspect(filter), filter, rows] as const))(
      "%s",
      async (_, filter, rows) => {
        expect(await matching(filter)).toEqual(rows.map((row) => `row-${row}`));
      },
    );

    test("a filter as wide and as deep as filters may be is answered", async () => {
      let filter: unknown = { name: { $in: Array.from({ length: 1_000 }, (_, n) => `n${n}`) } };
      for (let depth = 1; depth < 15; depth += 1) filter = { $or: [filter, { size: 1 }] };
      expect(await matching(filter)).toEqual(["row-0"]);
    });

    test("a column that is none, and a filter of objects, are refused", async () => {
      for (const filter of [
        { none: 1 },
        { 'name" OR true --': 1 },
        { name: { $elemMatch: { a: 1 } } },
        { "name.first": "ant" },
        { NAME: "ant" },
      ]) {
        await expect(matching(filter)).rejects.toMatchObject({ code: "refused" });
      }
    });
  });
}

function inspect(filter: unknown): string {
  const text = JSON.stringify(filter, (_, value: unknown) =>
    typeof value === "bigint" ? `${value}n` : value,
  );
  return text.slice(0, 80);
}
