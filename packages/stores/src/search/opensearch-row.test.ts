import { stringifyJson } from "@custody/contract/json";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { compileSearch, filterValue, searchContent } from "./content.ts";
import { comparedKey, encodeRow, isCut, keyText, rowContent } from "./opensearch-row.ts";

const whole = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: 2n ** 53n - 4n, max: 2n ** 53n + 4n }),
  fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 63n) + 2_000n }),
);
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  whole,
  fc.constantFrom(0, -0, 0.1, 1e17, 2 ** 60, -(2 ** 63), 2 ** 63),
);

/** Compares whatever numbers exactly. */
function order(left: number | bigint, right: number | bigint): number {
  // JavaScript compares a bigint with a double by their mathematical values.
  return left < right ? -1 : left > right ? 1 : 0;
}

describe("compared keys", () => {
  test("of numbers are in the numbers' order, doubles and whole numbers of 64 bits together", () => {
    fc.assert(
      fc.property(number, number, (left, right) => {
        const [a, b] = [comparedKey(filterValue(left)), comparedKey(filterValue(right))];
        expect(a < b ? -1 : a > b ? 1 : 0).toBe(order(left, right));
      }),
      { numRuns: 500 },
    );
  });

  test("of texts are in the order of code points, the longest kept to a limit", () => {
    const text = fc.string({ unit: "binary", maxLength: 8 });
    fc.assert(
      fc.property(text, text, (left, right) => {
        const [a, b] = [left, right].map((one) => Buffer.from(comparedKey(one)));
        expect(Buffer.compare(a ?? Buffer.of(), b ?? Buffer.of())).toBe(
          Buffer.compare(Buffer.from(left), Buffer.from(right)),
        );
      }),
    );
    const long = comparedKey("é".repeat(100_000));
    expect(isCut(long)).toBe(true);
    expect(Buffer.byteLength(long)).toBeLessThan(32_766);
    expect(comparedKey(`${"é".repeat(99_999)}e`)).not.toBe(long);
    expect(isCut(comparedKey("é".repeat(8_000)))).toBe(false);
    expect(comparedKey("é".repeat(8_001)) > comparedKey("é".repeat(8_000))).toBe(true);
  });

  test("are read back as the text of their value", () => {
    for (const [value, text] of [
      ["", ""],
      ["n1", "n1"],
      [true, "true"],
      [false, "false"],
      [0, "0"],
      [-2.5, "-2.5"],
      [1e300, "1e+300"],
      [9007199254740993n, "9007199254740993"],
      [-9223372036854775808n, "-9223372036854775808"],
    ] as const) {
      expect(keyText(comparedKey(value))).toBe(text);
    }
  });
});

describe("a row's document", () => {
  const placement = {
    fields: { title: { from: "title" } },
    filters: { tags: { path: "tags[]", take: "all" as const } },
  };
  const mapping = compileSearch(placement);
  const row = { id: "a", sequence: 3 };

  test("has texts and values by their places, never by their names", () => {
    expect(encodeRow(mapping, row, { title: "one", tags: ["x", 1, true] })).toEqual({
      id: "a",
      s: 3,
      b: 17,
      t0: "one",
      c: '[["x",1,true]]',
      f0: ["sx", "nbff00000000000008000", "b1"],
      n0: 3,
    });
    expect(encodeRow(mapping, row, {})).toEqual({ id: "a", s: 3, b: 4, c: "[[]]" });
  });

  test("gives back the journal's content form, whatever the values are", () => {
    const value = fc.oneof(fc.string({ unit: "binary" }), number, fc.boolean(), fc.constant(null));
    const record = fc.record({ title: fc.string({ unit: "binary" }), tags: fc.array(value) });
    fc.assert(
      fc.property(record, (fields) => {
        const stored: unknown = JSON.parse(JSON.stringify(encodeRow(mapping, row, fields)));
        expect(rowContent(mapping, stored)).toBe(searchContent(placement)(fields));
      }),
      { numRuns: 300 },
    );
    expect(stringifyJson([9007199254740993n])).toBe("[9007199254740993]");
  });

  test("that was altered in what is searched, compared or kept has content of its own", () => {
    const stored = encodeRow(mapping, row, { title: "one", tags: ["x", "y"] });
    const content = rowContent(mapping, stored);
    for (const altered of [
      { t0: "two" },
      { f0: ["sx"] },
      { f0: undefined },
      { n0: 3 },
      { n0: undefined },
      { c: '[["x","z"]]' },
      { c: "no JSON" },
      { c: 5 },
    ]) {
      expect(rowContent(mapping, { ...stored, ...altered })).not.toBe(content);
    }
  });
});
