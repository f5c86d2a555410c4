import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { parseFilter } from "@custody/contract/filter";

import { makeBatch } from "../record-batch.ts";
import { scopeFor } from "../testing/scope.ts";
import { describeDrift } from "./conformance-drift.ts";
import { describeFaults } from "./conformance-faults.ts";
import { PLAIN, SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentFixture } from "./conformance-fixture.ts";
import { describeFilters } from "./conformance-filter.ts";
import { describePages } from "./conformance-page.ts";
import { describeValues } from "./conformance-values.ts";
import type { DocumentStore } from "./port.ts";

/** The contract of every document engine. An engine is done when this passes unedited. */
export function describeDocument(engine: string, open: () => Promise<DocumentFixture>): void {
  describe(`document: ${engine}`, () => {
    let fixture: DocumentFixture;
    let store: DocumentStore;
    beforeEach(async () => {
      fixture = await open();
      store = fixture.store;
    });
    afterEach(() => fixture[Symbol.asyncDispose]());

    describeApplying(() => store);
    describeSeparation(() => store);
    describeFilters(() => store);
    describePages(() => store);
    describeValues(
      () => store,
      () => fixture.textOrder ?? "code-point",
    );
    describeDrift(() => fixture);
    describeFaults(() => fixture);
  });
}

async function textOf(store: DocumentStore, id: string): Promise<string | undefined> {
  const query = { filter: parseFilter({}), limit: 1_000 };
  const { documents } = await store.find(TENANT_A, SAMPLES, query);
  return documents.find((document) => document.id === id)?.text;
}

function describeApplying(current: () => DocumentStore): void {
  test("a delivery is found with its sequence and whole text, and moves the checkpoint", async () => {
    const store = current();
    await store.prepare(TENANT_A, SAMPLES);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(0);
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 3, fields: { kind: "x" } }));
    const page = await store.find(TENANT_A, SAMPLES, { filter: parseFilter({}), limit: 10 });
    expect(page).toEqual({
      documents: [{ id: "a", sequence: 3, text: '{"kind":"x"}' }],
      checkpoint: 3,
    });
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(3);
  });

  test("preparing again changes nothing", async () => {
    const store = current();
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 1, fields: {} }));
    await store.prepare(TENANT_A, SAMPLES);
    expect(await idsOf(store, SAMPLES, {})).toEqual(["a"]);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(1);
  });

  test("a collection that was never prepared is empty", async () => {
    const store = current();
    expect(await idsOf(store, SAMPLES, {})).toEqual([]);
    expect(await store.count(TENANT_A, SAMPLES, parseFilter({}))).toBe(0);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(0);
    expect(await store.digest(TENANT_A, SAMPLES, 100)).toEqual([]);
  });

  test("a newer version takes the place of the older, in every index", async () => {
    const store = current();
    const old = { kind: "old", tags: ["t1", "t2"], labels: { owner: "ana" } };
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 1, fields: old }));
    const fields = { kind: "new", tags: ["t2", "t3"], labels: { owner: "bo" } };
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 2, fields }));
    for (const filter of [{ kind: "old" }, { tags: "t1" }, { "labels.owner": "ana" }]) {
      expect(await idsOf(store, SAMPLES, filter)).toEqual([]);
    }
    for (const filter of [{ kind: "new" }, { tags: "t3" }, { "labels.owner": "bo" }]) {
      expect(await idsOf(store, SAMPLES, filter)).toEqual(["a"]);
    }
  });

  test("the same delivery again, and an older one, change nothing", async () => {
    const store = current();
    const first = deliver({ id: "a", sequence: 1, fields: { size: 1 } });
    const second = deliver(
      { id: "a", sequence: 2, fields: { size: 2 } },
      { id: "b", sequence: 2, fields: { size: 9 } },
    );
    await store.apply(TENANT_A, SAMPLES, first);
    await store.apply(TENANT_A, SAMPLES, second);
    await store.apply(TENANT_A, SAMPLES, second);
    await store.apply(TENANT_A, SAMPLES, first);
    expect(await textOf(store, "a")).toBe('{"size":2}');
    expect(await idsOf(store, SAMPLES, {})).toEqual(["a", "b"]);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(2);
  });

  test("a delivery read from beyond the checkpoint is a conflict, one read from before is taken", async () => {
    const store = current();
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 5, fields: { size: 5 } }));
    const late = deliver(
      { id: "a", sequence: 9, fields: { size: 9 } },
      { id: "b", sequence: 9, fields: { size: 9 } },
    );
    await expect(store.apply(TENANT_A, SAMPLES, { ...late, after: 6 })).rejects.toMatchObject({
      name: "StoreError",
      code: "conflict",
    });
    expect(await textOf(store, "a")).toBe('{"size":5}');
    expect(await idsOf(store, SAMPLES, {})).toEqual(["a"]);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(5);
    await store.apply(TENANT_A, SAMPLES, { ...late, after: 4 });
    expect(await textOf(store, "a")).toBe('{"size":9}');
    expect(await idsOf(store, SAMPLES, {})).toEqual(["a", "b"]);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(9);
  });

  test("an older delivery does not bring back what was deleted since", async () => {
    const store = current();
    const put = deliver({ id: "a", sequence: 1, fields: { kind: "x", tags: ["t"] } });
    await store.apply(TENANT_A, SAMPLES, put);
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 2 }));
    await store.apply(TENANT_A, SAMPLES, put);
    expect(await idsOf(store, SAMPLES, {})).toEqual([]);
    expect(await idsOf(store, SAMPLES, { tags: "t" })).toEqual([]);
  });

  test("a row that repair made newer than a delivery stays as it is", async () => {
    const store = current();
    const newer = deliver({ id: "a", sequence: 9, fields: { size: 9 } });
    for (const batch of newer.batches) await store.repair(TENANT_A, SAMPLES, batch);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(0);
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 5, fields: { size: 5 } }));
    expect(await textOf(store, "a")).toBe('{"size":9}');
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 6 }));
    expect(await textOf(store, "a")).toBe('{"size":9}');
  });

  test("deleting what is not there is no error", async () => {
    const store = current();
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "nobody", sequence: 4 }));
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(4);
  });

  test("a delivery with one refused record writes nothing of it", async () => {
    const store = current();
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 1, fields: {} }));
    const bad = makeBatch("lab/sample", [
      { id: "b", sequence: 2, text: "{}" },
      { id: "c", sequence: 2, text: '{"broken":' },
    ]);
    const applied = store.apply(TENANT_A, SAMPLES, { batches: [bad], checkpoint: 2 });
    await expect(applied).rejects.toMatchObject({ name: "StoreError", code: "refused" });
    expect(await idsOf(store, SAMPLES, {})).toEqual(["a"]);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(1);
  });

  test("a delivery of 10,000 records in two batches is wholly there", async () => {
    const store = current();
    const records = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, index) => ({
        id: `id-${String(from + index).padStart(5, "0")}`,
        sequence: 7,
        text: JSON.stringify({
          kind: `k${(from + index) % 10}`,
          tags: ["all"],
          pad: "x".repeat(300),
        }),
      }));
    const batches = [records(0, 5_000), records(5_000, 10_000)].map((part) =>
      makeBatch("lab/sample", part),
    );
    await store.apply(TENANT_A, SAMPLES, { batches, checkpoint: 7 });
    expect(await store.count(TENANT_A, SAMPLES, parseFilter({}))).toBe(10_000);
    expect(await store.count(TENANT_A, SAMPLES, parseFilter({ kind: "k3" }))).toBe(1_000);
    expect(await store.count(TENANT_A, SAMPLES, parseFilter({ tags: "all" }))).toBe(10_000);
    await store.settle(TENANT_A);
    const { collections, bytes } = await store.statistics(TENANT_A);
    expect(collections).toEqual([{ name: "lab/sample", generation: 1, records: 10_000 }]);
    expect(bytes).toBeGreaterThan(3_000_000);
  });
}

