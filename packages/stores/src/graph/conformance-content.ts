import { expect, test } from "vitest";

import { TestJournal, ask, collection, scope, storedRows } from "./conformance-fixture.ts";
import type { CurrentGraph, TestRecord } from "./conformance-fixture.ts";
import { makeBatch } from "../record-batch.ts";

const STRANGE_TEXTS: readonly (readonly [string, string])[] = [
  ["unicode", "zażółć 漢字 😀 \u{10FFFF} \u202E"],
  ["NUL and controls", "a\0b\u0001\u001f\n\r\t"],
  ["a lone surrogate", "x\ud800y"],
  ["very long", "long ".repeat(20_000)],
  ["empty", ""],
  ["spaces", "  "],
  ["quotes", `'"\`\\'"`],
  ["SQL", "x'; DROP TABLE nodes; --"],
  ["Cypher", "x' }) DETACH DELETE n //"],
  ["Cypher with parameters", "$rows {x.id} ${1}"],
  ["a number", "007"],
  ["a list", "[1,2]"],
  ["null in letters", "null"],
  ["__proto__", "__proto__"],
  ["constructor", "constructor"],
  ["dots and dollars", "$where.a.b"],
  ["paths", "../../tenant-b/graph"],
];

/** That a graph keeps every value exactly, and tells by its digests what is altered. */
export function describeGraphContent(current: CurrentGraph): void {
  test.each(STRANGE_TEXTS)("ids and texts are kept exactly: %s", async (_what, value) => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [
      {
        type: "test/host",
        id: "1",
        fields: { name: value, os: value, tags: [value, "", value], services: [value] },
      },
      { type: "test/link", id: "2", fields: { from: value, to: "b" } },
    ]);
    const kept = value.toWellFormed();
    const answer = await ask(
      store,
      "MATCH (a:Host)-[:RUNS]->(b) WHERE a.id = $id RETURN a.id, a.os, a.tags, a._records, b.id",
      { id: kept },
    );
    expect(answer).toEqual([[kept, kept, [kept, "", kept], 2, kept]]);
    expect(await storedRows(store)).toEqual(journal.expected());
    await journal.deliver(store, [
      { type: "test/host", id: "1" },
      { type: "test/link", id: "2" },
    ]);
    expect(await storedRows(store)).toEqual([]);
  });

  test.each([
    ["cores", "9007199254740993", 9_007_199_254_740_993n],
    ["cores", "-9223372036854775808", -9_223_372_036_854_775_808n],
    ["cores", "9223372036854775808", null],
    ["cores", "-0", 0],
    ["cores", "1.5", null],
    ["cores", "true", 1],
    ["load", "-0.0", 0],
    ["load", "5e-324", 5e-324],
    ["load", "1.7976931348623157e308", 1.7976931348623157e308],
    ["load", '"7"', null],
    ["up", "false", false],
    ["up", "1", null],
    ["seen", '"2026-01-02T03:04:05.678Z"', "2026-01-02T03:04:05.678Z"],
    ["seen", "-1.9", "1969-12-31T23:59:59.999Z"],
    ["seen", "1e300", null],
    ["tags", "[]", []],
    ["tags", '["a",1,null,{"b":2}]', ["a", "1", '{"b":2}']],
    ["place", "[0.1,-2,3e100]", [0.1, -2, 3e100]],
    ["place", "[]", []],
    ["place", '["a"]', null],
    ["extra", '{"b":9007199254740993,"a":null}', '{"a":null,"b":9007199254740993}'],
    ["extra", '{"__proto__":1,"$x.y":2}', '{"$x.y":2,"__proto__":1}'],
    ["extra", `${"[".repeat(500)}1${"]".repeat(500)}`, `${"[".repeat(500)}1${"]".repeat(500)}`],
  ])("a property keeps its value exactly or not at all: %s of %s", async (name, json, kept) => {
    const { store } = current();
    const text = `{"name":"a","${name}":${json}}`;
    const batches = [makeBatch("test/host", [{ id: "1", sequence: 1, text }])];
    await store.apply(scope, collection, { batches, checkpoint: 1 });
    expect(await ask(store, `MATCH (n:Host) RETURN n.${name}`)).toEqual([[kept]]);
    const content = await expectedOf(text);
    expect((await storedRows(store))[0]).toEqual(content);
  });

  test("values of one column in one delivery may be of every shape, absent ones first", async () => {
    const { store } = current();
    const journal = new TestJournal();
    const shapes = [
      {},
      { tags: [], place: [], cores: 1, load: 1 },
      { tags: ["x"], place: [1], cores: 2, load: 0.5 },
      { os: "", tags: ["y", "z"], place: [0.25, 1], up: true, seen: 0, extra: [] },
      { os: "a", cores: null, load: 1e21, up: false, seen: "2026-01-01T00:00:00Z", extra: "" },
    ];
    await journal.deliver(
      store,
      shapes.map((shape, index) => ({
        type: "test/host",
        id: `${index}`,
        fields: { name: `h${index}`, ...shape },
      })),
    );
    expect(await storedRows(store)).toEqual(journal.expected());
  });

  test("after any history, the graph is what the live records say", async () => {
    const { store } = current();
    const journal = new TestJournal();
    const random = seeded(20_260_711);
    const pick = (count: number): number => Math.floor(random() * count);
    const change = (): TestRecord => {
      const id = `${pick(12)}`;
      const type = (["test/host", "test/link", "test/finding"] as const)[pick(3)] ?? "test/host";
      if (random() < 0.3) return { type, id };
      const names = ["a", "b", "c"];
      const name = names[pick(3)];
      const fields = {
        "test/host": { name, ...(random() < 0.7 ? { os: `os${pick(3)}` } : {}), services: ["s"] },
        "test/link": { from: name, to: names[pick(3)] },
        "test/finding": { tool: `t${pick(2)}`, flaws: [{ id: `f${pick(2)}`, hosts: [name] }] },
      };
      return { type, id, fields: fields[type as keyof typeof fields] };
    };
    for (let round = 0; round < 60; round += 1) {
      const records = Array.from({ length: 1 + pick(6) }, change);
      await journal.deliver(store, records);
    }
    expect(await storedRows(store)).toEqual(journal.expected());
    expect(await store.digest(scope, collection, 1_000)).toEqual(journal.expectedDigest());
  });

  test("rows are listed in order of their ids, in pages of any size, once each", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(
      store,
      ["b", "a", "ab", '"', "ü", "A", "a\0"].map((name, index) => ({
        type: "test/host",
        id: `${index}`,
        fields: { name, services: [name, "a"] },
      })),
    );
    const expected = journal.expected();
    expect(expected).toHaveLength(27);
    for (const limit of [1, 2, 7, 26, 27, 28]) {
      expect(await storedRows(store, limit)).toEqual(expected);
    }
    const range = { fromSequence: 1, toSequence: 100, limit: 10 };
    expect(await store.list(scope, collection, range)).toEqual({ rows: [] });
  });

  test("an altered property, a wrong count, a missing edge and an extra node are found, and nothing else", async (context) => {
    const { fixture, store } = current();
    const { alter } = fixture;
    if (alter === undefined)
      return context.skip("nothing but the store reaches this engine's data");
    const journal = new TestJournal();
    await journal.deliver(store, [
      { type: "test/host", id: "1", fields: { name: "a", os: "linux", services: ["s"] } },
      { type: "test/link", id: "2", fields: { from: "a", to: "b" } },
      { type: "test/link", id: "3", fields: { from: "b", to: "a" } },
    ]);
    await store[Symbol.asyncDispose]();
    await alter("MATCH (n:Host) WHERE n.id = 'a' SET n.os = 'windows'");
    await alter("MATCH (a:Host)-[k:LINKS]->(b:Host) WHERE a.id = 'a' SET k._records = 2");
    await alter("MATCH (a:Host)-[k:LINKS]->(b:Host) WHERE a.id = 'b' DELETE k");
    await alter("CREATE (n:Service {id: 'ghost', _records: 1})");
    const reopened = await fixture.reopen();
    const stored = new Map((await storedRows(reopened)).map((row) => [row.id, row.hash]));
    const expected = new Map(journal.expected().map((row) => [row.id, row.hash]));
    const differing = [...new Set([...stored.keys(), ...expected.keys()])]
      .filter((id) => stored.get(id) !== expected.get(id))
      .sort();
    expect(differing).toEqual([
      '["e","LINKS","Host","a","Host","b"]',
      '["e","LINKS","Host","b","Host","a"]',
      '["n","Host","a"]',
      '["n","Service","ghost"]',
    ]);
    expect(await reopened.digest(scope, collection, 1_000)).not.toEqual(journal.expectedDigest());
  });
}

async function expectedOf(text: string): Promise<unknown> {
  const { parseJson } = await import("@custody/contract/json");
  const { hashText, rowHash } = await import("../content-form.ts");
  const { graphContent } = await import("./content.ts");
  const content = graphContent(collection.placements);
  content.add("test/host", parseJson(text), 1);
  const [row] = content.rows();
  if (row === undefined) return undefined;
  return { id: row.id, sequence: 0, hash: hashText(rowHash(row.id, 0, row.content)) };
}

/** mulberry32: the same seed gives the same numbers. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
