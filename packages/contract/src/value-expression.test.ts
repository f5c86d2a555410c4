import { describe, expect, test } from "vitest";

import {
  asInstantMs,
  asNumber,
  asText,
  coerceColumn,
  compileValue,
  compileValues,
} from "./value-expression.ts";

const record = {
  scores: [
    { scorer: "refusal", value: true },
    { scorer: "harm", value: 0.25 },
    { scorer: "harm", value: 0.75 },
  ],
  tags: ["b", "a"],
  text: "one",
  nested: [{ parts: [{ kind: "x", n: 1 }] }, { parts: [{ kind: "y", n: 2 }] }],
};

describe("value expressions", () => {
  test.each([
    ["text", "one"],
    ["tags[]", "b"],
    [{ path: "tags[]", take: "all" }, ["b", "a"]],
    [{ path: "tags[]", take: "count" }, 2],
    [{ path: "tags[]", take: "join" }, "b\na"],
    [{ path: "tags[]", take: "length" }, 2],
    [{ path: "tags[]", take: "json" }, '["b","a"]'],
    [{ path: "scores[].value", take: "max" }, 1],
    [{ path: "scores[].value", take: "min" }, 0.25],
    [{ path: "scores[].value", take: "sum" }, 2],
    [{ path: "missing[]", take: "count" }, 0],
    [{ path: "missing[]", take: "join" }, undefined],
    [{ path: "missing[]", take: "sum" }, 0],
    [{ path: "missing", take: "max" }, undefined],
  ] as const)("%j gives %j", (expression, value) => {
    expect(compileValue(expression)(record)).toEqual(value);
  });

  test("a condition keeps the elements beside which the sibling equals the literal", () => {
    const where = { path: "scores[].scorer", equals: "harm" } as const;
    expect(compileValue({ path: "scores[].value", where })(record)).toBe(0.25);
    expect(compileValues({ path: "scores[].value", where })(record)).toEqual([0.25, 0.75]);
    const inner = { path: "nested[].parts[].kind", equals: "y" } as const;
    expect(compileValues({ path: "nested[].parts[].n", where: inner })(record)).toEqual([2]);
  });

  test("a condition may keep whole elements", () => {
    const where = { path: "scores[].scorer", equals: "refusal" } as const;
    expect(compileValues({ path: "scores[]", where })(record)).toEqual([
      { scorer: "refusal", value: true },
    ]);
  });

  test("a condition outside the array is about the record", () => {
    const where = { path: "text", equals: "one" } as const;
    expect(compileValues({ path: "tags[]", where })(record)).toEqual(["b", "a"]);
    expect(
      compileValues({ path: "tags[]", where: { path: "text", equals: "two" } })(record),
    ).toEqual([]);
  });

  test.each([
    ["2026-01-05T08:00:00Z", 1767600000000],
    ["2026-01-05T09:00:00+01:00", 1767600000000],
    ["2026-01-05T08:00:00.000000005Z", 1767600000000],
    ["2026-01-05 08:00:00", 1767600000000],
    ["2026-01-05T08:00", 1767600000000],
    ["2026-01-05", 1767571200000],
    [1767600000000, 1767600000000],
    ["5", undefined],
    ["2026", undefined],
    ["January 5, 2026", undefined],
    ["2026-13-45T08:00:00Z", undefined],
    ["", undefined],
    [Number.NaN, undefined],
    [true, undefined],
  ])("the instant %j is %j on every machine", (value, ms) => {
    expect(asInstantMs(value)).toBe(ms);
  });

  test("a column takes what fits it and is null otherwise", () => {
    expect(coerceColumn("text", { b: 1, a: 2 })).toBe('{"a":2,"b":1}');
    expect(coerceColumn("json", "x")).toBe('"x"');
    expect(coerceColumn("integer", 9223372036854775807n)).toBe(9223372036854775807n);
    expect(coerceColumn("integer", 9223372036854775808n)).toBeNull();
    expect(coerceColumn("integer", 1.5)).toBeNull();
    expect(coerceColumn("real", 1n)).toBe(1);
    expect(coerceColumn("boolean", "true")).toBeNull();
    expect(coerceColumn("text[]", "one")).toEqual(["one"]);
    expect(coerceColumn("vector", [1, "x"])).toBeNull();
    expect(coerceColumn("timestamp", "yesterday")).toBeNull();
    expect(coerceColumn("text", null)).toBeNull();
  });

  test("texts and numbers are read plainly", () => {
    expect(asText("x")).toBe("x");
    expect(asText(1n)).toBe("1");
    expect(asNumber(true)).toBe(1);
    expect(asNumber("1")).toBeUndefined();
    expect(asNumber(Number.POSITIVE_INFINITY)).toBeUndefined();
  });
});
