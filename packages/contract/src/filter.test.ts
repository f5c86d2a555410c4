import { describe, expect, test } from "vitest";

import { FILTER_DEPTH_MAX, FILTER_VALUES_MAX, parseFilter } from "./filter.ts";

const refused = { name: "ContractError", code: "invalid-filter" };

describe("filters", () => {
  test("an empty filter meets everything", () => {
    expect(parseFilter({})).toEqual({ op: "and", filters: [] });
  });

  test("a bare value is an equality", () => {
    expect(parseFilter({ "labels.operator": "jade" })).toEqual({
      op: "eq",
      path: "labels.operator",
      value: "jade",
    });
    expect(parseFilter({ a: null })).toEqual({ op: "eq", path: "a", value: null });
    expect(parseFilter({ a: 9007199254740993n })).toEqual({
      op: "eq",
      path: "a",
      value: 9007199254740993n,
    });
  });

  test("several fields and several operators are joined by and", () => {
    expect(parseFilter({ a: { $gte: 1, $lt: 5 }, b: true })).toEqual({
      op: "and",
      filters: [
        {
          op: "and",
          filters: [
            { op: "gte", path: "a", value: 1 },
            { op: "lt", path: "a", value: 5 },
          ],
        },
        { op: "eq", path: "b", value: true },
      ],
    });
  });

  test("every operator becomes its node", () => {
    expect(parseFilter({ a: { $ne: 1 } })).toEqual({ op: "ne", path: "a", value: 1 });
    expect(parseFilter({ a: { $in: [1, "x"] } })).toEqual({
      op: "in",
      path: "a",
      values: [1, "x"],
    });
    expect(parseFilter({ a: { $nin: [1] } })).toEqual({ op: "nin", path: "a", values: [1] });
    expect(parseFilter({ a: { $all: ["x"] } })).toEqual({ op: "all", path: "a", values: ["x"] });
    expect(parseFilter({ a: { $exists: false } })).toEqual({
      op: "exists",
      path: "a",
      value: false,
    });
    expect(parseFilter({ a: { $size: 0 } })).toEqual({ op: "size", path: "a", value: 0 });
    expect(parseFilter({ a: { $not: { $gt: 1 } } })).toEqual({
      op: "not",
      filter: { op: "gt", path: "a", value: 1 },
    });
    expect(parseFilter({ a: { $elemMatch: { b: 1 } } })).toEqual({
      op: "elemMatch",
      path: "a",
      filter: { op: "eq", path: "b", value: 1 },
    });
    expect(parseFilter({ $nor: [{ a: 1 }] })).toEqual({
      op: "nor",
      filters: [{ op: "eq", path: "a", value: 1 }],
    });
  });

  test("an operator that is not known is refused by name", () => {
    expect(() => parseFilter({ a: { $where: "1" } })).toThrow(/unknown operator \$where on a/);
    expect(() => parseFilter({ $expr: {} })).toThrow(/unknown operator \$expr/);
    expect(() => parseFilter({ a: { $regex: "x" } })).toThrow(expect.objectContaining(refused));
  });

  test.each([
    [[1]],
    ["text"],
    [null],
    [{ a: { b: 1 } }],
    [{ a: [1] }],
    [{ $or: [] }],
    [{ $and: {} }],
    [{ a: { $gt: null } }],
    [{ a: { $exists: 1 } }],
    [{ a: { $size: -1 } }],
    [{ a: { $size: 1.5 } }],
    [{ a: { $in: "x" } }],
    [{ "": 1 }],
    [{ "a\0b": 1 }],
  ])("%j is refused with its reason", (filter) => {
    expect(() => parseFilter(filter)).toThrow(expect.objectContaining(refused));
  });

  test("a path of 512 characters is taken, one more is refused", () => {
    expect(parseFilter({ ["a".repeat(512)]: 1 })).toMatchObject({ op: "eq" });
    expect(() => parseFilter({ ["a".repeat(513)]: 1 })).toThrow(expect.objectContaining(refused));
  });

  test("nesting at the limit is taken, one level more is refused, by logic as by $not", () => {
    const nested = (levels: number): unknown =>
      levels === 0 ? { a: 1 } : { $and: [nested(levels - 1)] };
    const negated = (levels: number): unknown =>
      levels === 0 ? { $gt: 1 } : { $not: negated(levels - 1) };
    expect(parseFilter(nested(FILTER_DEPTH_MAX))).toMatchObject({ op: "and" });
    expect(() => parseFilter(nested(FILTER_DEPTH_MAX + 1))).toThrow(/at most 16 levels/);
    expect(parseFilter({ a: negated(FILTER_DEPTH_MAX) })).toMatchObject({ op: "not" });
    expect(() => parseFilter({ a: negated(FILTER_DEPTH_MAX + 1) })).toThrow(/at most 16 levels/);
    expect(() => parseFilter({ a: negated(5_000) })).toThrow(expect.objectContaining(refused));
  });

  test("a very deep value is refused, not a crash", () => {
    let deep: unknown[] = [];
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    expect(() => parseFilter({ a: deep })).toThrow(expect.objectContaining(refused));
  });

  test("a list of the most values is taken, one more is refused", () => {
    const values = Array.from({ length: FILTER_VALUES_MAX }, (_, index) => index);
    expect(parseFilter({ a: { $in: values } })).toMatchObject({ op: "in" });
    expect(() => parseFilter({ a: { $in: [...values, 0] } })).toThrow(/at most 1000 values/);
  });

  test("names of inherited members are plain paths", () => {
    const filter: unknown = JSON.parse('{"__proto__": 1, "constructor": 2}');
    expect(parseFilter(filter)).toEqual({
      op: "and",
      filters: [
        { op: "eq", path: "__proto__", value: 1 },
        { op: "eq", path: "constructor", value: 2 },
      ],
    });
  });
});
