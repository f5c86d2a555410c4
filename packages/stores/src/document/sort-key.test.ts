import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { arbitraryFields, arbitrarySort } from "./conformance-arbitraries.ts";
import { PLAIN, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import { FirstRows } from "./first-rows.ts";
import { pathNames } from "./path-values.ts";
import { compareKeys, sortKeys } from "./sort-key.ts";
import { openSqliteDocumentStore } from "./sqlite.ts";

const keyOf = (value: unknown): string => sortKeys({ a: value }, ["a"]).asc;

describe("sort key", () => {
  test("is a text whose first letter is its kind", () => {
    expect(sortKeys({}, ["a"])).toEqual({ asc: "0", desc: "0" });
    expect(keyOf(null)).toBe("0");
    expect(keyOf("x")).toBe("2x");
    expect(keyOf({ b: 1 })).toBe("3");
    expect(keyOf(false)).toBe("4");
    expect(keyOf(true)).toBe("5");
    expect(keyOf(0)).toBe("180000000000000008000");
    expect(keyOf(1)).toBe("1bff00000000000008000");
    expect(keyOf(-1)).toBe("1400fffffffffffff8000");
    expect(keyOf(9_007_199_254_740_993n)).toBe("1c3400000000000008001");
  });

  test("orders numbers by value, whatever they are kept as", () => {
    const numbers = [
      -1e300,
      -(2n ** 63n),
      -9_007_199_254_740_993n,
      -9_007_199_254_740_992,
      -1.5,
      -5e-324,
      0,
      5e-324,
      1,
      9_007_199_254_740_992,
      9_007_199_254_740_993n,
      9_223_372_036_854_775_806n,
      9_223_372_036_854_775_807n,
      2n ** 63n,
      2n ** 70n,
      1e300,
    ];
    const keys = numbers.map(keyOf);
    expect(keys.toSorted(compareKeys)).toEqual(keys);
    expect(new Set(keys).size).toBe(numbers.length);
    expect(keyOf(-0)).toBe(keyOf(0));
    expect(keyOf(2n ** 70n + 1n)).toBe(keyOf(2n ** 70n));
  });

  test("is that of the least and of the greatest value where there are several", () => {
    expect(sortKeys({ a: [3, "x", []] }, ["a"])).toEqual({ asc: keyOf(3), desc: "2x" });
    expect(sortKeys({ a: [{ b: 2 }, { b: [true, 1] }] }, ["a", "b"])).toEqual({
      asc: keyOf(1),
      desc: "5",
    });
    expect(sortKeys({ a: [] }, ["a"])).toEqual({ asc: "0", desc: "0" });
  });

  test("orders text by code point", () => {
    expect(compareKeys("\uffee", "\u{1f600}")).toBe(-1);
  });

  test("orders random documents as SQLite orders them, page by page", async () => {
    await using directory = await makeTemporaryDirectory();
    await using store = await openSqliteDocumentStore({ directory: directory.path });
    await fc.assert(
      fc.asyncProperty(
        fc.array(arbitraryFields, { minLength: 1, maxLength: 12 }),
        arbitrarySort,
        fc.integer({ min: 1, max: 12 }),
        async (documents, sort, limit) => {
          const records = documents.map((fields, index) => ({
            id: String(index).padStart(2, "0"),
            sequence: 1,
            fields,
          }));
          await store.discard(TENANT_A, PLAIN);
          await store.apply(TENANT_A, PLAIN, deliver(...records));
          const first = new FirstRows(limit, sort);
          for (const { id, fields } of records) {
            const keys = sort.map(
              ({ path, direction }) => sortKeys(fields, pathNames(path))[direction],
            );
            first.add({ id, keys });
          }
          const found = await idsOf(store, PLAIN, {}, { sort, limit });
          expect(first.rows().map(({ id }) => id)).toEqual(found);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("first rows", () => {
  test("keep what is wanted behind a position, of any number that are added", () => {
    const first = new FirstRows(3, [{ path: "a", direction: "desc" }], { keys: ["8"], id: "b" });
    for (const key of ["1", "9", "8", "7", "8", "5", "6", "2", "3"]) {
      first.add({ keys: [key], id: key === "8" ? "c" : "a" });
    }
    expect(first.rows()).toEqual([
      { keys: ["8"], id: "c" },
      { keys: ["8"], id: "c" },
      { keys: ["7"], id: "a" },
    ]);
  });
});
