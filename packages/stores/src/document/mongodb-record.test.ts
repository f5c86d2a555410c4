import fc from "fast-check";
import { BSON } from "mongodb";
import { describe, expect, test } from "vitest";

import { parseJson, stringifyJson } from "@custody/contract/json";

import { DEPTH_MAX, fromStored, storedName, storedText, toStored } from "./mongodb-record.ts";
import type { StoredRecord } from "./mongodb-record.ts";

/** What a server would give back. */
function throughBson(stored: StoredRecord): StoredRecord {
  const bytes = BSON.serialize(stored);
  // The driver passes `fieldsAsRaw` on, in which it finds what every object has.
  const options = { useBigInt64: true, promoteBuffers: true, fieldsAsRaw: {} };
  return BSON.deserialize(bytes, options) as StoredRecord;
}

describe("mongodb record", () => {
  test.each([
    ["a", "a"],
    ["a.b", "a%2Eb"],
    ["$set", "%24set"],
    ["a$b", "a$b"],
    ["7", "%37"],
    ["a7", "a7"],
    ["%", "%25"],
    ["%2E", "%252E"],
    ["", "%"],
    ["a b", "a%20b"],
    ["nul\0", "nul%00"],
    ["\u2028", "%E2%80%A8"],
    ["_bsontype", "%_bsontype"],
    ["%_bsontype", "%25_bsontype"],
    ["__proto__", "%__proto__"],
    ["constructor", "%constructor"],
    ["%constructor", "%25constructor"],
  ])("the member %j lies as %j and comes back", (name, stored) => {
    expect(storedName(name)).toBe(stored);
    const text = `{${JSON.stringify(name)}:1}`;
    expect(Object.keys(toStored(text).record)).toEqual([stored]);
    expect(storedText(throughBson(toStored(text)))).toBe(text);
  });

  test("integers beyond 64 bits are doubles, with their digits by their place", () => {
    const text = '{"a":[{"b/c":1180591620717411303424}],"a/0/b":2.5,"n":9007199254740993}';
    const stored = toStored(text);
    expect(stored.record["n"]).toBe(9_007_199_254_740_993n);
    expect(stored.digits).toEqual({ "/a/0/b%2Fc": "1180591620717411303424" });
    expect(storedText(throughBson(stored))).toBe(text);
  });

  test("digits of a number that was changed count no more", () => {
    const stored = toStored('{"n":1180591620717411303424}');
    expect(fromStored({ ...stored, record: { n: 5 } })).toEqual({ n: 5 });
    expect(fromStored({ record: { n: 5 }, digits: { "/n": "no digits" } })).toEqual({ n: 5 });
  });

  test("an array within an array lies as bytes, through which no path leads", () => {
    const stored = toStored('{"a":[[1,{"b":[2]}],[]]}');
    expect(stored.record).toEqual({ a: [Buffer.from('[1,{"b":[2]}]'), Buffer.from("[]")] });
    expect(fromStored(throughBson(stored))).toEqual({ a: [[1, { b: [2] }], []] });
  });

  test("bytes that Custody has not written are a value of their own", () => {
    expect(fromStored({ record: { a: [Buffer.from("[1")] } })).toEqual({ a: [{ bytes: "[1" }] });
  });

  test("ninety levels are kept and one more is refused, of objects and of arrays", () => {
    const objects = (levels: number): string => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
    const arrays = (levels: number): string =>
      `{"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
    for (const deep of [objects, arrays]) {
      expect(storedText(throughBson(toStored(deep(DEPTH_MAX))))).toBe(deep(DEPTH_MAX));
      expect(() => toStored(deep(DEPTH_MAX + 1))).toThrow(
        expect.objectContaining({ name: "StoreError", code: "refused" }),
      );
    }
  });

  test.each(["[1]", '"a"', "null", "{", '{"a":"\\ud800"}', '{"\\udc00":1}'])(
    "%s is refused",
    (text) => {
      expect(() => toStored(text)).toThrow(
        expect.objectContaining({ name: "StoreError", code: "refused" }),
      );
    },
  );

  test("any record comes back from BSON as it was", () => {
    const name = fc.oneof(
      fc.constantFrom(
        "",
        "7",
        "$a",
        "a.b",
        "%",
        "__proto__",
        "_bsontype",
        "toBSON",
        "\0",
        "a/b",
        "valueOf",
      ),
      fc.string({ unit: "binary", maxLength: 6 }).filter((text) => text.isWellFormed()),
    );
    const leaf = fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }),
      name,
    );
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: "medium" },
        leaf,
        fc.array(tie("value"), { maxLength: 4 }),
        fc
          .array(fc.tuple(name, tie("value")), { maxLength: 4 })
          .map((entries) => Object.fromEntries(entries)),
      ),
    }));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 5 }), (entries) => {
        const text = stringifyJson(Object.fromEntries(entries));
        const stored = throughBson(toStored(text));
        expect(storedText(stored)).toBe(stringifyJson(parseJson(text)));
      }),
      { numRuns: 1_000 },
    );
  });
});
