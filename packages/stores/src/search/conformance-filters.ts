import { parseFilter } from "@custody/contract/filter";
import { describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { FINDINGS, HOSTILE_NAMES } from "./conformance-case.ts";
import { idsOf, putFindings } from "./conformance-queries.ts";
import type { SearchStore } from "./port.ts";
import { parseSearch } from "./query-language.ts";

const scope = scopeFor("tenant-a");
const HOSTILE = HOSTILE_NAMES[0];

const FOUND = {
  a: { title: "word", severity: "high", tags: ["x", "y"], score: 1, open: true },
  b: { title: "word", severity: "low", tags: ["y"], score: 2.5, open: false },
  c: { title: "word", severity: "high", tags: [], score: -3 },
  d: { title: "word", tags: ["x", 5, true], score: "2", hostile: `') OR 1=1 --` },
  e: { title: "other", severity: "high", tags: ["x"], score: 1 },
};

/** How filters and facets narrow and count a search. */
export function describeFilters(open: () => SearchStore): void {
  describe("filters", () => {
    test.each([
      [{ severity: "high" }, ["a", "c"]],
      [{ severity: { $ne: "high" } }, ["b", "d"]],
      [{ severity: null }, ["d"]],
      [{ severity: { $in: ["low", null] } }, ["b", "d"]],
      [{ severity: { $nin: ["low", null] } }, ["a", "c"]],
      [{ severity: { $exists: false } }, ["d"]],
      [{ tags: "x" }, ["a", "d"]],
      [{ tags: "y" }, ["a", "b"]],
      [{ tags: { $ne: "y" } }, ["c", "d"]],
      [{ tags: { $all: ["x", "y"] } }, ["a"]],
      [{ tags: { $size: 2 } }, ["a"]],
      [{ tags: { $size: 0 } }, ["c"]],
      [{ tags: 5 }, ["d"]],
      [{ tags: true }, ["d"]],
      [{ tags: "5" }, []],
      [{ tags: { $gte: 5 } }, ["d"]],
      [{ tags: { $gt: "x" } }, ["a", "b"]],
      [{ score: { $gt: 0 } }, ["a", "b"]],
      [{ score: { $lte: 1 } }, ["a", "c"]],
      [{ score: { $gte: "2" } }, ["d"]],
      [{ score: { $lt: "a" } }, ["d"]],
      [{ score: { $gt: 0, $lt: 2 } }, ["a"]],
      [{ score: { $not: { $gt: 0 } } }, ["c", "d"]],
      [{ open: true }, ["a"]],
      [{ open: { $ne: true } }, ["b", "c", "d"]],
      [{ open: 1 }, []],
      [{ [HOSTILE]: `') OR 1=1 --` }, ["d"]],
      [{ $or: [{ severity: "low" }, { score: -3 }] }, ["b", "c"]],
      [{ $nor: [{ severity: "low" }, { score: -3 }] }, ["a", "d"]],
      [{ $and: [{ severity: "high" }, { tags: "x" }] }, ["a"]],
      [{}, ["a", "b", "c", "d"]],
    ])("%j keeps exactly the hits that meet it", async (filter, ids) => {
      await putFindings(open(), FOUND);
      expect(await idsOf(open(), "word", { filter: parseFilter(filter) })).toEqual(ids);
      const all = await idsOf(open(), "-other", { filter: parseFilter(filter) });
      expect(all).toEqual(ids);
    });

    test("a whole number beyond a double is told apart from its neighbours", async () => {
      await open().prepare(scope, FINDINGS);
      const { makeBatch } = await import("../record-batch.ts");
      const batch = makeBatch("redteam/finding", [
        { id: "a", sequence: 1, text: `{"title":"word","score":9007199254740993}` },
        { id: "b", sequence: 1, text: `{"title":"word","score":9007199254740992}` },
      ]);
      await open().apply(scope, FINDINGS, { batches: [batch], checkpoint: 1 });
      const ids = async (value: bigint | number): Promise<readonly string[]> =>
        await idsOf(open(), "word", { filter: { op: "eq", path: "score", value } });
      expect(await ids(9007199254740993n)).toEqual(["a"]);
      expect(await ids(2 ** 53)).toEqual(["b"]);
      expect(await ids(2n ** 64n)).toEqual([]);
    });

    test("a filter nobody declared, or with $elemMatch, is refused", async () => {
      await putFindings(open(), FOUND);
      for (const filter of [{ unknown: 1 }, { "tags.x": 1 }, { tags: { $elemMatch: { x: 1 } } }]) {
        await expect(idsOf(open(), "word", { filter: parseFilter(filter) })).rejects.toMatchObject({
          name: "StoreError",
          code: "refused",
        });
      }
    });

    test("facets count the hits of all pages by value, the most frequent first", async () => {
      await putFindings(open(), FOUND);
      const page = await open().search(scope, FINDINGS, {
        expression: parseSearch("word"),
        facets: ["tags", "severity", "open", HOSTILE],
        limit: 1,
      });
      expect(page.total).toBe(4);
      expect(page.hits).toHaveLength(1);
      expect(page.facets).toEqual({
        tags: [
          { value: "x", count: 2 },
          { value: "y", count: 2 },
          { value: "5", count: 1 },
          { value: "true", count: 1 },
        ],
        severity: [
          { value: "high", count: 2 },
          { value: "low", count: 1 },
        ],
        open: [
          { value: "false", count: 1 },
          { value: "true", count: 1 },
        ],
        [HOSTILE]: [{ value: `') OR 1=1 --`, count: 1 }],
      });
    });

    test("facets are counted within the filter, and of an unknown filter they are refused", async () => {
      await putFindings(open(), FOUND);
      const query = { expression: parseSearch("word"), limit: 10 };
      const filter = parseFilter({ severity: "high" });
      const page = await open().search(scope, FINDINGS, { ...query, filter, facets: ["tags"] });
      expect(page.facets).toEqual({
        tags: [
          { value: "x", count: 1 },
          { value: "y", count: 1 },
        ],
      });
      await expect(
        open().search(scope, FINDINGS, { ...query, facets: ["unknown"] }),
      ).rejects.toMatchObject({ code: "refused" });
    });
  });
}
