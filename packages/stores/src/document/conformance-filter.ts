import { expect, test } from "vitest";

import { PLAIN, SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentStore } from "./port.ts";

const DOCUMENTS: Readonly<Record<string, unknown>> = {
  a: { kind: "x", size: 1, labels: { owner: "ana" }, tags: ["red", "blue"] },
  b: { kind: "y", size: 2.5, labels: { owner: "bo" }, tags: [], ok: true },
  c: { kind: "x", size: "10", labels: null, tags: "red", ok: false },
  d: {
    kind: null,
    size: 9_007_199_254_740_992,
    parts: [
      { name: "p", n: 1 },
      { name: "q", n: 2 },
    ],
  },
  e: { labels: [{ owner: "ana" }, { owner: "cy" }], size: [1, 20], parts: [{ n: 2 }, "p", null] },
  f: { kind: true, size: true, labels: { owner: ["ana", 7] }, tags: [["red"], { red: 1 }] },
  g: { kind: { sub: "x" }, size: -3, labels: "ana", parts: { name: "p" }, ok: 1 },
};

/** Each filter with the ids of the documents above that meet it. */
const CASES: readonly (readonly [filter: unknown, ids: string])[] = [
  [{}, "abcdefg"],
  [{ kind: "x" }, "ac"],
  [{ kind: { $eq: "x" } }, "ac"],
  [{ kind: { $ne: "x" } }, "bdefg"],
  [{ kind: null }, "de"],
  [{ kind: { $ne: null } }, "abcfg"],
  [{ kind: true }, "f"],
  [{ kind: 1 }, ""],
  [{ ok: true }, "b"],
  [{ ok: false }, "c"],
  [{ ok: 1 }, "g"],
  [{ ok: { $in: [true, 1] } }, "bg"],
  [{ kind: '{"sub":"x"}' }, ""],
  [{ "kind.sub": "x" }, "g"],
  [{ size: 1 }, "ae"],
  [{ size: "10" }, "c"],
  [{ size: 10 }, ""],
  [{ size: { $gt: 1 } }, "bde"],
  [{ size: { $gte: 1 } }, "abde"],
  [{ size: { $lt: 1 } }, "g"],
  [{ size: { $lte: 1 } }, "aeg"],
  [{ size: { $gt: "1" } }, "c"],
  [{ size: { $lt: "2" } }, "c"],
  [{ size: { $gt: 1, $lt: 3 } }, "be"],
  // Each bound is met by an element of its own.
  [{ size: { $gt: 2, $lt: 2.6 } }, "be"],
  [{ size: 9_007_199_254_740_993n }, ""],
  [{ size: 9_007_199_254_740_992n }, "d"],
  [{ size: { $not: { $gt: 1 } } }, "acfg"],
  [{ size: { $in: [1, "10"] } }, "ace"],
  [{ size: { $nin: [1, "10"] } }, "bdfg"],
  [{ kind: { $in: ["y", null] } }, "bde"],
  [{ kind: { $nin: ["y", null] } }, "acfg"],
  [{ kind: { $in: [] } }, ""],
  [{ kind: { $nin: [] } }, "abcdefg"],
  [{ kind: { $exists: true } }, "abcdfg"],
  [{ kind: { $exists: false } }, "e"],
  [{ labels: { $exists: true } }, "abcefg"],
  [{ "labels.owner": "ana" }, "aef"],
  [{ "labels.owner": 7 }, "f"],
  [{ "labels.owner": { $ne: "ana" } }, "bcdg"],
  [{ "labels.owner": null }, "cdg"],
  [{ "labels.owner": { $exists: true } }, "abef"],
  [{ "labels.owner": { $gt: "ana" } }, "be"],
  [{ tags: "red" }, "ac"],
  [{ "tags[]": "red" }, "ac"],
  [{ tags: { $all: ["red", "blue"] } }, "a"],
  [{ tags: { $all: [] } }, ""],
  [{ tags: { $size: 2 } }, "af"],
  [{ tags: { $size: 0 } }, "b"],
  [{ tags: { $in: ["blue", "green"] } }, "a"],
  [{ tags: { $nin: ["red"] } }, "bdefg"],
  [{ "tags.red": 1 }, "f"],
  // An array within an array is no element that could lack a member.
  [{ "tags.red": null }, "cdeg"],
  [{ "parts.name": "p" }, "dg"],
  [{ "parts.name": { $exists: true } }, "dg"],
  [{ "parts.name": null }, "abcef"],
  [{ "parts.n": { $gte: 2 } }, "de"],
  [{ parts: { $elemMatch: { name: "p", n: 1 } } }, "d"],
  [{ parts: { $elemMatch: { name: "p", n: 2 } } }, ""],
  [{ parts: { $elemMatch: { n: { $gt: 1 } } } }, "de"],
  [{ parts: { $elemMatch: { name: { $exists: false } } } }, "e"],
  [{ parts: { $not: { $elemMatch: { n: 2 } } } }, "abcfg"],
  [{ $or: [{ kind: "y" }, { tags: "blue" }] }, "ab"],
  [{ $and: [{ kind: "x" }, { size: 1 }] }, "a"],
  [{ $nor: [{ kind: "x" }, { "labels.owner": "ana" }] }, "bdg"],
  [{ kind: "x", tags: { $ne: "blue" } }, "c"],
  [{ toString: { $exists: true } }, ""],
  [{ "kind.length": 1 }, ""],
  [{ "tags.0": "red" }, ""],
  [{ nothing: "x" }, ""],
  [{ nothing: null }, "abcdefg"],
];

