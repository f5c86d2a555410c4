import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { describeGraphContent } from "./conformance-content.ts";
import { describeGraphFaults } from "./conformance-faults.ts";
import { TestJournal, ask, collection, scope, storedRows } from "./conformance-fixture.ts";
import type { CurrentGraph, GraphFixture, OpenGraph } from "./conformance-fixture.ts";
import { describeGraphQuery } from "./conformance-query.ts";
import { describeGraphSearch } from "./conformance-search.ts";

/** The contract of every graph engine. An engine is done when this passes unedited. */
export function describeGraph(engine: string, open: OpenGraph): void {
  describe(`graph: ${engine}`, () => {
    let fixture: GraphFixture;
    beforeEach(async () => {
      fixture = await open();
      await fixture.store.prepare(scope, collection);
    });
    afterEach(() => fixture[Symbol.asyncDispose]());
    const current = () => ({ fixture, store: fixture.store });

    describe("writing", () => describeWriting(current));
    describe("taking back", () => describeTakingBack(current));
    describe("separation", () => describeSeparation(current));
    describe("content", () => describeGraphContent(current));
    describe("search", () => describeGraphSearch(current));
    describe("query", () => describeGraphQuery(current));
    describe("faults", () => describeGraphFaults(current));
  });
}

function describeWriting(current: CurrentGraph): void {
  test("a record's nodes and edges are there, each counted by the records that name it", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [
      { type: "test/host", id: "1", fields: { name: "a", os: "linux", services: ["ssh", "web"] } },
      { type: "test/host", id: "2", fields: { name: "b", services: ["ssh", "ssh"] } },
    ]);
    expect(await ask(store, "MATCH (n:Host) RETURN n.id, n.os, n._records ORDER BY n.id")).toEqual([
      ["a", "linux", 1],
      ["b", null, 1],
    ]);
    expect(await ask(store, "MATCH (n:Service) RETURN n.id, n._records ORDER BY n.id")).toEqual([
      ["ssh", 2],
      ["web", 1],
    ]);
    expect(
      await ask(store, "MATCH (a)-[k:RUNS]->(b) RETURN a.id, b.id, k._records ORDER BY a.id, b.id"),
    ).toEqual([
      ["a", "ssh", 1],
      ["a", "web", 1],
      ["b", "ssh", 1],
    ]);
    expect(await store.checkpoint(scope, collection)).toBe(2);
  });

  test("a node named only by the end of an edge exists without properties", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [{ type: "test/link", id: "1", fields: { from: "x", to: "y" } }]);
    expect(await ask(store, "MATCH (n:Host) RETURN n ORDER BY n.id")).toEqual([
      [{ label: "Host", id: "x", properties: {} }],
      [{ label: "Host", id: "y", properties: {} }],
    ]);
  });

  test("where both sides step through one array, what stands in one element is joined", async () => {
    const { store } = current();
    const journal = new TestJournal();
    const flaws = [
      { id: "f1", score: 9.5, hosts: ["a", "b"] },
      { id: "f2", score: 3, hosts: ["c"] },
      { id: "f3", hosts: [] },
    ];
    await journal.deliver(store, [{ type: "test/finding", id: "1", fields: { tool: "t", flaws } }]);
    expect(await ask(store, "MATCH (n:Flaw) RETURN n.id, n.score, n.tool ORDER BY n.id")).toEqual([
      ["f1", 9.5, "t"],
      ["f2", 3, "t"],
      ["f3", null, "t"],
    ]);
    expect(
      await ask(store, "MATCH (a:Flaw)-[:AFFECTS]->(b) RETURN a.id, b.id ORDER BY a.id, b.id"),
    ).toEqual([
      ["f1", "a"],
      ["f1", "b"],
      ["f2", "c"],
    ]);
  });

  test("a property is what the record with the highest sequence said, and silence says nothing", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [
      { type: "test/host", id: "1", fields: { name: "a", os: "old", cores: 4 } },
      { type: "test/host", id: "2", fields: { name: "a", os: "new" } },
      { type: "test/link", id: "3", fields: { from: "a", to: "a" } },
    ]);
    expect(await ask(store, "MATCH (n:Host) RETURN n.os, n.cores, n._records")).toEqual([
      ["new", 4, 3],
    ]);
  });

  test("a repeated delivery, an older one, and the known part of one that overlaps change nothing", async () => {
    const { store } = current();
    const journal = new TestJournal();
    const first = { type: "test/link", id: "1", fields: { from: "a", to: "b" } } as const;
    const second = { type: "test/link", id: "2", fields: { from: "a", to: "c" } } as const;
    await journal.deliver(store, [first]);
    await journal.deliver(store, [second]);
    const before = await storedRows(store);
    await new TestJournal().deliver(store, [first]);
    await new TestJournal().deliver(store, [first, second]);
    expect(await storedRows(store)).toEqual(before);
    expect(await store.checkpoint(scope, collection)).toBe(2);
    const third = { type: "test/link", id: "3", fields: { from: "a", to: "d" } } as const;
    await new TestJournal().deliver(store, [first, second, third]);
    expect(
      await ask(store, "MATCH ()-[k:LINKS]->(b) RETURN b.id, k._records ORDER BY b.id"),
    ).toEqual([
      ["b", 1],
      ["c", 1],
      ["d", 1],
    ]);
    expect(await store.checkpoint(scope, collection)).toBe(3);
  });

  test("a delivery read from elsewhere than where the graph stands is a conflict", async () => {
    const { store } = current();
    await store.apply(scope, collection, { batches: [], checkpoint: 3, after: 0 });
    for (const after of [2, 4]) {
      await expect(
        store.apply(scope, collection, { batches: [], checkpoint: 5, after }),
      ).rejects.toMatchObject({ name: "StoreError", code: "conflict", retryable: false });
    }
    await store.apply(scope, collection, { batches: [], checkpoint: 2, after: 1 });
    await store.apply(scope, collection, { batches: [], checkpoint: 3, after: 0 });
    expect(await store.checkpoint(scope, collection)).toBe(3);
    const appendOnly = { ...collection, isAppendOnly: true };
    await store.apply(scope, appendOnly, { batches: [], checkpoint: 5, after: 2 });
    expect(await store.checkpoint(scope, collection)).toBe(5);
  });

  test("a delivery without records moves the checkpoint, and survives reopening", async () => {
    const { fixture, store } = current();
    await store.apply(scope, collection, { batches: [], checkpoint: 41 });
    const reopened = await fixture.reopen();
    expect(await reopened.checkpoint(scope, collection)).toBe(41);
  });

  test("ten thousand records in one delivery are all there", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliverBulk(
      store,
      "test/host",
      Array.from({ length: 10_000 }, (_, index) =>
        JSON.stringify({ name: `h${index}`, cores: index, services: [`s${index % 100}`] }),
      ),
    );
    expect(await ask(store, "MATCH (n:Host) RETURN count(*), sum(n.cores)")).toEqual([
      [10_000, 49_995_000],
    ]);
    expect(await ask(store, "MATCH (n:Service) RETURN count(*), sum(n._records)")).toEqual([
      [100, 10_000],
    ]);
    expect(await ask(store, "MATCH (:Host)-[k:RUNS]->(:Service) RETURN count(*)")).toEqual([
      [10_000],
    ]);
    expect(await store.digest(scope, collection, 1_000)).toEqual(journal.expectedDigest());
    await store.settle(scope);
    const { collections, bytes } = await store.statistics(scope);
    expect(collections).toEqual([{ name: "graph", generation: 1, records: 20_100 }]);
    expect(bytes).toBeGreaterThan(0);
  });

  test("a placement added later adds its labels to the same graph", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [{ type: "test/link", id: "1", fields: { from: "a", to: "b" } }]);
    const grown = {
      ...collection,
      placements: {
        ...collection.placements,
        "test/owner": {
          nodes: [
            { label: "Host", id: "host", properties: { room: { type: "text", from: "room" } } },
          ],
          edges: [
            {
              type: "LINKS",
              from: { label: "Person", id: "person" },
              to: { label: "Host", id: "host" },
            },
          ],
        },
      },
    } as const;
    await store.prepare(scope, grown);
    await store.prepare(scope, grown);
    const text = JSON.stringify({ person: "ana", host: "a", room: "r1" });
    await journal.deliver(store, [{ type: "test/link", id: "1", fields: { from: "a", to: "c" } }]);
    const { makeBatch } = await import("../record-batch.ts");
    await store.apply(scope, grown, {
      batches: [makeBatch("test/owner", [{ id: "9", sequence: 3, text }])],
      checkpoint: 3,
    });
    const request = {
      statement: "MATCH (a)-[:LINKS]->(b:Host) RETURN a.id, b.id, a.room, b.room ORDER BY a.id",
      rowsMax: 10,
      timeMs: 10_000,
    };
    expect((await store.query(scope, grown, request)).rows).toEqual([
      ["a", "c", "r1", null],
      ["ana", "a", null, "r1"],
    ]);
  });

  test.each([
    ["a label", { nodes: [{ label: "a`b", id: "x" }] }],
    ["an empty label", { nodes: [{ label: "", id: "x" }] }],
    ["a bookkeeping label", { nodes: [{ label: "_custody", id: "x" }] }],
    ["a long label", { nodes: [{ label: "L".repeat(64), id: "x" }] }],
    ["a property", { nodes: [{ label: "L", id: "x", properties: { "p) ": text("x") } }] }],
    ["a property named id", { nodes: [{ label: "L", id: "x", properties: { id: text("x") } }] }],
    [
      "properties that differ in case",
      { nodes: [{ label: "L", id: "x", properties: { p: text("x"), P: text("y") } }] },
    ],
    [
      "an edge type",
      {
        nodes: [],
        edges: [{ type: "T]->() //", from: { label: "A", id: "a" }, to: { label: "B", id: "b" } }],
      },
    ],
    [
      "an edge type that is a label",
      {
        nodes: [],
        edges: [{ type: "host", from: { label: "Host", id: "a" }, to: { label: "B", id: "b" } }],
      },
    ],
  ])("%s that is no identifier is refused", async (_what, placement) => {
    const { store } = current();
    await expect(
      store.prepare(scope, { ...collection, placements: { "test/bad": placement } }),
    ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
  });

  test("a label of 63 characters is an identifier", async () => {
    const { store } = current();
    const label = `L${"_9".repeat(31)}`;
    const long = { ...collection, placements: { "test/long": { nodes: [{ label, id: "x" }] } } };
    await store.prepare(scope, long);
    const statement = `MATCH (n:${label}) RETURN count(*)`;
    const { rows } = await store.query(scope, long, { statement, rowsMax: 1, timeMs: 10_000 });
    expect(rows).toEqual([[0]]);
  });

  test("repairing single rows is refused, as records share them", async () => {
    const { store } = current();
    const { makeBatch } = await import("../record-batch.ts");
    await expect(store.repair(scope, collection, makeBatch("test/link", []))).rejects.toMatchObject(
      { name: "StoreError", code: "unsupported" },
    );
  });
}