function describeSeparation(current: () => DocumentStore): void {
  test("generations lie side by side, and discarding one leaves the other", async () => {
    const store = current();
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 1, fields: { kind: "x" } }));
    await store.apply(TENANT_A, PLAIN, deliver({ id: "b", sequence: 2, fields: { kind: "x" } }));
    await store.discard(TENANT_A, SAMPLES);
    await store.discard(TENANT_A, SAMPLES);
    expect(await idsOf(store, SAMPLES, {})).toEqual([]);
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(0);
    expect(await idsOf(store, PLAIN, {})).toEqual(["b"]);
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "c", sequence: 1, fields: { kind: "x" } }));
    expect(await idsOf(store, SAMPLES, { kind: "x" })).toEqual(["c"]);
  });

  test("a tenant sees nothing of another's, under the same collection and id", async () => {
    const store = current();
    const other = scopeFor("tenant-b");
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 1, fields: { size: 1 } }));
    await store.apply(other, SAMPLES, deliver({ id: "a", sequence: 5, fields: { size: 2 } }));
    const query = { filter: parseFilter({}), limit: 10 };
    expect((await store.find(TENANT_A, SAMPLES, query)).documents).toEqual([
      { id: "a", sequence: 1, text: '{"size":1}' },
    ]);
    expect((await store.find(other, SAMPLES, query)).documents).toEqual([
      { id: "a", sequence: 5, text: '{"size":2}' },
    ]);
    await store.discard(other, SAMPLES);
    expect(await idsOf(store, SAMPLES, {})).toEqual(["a"]);
  });

  test("an owner's documents are apart from the tenant's and from other owners'", async () => {
    const store = current();
    const ana = scopeFor("tenant-a", "ana");
    const path = scopeFor("tenant-a", "../../../ana'; DROP TABLE x; --");
    await store.apply(ana, SAMPLES, deliver({ id: "a", sequence: 1, fields: {} }));
    await store.apply(path, SAMPLES, deliver({ id: "b", sequence: 1, fields: {} }));
    const query = { filter: parseFilter({}), limit: 10 };
    const idsFor = async (scope: typeof ana) =>
      (await store.find(scope, SAMPLES, query)).documents.map(({ id }) => id);
    expect(await idsFor(ana)).toEqual(["a"]);
    expect(await idsFor(path)).toEqual(["b"]);
    expect(await idsFor(TENANT_A)).toEqual([]);
    expect(await idsFor(scopeFor("tenant-b", "ana"))).toEqual([]);
  });

  test("a tenant's name that is none is refused before anything is touched", async () => {
    const store = current();
    const outside = scopeFor("../tenant-b");
    await expect(store.prepare(outside, SAMPLES)).rejects.toMatchObject({ code: "invalid-id" });
  });
}
