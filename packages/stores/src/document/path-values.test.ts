import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { parseFilter } from "@custody/contract/filter";

import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { arbitraryFields, arbitraryFilter } from "./conformance-arbitraries.ts";
import { PLAIN, SAMPLES, TENANT_A, deliver } from "./conformance-fixture.ts";
import { branchEnds, comparable, meetsFilter, pathNames } from "./path-values.ts";
import { openSqliteDocumentStore } from "./sqlite.ts";

describe("path values", () => {
  test("a branch ends at a member, or absent where a member is missing outside an array", () => {
    const document = { a: { b: 1 }, list: [{ b: 2 }, { c: 3 }, 4, [{ b: 5 }]], text: "t" };
    expect(branchEnds(document, ["a", "b"])).toEqual([1]);
    expect(branchEnds(document, ["a", "x"])).toEqual([undefined]);
    expect(branchEnds(document, ["x", "b"])).toEqual([undefined]);
    expect(branchEnds(document, ["text", "b"])).toEqual([undefined]);
    expect(branchEnds(document, ["list", "b"])).toEqual([2, undefined]);
    expect(branchEnds(document, ["list"])).toEqual([document.list]);
    expect(branchEnds([{ b: 1 }], ["b"])).toEqual([]);
  });

  test("members that every object has are absent where a document does not own them", () => {
    expect(branchEnds({}, ["constructor"])).toEqual([undefined]);
    expect(branchEnds(JSON.parse('{"__proto__":{"x":1}}'), ["__proto__", "x"])).toEqual([1]);
  });

  test("a path's `[]` changes nothing, and a path of sixty-one steps is refused", () => {
    expect(pathNames("a[].b[]")).toEqual(["a", "b"]);
    expect(pathNames(Array.from({ length: 60 }, () => "a").join("."))).toHaveLength(60);
    const long = Array.from({ length: 61 }, () => "a").join(".");
    expect(() => pathNames(long)).toThrow(expect.objectContaining({ code: "refused" }));
  });

  test("whole numbers beyond 64 bits are compared as the nearest double", () => {
    expect(comparable(2n ** 63n - 1n)).toBe(9_223_372_036_854_775_807n);
    expect(comparable(2n ** 63n)).toBe(9_223_372_036_854_775_808);
    expect(comparable(-(2n ** 63n))).toBe(-9_223_372_036_854_775_808n);
    const filter = parseFilter({ n: 2n ** 70n });
    expect(meetsFilter({ n: 2n ** 70n + 1n }, filter)).toBe(true);
    expect(meetsFilter({ n: 9_007_199_254_740_992 }, parseFilter({ n: 2n ** 53n }))).toBe(true);
    expect(meetsFilter({ n: 2n ** 53n + 1n }, parseFilter({ n: 2n ** 53n }))).toBe(false);
  });

  test.each([
    [{ "list.b": null }, { list: [[{ b: 1 }]] }, false],
    [{ "list.b": null }, { list: [{}] }, true],
    [{ "list.b": null }, { list: [] }, false],
    [{ list: { $elemMatch: { b: { $exists: false } } } }, { list: [[1], "b"] }, false],
    [{ list: { $elemMatch: { b: { $exists: false } } } }, { list: [{}] }, true],
    [{ a: { $gt: "\uffee" } }, { a: "\u{1f600}" }, true],
    [{ a: { $gt: 1 } }, { a: "2" }, false],
    [{ a: { $size: 1 } }, { a: [[1, 2]] }, true],
    [{ a: { $all: [] } }, { a: [] }, false],
    [{ $nor: [{ a: { $in: [] } }] }, {}, true],
  ])("%j of %j: %j", (filter, document, isMet) => {
    expect(meetsFilter(document, parseFilter(filter))).toBe(isMet);
  });

  test.each([
    ["without indexes", PLAIN],
    ["with indexes", indexed()],
  ])("random filters find the same documents as SQLite finds, %s", async (_name, collection) => {
    await using directory = await makeTemporaryDirectory();
    await using store = await openSqliteDocumentStore({ directory: directory.path });
    await fc.assert(
      fc.asyncProperty(
        fc.array(arbitraryFields, { minLength: 1, maxLength: 8 }),
        fc.array(arbitraryFilter, { minLength: 1, maxLength: 6 }),
        async (documents, filters) => {
          const records = documents.map((fields, index) => ({
            id: `${index}`,
            sequence: 1,
            fields,
          }));
          await store.discard(TENANT_A, collection);
          await store.apply(TENANT_A, collection, deliver(...records));
          for (const filter of filters) {
            const { documents: found } = await store.find(TENANT_A, collection, {
              filter,
              limit: 100,
            });
            const met = records.filter(({ fields }) => meetsFilter(fields, filter));
            expect(met.map(({ id }) => id)).toEqual(found.map(({ id }) => id));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

function indexed(): typeof SAMPLES {
  const indexes = [["a"], ["b", "c"], ["a[].b"], ["c"], ["d e.a"]];
  return { ...SAMPLES, name: "lab/random", placements: { "lab/sample": { indexes } } };
}