function text(from: string): { readonly type: "text"; readonly from: string } {
  return { type: "text", from };
}

function describeTakingBack(current: CurrentGraph): void {
  test("nodes and edges go with the last record that names them, not before", async () => {
    const { store } = current();
    const journal = new TestJournal();
    const fields = { from: "a", to: "b" };
    await journal.deliver(store, [
      { type: "test/link", id: "1", fields },
      { type: "test/link", id: "2", fields },
      { type: "test/host", id: "3", fields: { name: "a", os: "linux" } },
    ]);
    await journal.deliver(store, [{ type: "test/link", id: "1" }]);
    expect(await ask(store, "MATCH ()-[k:LINKS]->() RETURN k._records")).toEqual([[1]]);
    await journal.deliver(store, [{ type: "test/link", id: "2" }]);
    expect(await ask(store, "MATCH ()-[k:LINKS]->() RETURN k._records")).toEqual([]);
    expect(await ask(store, "MATCH (n:Host) RETURN n.id, n.os, n._records")).toEqual([
      ["a", "linux", 1],
    ]);
    await journal.deliver(store, [{ type: "test/host", id: "3" }]);
    expect(await storedRows(store)).toEqual([]);
  });

  test("a changed record moves its edges and takes its old properties along", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [
      { type: "test/host", id: "1", fields: { name: "a", os: "x", services: ["ssh"] } },
    ]);
    await journal.deliver(store, [
      { type: "test/host", id: "1", fields: { name: "a", cores: 2, services: ["web"] } },
    ]);
    expect(
      await ask(store, "MATCH (a)-[k]->(b) RETURN a.id, a.os, a.cores, b.id, k._records"),
    ).toEqual([["a", null, 2, "web", 1]]);
    expect(await ask(store, "MATCH (n:Service) RETURN n.id")).toEqual([["web"]]);
  });

  test("made, changed and deleted within one delivery leaves nothing", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [
      { type: "test/host", id: "1", fields: { name: "a", services: ["s"] } },
      { type: "test/host", id: "1", fields: { name: "b", services: ["s"] } },
      { type: "test/host", id: "1" },
    ]);
    expect(await storedRows(store)).toEqual([]);
    expect(await store.checkpoint(scope, collection)).toBe(3);
  });

  test("when the record that set a property goes, the property is what the latest of the others said", async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [
      { type: "test/host", id: "1", fields: { name: "a", os: "one" } },
      { type: "test/host", id: "2", fields: { name: "a", os: "two" } },
      { type: "test/host", id: "3", fields: { name: "a", os: "three" } },
    ]);
    const os = async (): Promise<unknown> =>
      (await ask(store, "MATCH (n:Host) RETURN n.os"))[0]?.[0];
    await journal.deliver(store, [{ type: "test/host", id: "2" }]);
    expect(await os()).toBe("three");
    await journal.deliver(store, [{ type: "test/host", id: "3" }]);
    expect(await os()).toBe("one");
    await journal.deliver(store, [{ type: "test/link", id: "4", fields: { from: "a", to: "b" } }]);
    await journal.deliver(store, [{ type: "test/host", id: "1" }]);
    expect(await os()).toBeNull();
  });
}