/** What filters mean, with and without indexes. */
export function describeFilters(current: () => DocumentStore): void {
  const fill = async (collection: typeof SAMPLES): Promise<void> => {
    const records = Object.entries(DOCUMENTS).map(([id, fields]) => ({ id, sequence: 1, fields }));
    await current().apply(TENANT_A, collection, deliver(...records));
  };

  test("each filter finds exactly the documents that meet it", async () => {
    await fill(PLAIN);
    for (const [filter, ids] of CASES) {
      const found = (await idsOf(current(), PLAIN, filter)).join("");
      expect([filter, found]).toEqual([filter, ids]);
    }
  });

  test("indexes change no answer, also where an indexed path meets arrays", async () => {
    await fill(SAMPLES);
    for (const [filter, ids] of CASES) {
      const found = (await idsOf(current(), SAMPLES, filter)).join("");
      expect([filter, found]).toEqual([filter, ids]);
    }
  });

  test("indexes change no answer where no indexed path meets an array", async () => {
    const store = current();
    const ids = ["a", "b", "c", "d", "g"];
    const records = ids.map((id) => ({ id, sequence: 1, fields: DOCUMENTS[id] }));
    await store.apply(TENANT_A, SAMPLES, deliver(...records));
    for (const [filter, all] of CASES) {
      const expected = ids.filter((id) => all.includes(id)).join("");
      expect([filter, (await idsOf(store, SAMPLES, filter)).join("")]).toEqual([filter, expected]);
    }
  });

  test("deeply nested filters are answered", async () => {
    await fill(SAMPLES);
    let filter: unknown = { kind: "x" };
    for (let depth = 0; depth < 14; depth++) filter = { $or: [filter, { kind: "y" }] };
    expect(await idsOf(current(), SAMPLES, filter)).toEqual(["a", "b", "c"]);
    let nested: unknown = { n: 1 };
    for (let depth = 0; depth < 12; depth++) nested = { "a.b": { $elemMatch: nested } };
    expect(await idsOf(current(), SAMPLES, nested)).toEqual([]);
    let negated: unknown = { $eq: "x" };
    for (let depth = 0; depth < 12; depth++) negated = { $not: negated };
    expect(await idsOf(current(), SAMPLES, { kind: negated })).toEqual(["a", "c"]);
  });

  test("a filter of a thousand alternatives and one of a thousand values are answered", async () => {
    await fill(SAMPLES);
    const values = Array.from({ length: 1_000 }, (_, index) => `v${index}`);
    const alternatives = values.map((value) => ({ kind: value }));
    expect(await idsOf(current(), SAMPLES, { $or: [...alternatives, { kind: "y" }] })).toEqual([
      "b",
    ]);
    expect(
      await idsOf(current(), SAMPLES, { tags: { $in: [...values.slice(1), "blue"] } }),
    ).toEqual(["a"]);
  });

  test("a path of more steps than any document has finds nothing, however long it is", async () => {
    await fill(SAMPLES);
    const path = Array.from({ length: 50 }, () => "a").join(".");
    expect(await idsOf(current(), SAMPLES, { [path]: 1 })).toEqual([]);
    expect(await idsOf(current(), SAMPLES, { [path]: { $exists: false } })).toHaveLength(7);
  });
}
