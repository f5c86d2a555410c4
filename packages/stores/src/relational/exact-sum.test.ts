import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ExactSum } from "./exact-sum.ts";

function sumOf(values: readonly (number | bigint)[]): ExactSum {
  const sum = new ExactSum();
  for (const value of values) sum.add(value);
  return sum;
}

const NUMBER = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
);

describe("an exact sum", () => {
  test.each<readonly [string, readonly (number | bigint)[], string, number]>([
    ["nothing", [], "0", 0],
    ["whole numbers", [1, 2, 3], "6", 6],
    ["halves", [0.5, 0.25], "3p-2", 0.75],
    ["tenths", [0.1, 0.2], "10808639105689191p-55", 0.30000000000000004],
    [
      "more than a double holds",
      [2 ** 53 - 1, 2 ** 53 - 1, 1],
      "18014398509481983",
      18014398509481984,
    ],
    ["a bigint", [9007199254740993n], "9007199254740993", 9007199254740992],
    ["numbers that swallow others", [1e300, 1, -1e300], "1", 1],
    ["numbers far apart", [1e300, 1e-300, -1e300], "", 1e-300],
    ["the smallest numbers", [5e-324, 5e-324], "1p-1073", 1e-323],
    ["the greatest numbers", [1.7e308, 1.7e308, -1.7e308], "", 1.7e308],
    ["minus zero", [-0], "0", 0],
    ["what is no number", [Number.NaN, Number.POSITIVE_INFINITY, 2], "2", 2],
  ])("of %s is right", (_, values, text, number) => {
    const sum = sumOf(values);
    if (text !== "") expect(sum.toText()).toBe(text);
    expect(sum.toNumber()).toBe(number);
  });

  test("is the same in any order, and when read back", () => {
    fc.assert(
      fc.property(fc.array(NUMBER), (values) => {
        const text = sumOf(values).toText();
        expect(sumOf(values.toReversed()).toText()).toBe(text);
        expect(ExactSum.parse(text).toText()).toBe(text);
        const halves = sumOf(values.slice(0, values.length >> 1));
        halves.addSum(sumOf(values.slice(values.length >> 1)));
        expect(halves.toText()).toBe(text);
      }),
    );
  });

  test("is nothing once all was taken back", () => {
    fc.assert(
      fc.property(fc.array(NUMBER), (values) => {
        const sum = sumOf(values);
        for (const value of values) sum.add(value, -1);
        expect(sum.toText()).toBe("0");
        expect(sum.toNumber()).toBe(0);
      }),
    );
  });
});