function describeSeparation(current: CurrentGraph): void {
  test("another tenant sees nothing of the graph, and changes nothing of it", async () => {
    const { store } = current();
    const other = scopeFor("tenant-b");
    const journal = new TestJournal();
    await journal.deliver(store, [{ type: "test/link", id: "1", fields: { from: "a", to: "b" } }]);
    await store.prepare(other, collection);
    expect(await store.checkpoint(other, collection)).toBe(0);
    const request = { statement: "MATCH (n) RETURN n", rowsMax: 10, timeMs: 10_000 };
    expect((await store.query(other, collection, request)).rows).toEqual([]);
    await store.discard(other, collection);
    expect(await storedRows(store)).toHaveLength(3);
  });

  test("generations stand beside each other; discarding one leaves the other", async () => {
    const { store } = current();
    const next = { ...collection, generation: 2 };
    const journal = new TestJournal();
    await journal.deliver(store, [{ type: "test/link", id: "1", fields: { from: "a", to: "b" } }]);
    await store.prepare(scope, next);
    expect(await store.checkpoint(scope, next)).toBe(0);
    await store.apply(scope, next, { batches: [], checkpoint: 7 });
    const { collections } = await store.statistics(scope);
    expect(new Set(collections)).toEqual(
      new Set([
        { name: "graph", generation: 1, records: 3 },
        { name: "graph", generation: 2, records: 0 },
      ]),
    );
    await store.discard(scope, collection);
    expect(await store.checkpoint(scope, collection)).toBe(0);
    expect(await store.checkpoint(scope, next)).toBe(7);
  });

  test("a discarded graph is empty, and can be built again at once and after reopening", async () => {
    const { fixture, store } = current();
    const link = { type: "test/link", id: "1", fields: { from: "a", to: "b" } } as const;
    for (let round = 0; round < 3; round += 1) {
      await new TestJournal().deliver(store, [link]);
      expect(await storedRows(store)).toHaveLength(3);
      await store.discard(scope, collection);
      await store.discard(scope, collection);
      expect(await storedRows(store)).toEqual([]);
      await store.prepare(scope, collection);
      expect(await store.checkpoint(scope, collection)).toBe(0);
    }
    await new TestJournal().deliver(store, [link]);
    const reopened = await fixture.reopen();
    expect(await storedRows(reopened)).toHaveLength(3);
  });

  test("what was never prepared is empty to read", async () => {
    const { store } = current();
    const other = scopeFor("tenant-c");
    expect(await store.checkpoint(other, collection)).toBe(0);
    expect(await store.digest(other, collection, 10)).toEqual([]);
    expect((await store.statistics(other)).collections).toEqual([]);
    const node = { label: "Host", id: "a" };
    const query = { node, direction: "both", limit: 10 } as const;
    expect(await store.neighbours(other, collection, query)).toEqual({
      neighbours: [],
      checkpoint: 0,
    });
    await store.discard(other, collection);
  });
}
