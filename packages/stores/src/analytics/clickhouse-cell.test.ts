import { describe, expect, test } from "vitest";

import { compileCell } from "./clickhouse-cell.ts";

describe("a cell of ClickHouse", () => {
  test.each([
    ["Int64", "9007199254740993", 9_007_199_254_740_993n],
    ["Nullable(Int64)", "5", 5],
    ["UInt8", 1, 1],
    [
      "Int256",
      "-170141183460469231731687303715884105729",
      -170141183460469231731687303715884105729n,
    ],
    ["Float64", 0.5, 0.5],
    ["Float64", "inf", Number.POSITIVE_INFINITY],
    ["Float32", "-inf", Number.NEGATIVE_INFINITY],
    ["Float64", "nan", Number.NaN],
    ["Nullable(Float64)", null, null],
    ["Bool", true, true],
    ["String", "5", "5"],
    ["LowCardinality(Nullable(String))", "x", "x"],
    ["Decimal(38, 2)", "1.50", "1.50"],
    ["Date", "2026-11-21", "2026-11-21"],
    ["DateTime", "2026-11-21 10:11:12", "2026-11-21T10:11:12.000Z"],
    ["DateTime64(3, 'UTC')", "2026-11-21 10:11:12.340", "2026-11-21T10:11:12.340Z"],
    ["DateTime64(6)", "2026-11-21 10:11:12.345678", "2026-11-21T10:11:12.345678Z"],
    ["DateTime64(9)", "2026-11-21 10:11:12.100000000", "2026-11-21T10:11:12.100Z"],
    ["Array(Nullable(Int64))", ["1", null], [1, null]],
    ["Array(Array(DateTime))", [["1970-01-01 00:00:00"]], [["1970-01-01T00:00:00.000Z"]]],
    ["Tuple(Int64, String)", ["1", "1"], [1, "1"]],
    ["Tuple(a Int64, `b c` Array(Int64))", { a: "1", "b c": ["2"] }, { a: 1, "b c": [2] }],
    ["Map(String, Int64)", { a: "1" }, [["a", 1]]],
    ["Enum8('a,(b' = 1, 'c\\'d' = 2)", "a,(b", "a,(b"],
    ["Tuple(Enum8('a, b' = 1), Int64)", ["a, b", "7"], ["a, b", 7]],
  ] as const)("of %s: %j", (type, value, expected) => {
    expect(compileCell(type)(value)).toEqual(expected);
  });
});
