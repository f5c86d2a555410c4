import { describe, expect, test } from "vitest";

import { parseFilter } from "@custody/contract/filter";
import { stringifyJson } from "@custody/contract/json";

import { compileFilter } from "./mongodb-filter.ts";

const compiled = (filter: unknown, isFaithful = true) =>
  compileFilter(parseFilter(filter), { isFaithful });

const NOTHING = { _id: { $in: [] } };

describe("mongodb filter", () => {
  const cases: readonly (readonly [filter: unknown, query: unknown])[] = [
    [{}, {}],
    [{ a: 1 }, { "record.a": { $eq: 1 } }],
    [{ "a[].b": null }, { "record.a.b": { $eq: null } }],
    [{ a: { $ne: "x" } }, { $nor: [{ "record.a": { $eq: "x" } }] }],
    [{ a: { $gte: 2 ** 70 } }, { "record.a": { $gte: 2 ** 70 } }],
    [{ a: 2n ** 63n - 1n }, { "record.a": { $eq: 9_223_372_036_854_775_807n } }],
    [{ a: 2n ** 70n }, { "record.a": { $eq: 1_180_591_620_717_411_303_424 } }],
    [{ a: { $in: [1, null] } }, { "record.a": { $in: [1, null] } }],
    [{ a: { $in: [] } }, NOTHING],
    [{ a: { $nin: [] } }, { $nor: [NOTHING] }],
    [{ a: { $all: [] } }, NOTHING],
    [{ a: { $all: [1, 2] } }, { $and: [{ "record.a": { $eq: 1 } }, { "record.a": { $eq: 2 } }] }],
    [{ a: { $exists: false } }, { "record.a": { $exists: false } }],
    [{ a: { $size: 2 } }, { "record.a": { $size: 2 } }],
    [{ a: { $not: { $gt: 1 } } }, { $nor: [{ "record.a": { $gt: 1 } }] }],
    [
      { $or: [{ a: 1 }, { b: 2 }] },
      { $or: [{ "record.a": { $eq: 1 } }, { "record.b": { $eq: 2 } }] },
    ],
    [{ $nor: [{ a: 1 }] }, { $nor: [{ "record.a": { $eq: 1 } }] }],
    [{ "7.$x": 1 }, { "record.%37.%24x": { $eq: 1 } }],
    [{ a: { $elemMatch: { b: { $in: [] } } } }, { "record.a": { $elemMatch: NOTHING } }],
    [{ a: { $elemMatch: { "b.c": 1 } } }, { "record.a": { $elemMatch: { "b.c": { $eq: 1 } } } }],
  ];
  test.each(cases.map(([filter, query]) => ({ text: stringifyJson(filter), filter, query })))(
    "$text is asked in MongoDB's words",
    ({ filter, query }) => {
      expect(compiled(filter)).toEqual({ query, isExact: true });
    },
  );

  test("what a server cannot be asked finds too much, also below negations", () => {
    const filter = { a: { $elemMatch: { b: 1 } } };
    const some = { "record.a": { $exists: true } };
    expect(compiled(filter, false)).toEqual({ query: some, isExact: false });
    expect(compiled({ $nor: [filter] }, false)).toEqual({
      query: { $nor: [NOTHING] },
      isExact: false,
    });
    expect(compiled({ $nor: [{ $nor: [filter] }] }, false)).toEqual({
      query: { $nor: [{ $nor: [some] }] },
      isExact: false,
    });
    expect(compiled({ c: 1, a: filter.a }, false).isExact).toBe(false);
  });

  test("so does absence below the first member, where a server takes any element for an object", () => {
    expect(compiled({ a: { $exists: true } }, false).isExact).toBe(true);
    expect(compiled({ "a.b": { $exists: true } }, false)).toEqual({
      query: { "record.a.b": { $exists: true } },
      isExact: false,
    });
    expect(compiled({ "a.b": { $exists: false } }, false)).toEqual({ query: {}, isExact: false });
    expect(compiled({ a: null }, false).isExact).toBe(true);
    expect(compiled({ "a.b": null }, false)).toEqual({
      query: { "record.a.b": { $eq: null } },
      isExact: false,
    });
    expect(compiled({ "a.b": { $ne: null } }, false)).toEqual({ query: {}, isExact: false });
    expect(compiled({ "a.b": { $not: { $in: [1, null] } } }, false)).toEqual({
      query: { $nor: [NOTHING] },
      isExact: false,
    });
  });
});
