import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { describeJournalFaults } from "./conformance-journal-faults.ts";
import {
  TENANT_A,
  commitAfter,
  commitEntries,
  endWith,
  hashOf,
} from "./conformance-journal-fixture.ts";
import type { JournalFixture } from "./conformance-journal-fixture.ts";
import { describeIdIndex } from "./conformance-journal-ids.ts";
import { describeJournalState } from "./conformance-journal-state.ts";
import { describeJournalTables } from "./conformance-journal-tables.ts";
import type { JournalStore } from "./journal.ts";

/** The contract of every journal engine. An engine is done when this passes unedited. */
export function describeJournal(engine: string, open: () => Promise<JournalFixture>): void {
  describe(`journal: ${engine}`, () => {
    let fixture: JournalFixture;
    beforeEach(async () => {
      fixture = await open();
    });
    afterEach(() => fixture[Symbol.asyncDispose]());
    const store = (): JournalStore => fixture.store;

    describeEntries(store);
    describeTransactions(store);
    describeLocking(store);
    describeIdIndex(store);
    describeJournalState(store);
    describeJournalTables(store);
    describeJournalFaults(() => fixture);
  });
}

const CONFLICT = { name: "StoreError", code: "conflict", retryable: false };

function describeEntries(current: () => JournalStore): void {
  test("a tenant without a commit has no head, no entries and no numbers", async () => {
    const store = current();
    expect(await store.head(TENANT_A)).toBeUndefined();
    expect(await store.tenants()).toEqual([]);
    expect(await store.entries(TENANT_A, { after: 0, limit: 10 })).toEqual([]);
    expect(await store.entry(TENANT_A, 1)).toBeUndefined();
    expect(await store.lastSequence(TENANT_A, ["lab/sample"])).toBe(0);
    expect(await store.treeHead(TENANT_A)).toBeUndefined();
  });

  test("an entry comes back as it was appended, with head, tree and lines", async () => {
    const store = current();
    const lines = Uint8Array.of(0, 1, 255);
    await commitEntries(store, [{ ids: ["a", "b"], lines, commit: "c1" }]);
    expect(await store.entry(TENANT_A, 1)).toEqual({
      sequence: 1,
      hash: hashOf("entry 1"),
      bytes: hashOf("bytes 1"),
      commit: "c1",
      type: "lab/sample",
      operation: "put",
      count: 2,
      receivedAt: 1_001,
      location: { kind: "inline" },
    });
    expect(await store.head(TENANT_A)).toEqual({
      timeline: "timeline-1",
      sequence: 1,
      lastEntryHash: hashOf("entry 1"),
      lastReceivedAt: 1_001,
      frontier: hashOf("frontier 1"),
    });
    expect(await store.inlineLines(TENANT_A, 1)).toEqual(lines);
    expect(await store.inlineLines(TENANT_A, 2)).toBeUndefined();
    expect(await store.treeHead(TENANT_A)).toEqual(hashOf("tree 1"));
    const nodes = [
      { level: 0, index: 0 },
      { level: 1, index: 0 },
    ];
    expect(await store.treeNodes(TENANT_A, nodes)).toEqual([hashOf("entry 1"), undefined]);
  });

  test("entries are listed behind a sequence, in order, of some types or all", async () => {
    const store = current();
    const types = ["lab/a", "lab/b", "lab/c", "lab/a", "lab/b"];
    await commitEntries(
      store,
      types.map((type) => ({ type })),
    );
    const sequences = async (after: number, limit: number, type?: readonly string[]) => {
      const range = type === undefined ? { after, limit } : { after, limit, type };
      return (await store.entries(TENANT_A, range)).map(({ sequence }) => sequence);
    };
    expect(await sequences(0, 10)).toEqual([1, 2, 3, 4, 5]);
    expect(await sequences(2, 2)).toEqual([3, 4]);
    expect(await sequences(5, 2)).toEqual([]);
    expect(await sequences(0, 10, ["lab/b", "lab/a", "lab/b"])).toEqual([1, 2, 4, 5]);
    expect(await sequences(1, 2, ["lab/b", "lab/a"])).toEqual([2, 4]);
    expect(await sequences(0, 10, ["lab/none"])).toEqual([]);
    expect(await store.lastSequence(TENANT_A, ["lab/a", "lab/c"])).toBe(4);
    expect(await store.lastSequence(TENANT_A, ["lab/none"])).toBe(0);
  });

  test("tree heads are found by size, and listed behind a size", async () => {
    const store = current();
    for (let commit = 0; commit < 3; commit++) await commitEntries(store, [{}, {}]);
    expect(await store.treeHead(TENANT_A, 4)).toEqual(hashOf("tree 4"));
    expect(await store.treeHead(TENANT_A, 3)).toBeUndefined();
    expect(await store.treeHead(TENANT_A)).toEqual(hashOf("tree 6"));
    expect(await store.treeHeads(TENANT_A, 2, 10)).toEqual([hashOf("tree 4"), hashOf("tree 6")]);
    expect(await store.treeHeads(TENANT_A, 0, 1)).toEqual([hashOf("tree 2")]);
  });

  test("each tenant has a journal of its own", async () => {
    const store = current();
    const other = scopeFor("tenant-b");
    await commitEntries(store, [{ ids: ["a"] }, {}]);
    await commitEntries(store, [{ ids: ["a"], type: "lab/other" }], { scope: other });
    await store.putState(scopeFor("tenant-c"), "only", "state");
    expect((await store.head(TENANT_A))?.sequence).toBe(2);
    expect((await store.head(other))?.sequence).toBe(1);
    expect(await store.entries(other, { after: 0, limit: 10 })).toHaveLength(1);
    expect(await store.lookup(other, "lab/sample", ["a"])).toEqual([undefined]);
    expect(await store.tenants()).toEqual(["tenant-a", "tenant-b"]);
  });

  test("entries that do not follow the head are refused, and leave no trace", async () => {
    const store = current();
    await commitEntries(store, [{ ids: ["a"] }]);
    const gap = commitAfter({ ...commitAfter(undefined, [{}]).head, sequence: 2 }, [
      { ids: ["b"] },
    ]);
    const again = commitAfter(undefined, [{ ids: ["b"] }]);
    const wrongHead = { ...commitAfter(gap.head, [{}]), entries: [] };
    for (const commit of [gap, again, wrongHead]) {
      const transaction = await store.begin(TENANT_A);
      await expect(transaction.append(commit)).rejects.toMatchObject(CONFLICT);
      await transaction.commit();
    }
    expect((await store.head(TENANT_A))?.sequence).toBe(1);
    expect(await store.lookup(TENANT_A, "lab/sample", ["b"])).toEqual([undefined]);
    expect(await store.bytes()).toBeGreaterThan(0);
    await store.check();
  });
}

function describeTransactions(current: () => JournalStore): void {
  test("nothing of a transaction is read before it commits, all of it after", async () => {
    const store = current();
    await commitEntries(store, [{ ids: ["a"] }]);
    const transaction = await store.begin(TENANT_A);
    await transaction.append(commitAfter(transaction.head, [{ ids: ["b"] }]));
    expect(await store.lookup(TENANT_A, "lab/sample", ["b"])).toEqual([undefined]);
    expect(await store.entries(TENANT_A, { after: 1, limit: 10 })).toEqual([]);
    expect((await store.head(TENANT_A))?.sequence).toBe(1);
    expect(await transaction.lookup("lab/sample", ["b"])).toMatchObject([{ sequence: 2 }]);
    await transaction.commit();
    expect(await store.lookup(TENANT_A, "lab/sample", ["b"])).toMatchObject([{ sequence: 2 }]);
    expect((await store.head(TENANT_A))?.sequence).toBe(2);
  });

  test("a rollback takes everything back, new tenants, types and tables too", async () => {
    const store = current();
    const transaction = await store.begin(TENANT_A);
    const table = {
      table: "lab__user",
      columns: [{ name: "mail", type: "text" }],
      unique: [["mail"]],
      rows: [{ id: "u", sequence: 1, values: ["m"] }],
    };
    await transaction.append(
      commitAfter(undefined, [{ ids: ["a"], type: "lab/new" }], { tables: [table] }),
    );
    await transaction.rollback();
    expect(await store.tenants()).toEqual([]);
    expect(await store.lookup(TENANT_A, "lab/new", ["a"])).toEqual([undefined]);
    expect(await store.tableRows(TENANT_A, "lab__user", { limit: 10 })).toEqual([]);
    await commitEntries(store, [{ ids: ["a"], type: "lab/other" }], {
      scope: scopeFor("tenant-b"),
    });
    await commitEntries(store, [{ ids: ["a"], type: "lab/new" }], { tables: [table] });
    expect(await store.lookup(TENANT_A, "lab/new", ["a"])).toMatchObject([{ sequence: 1 }]);
    expect(await store.lookup(TENANT_A, "lab/other", ["a"])).toEqual([undefined]);
    expect(await store.tableRows(TENANT_A, "lab__user", { limit: 10 })).toHaveLength(1);
  });

  test("one failing commit of a group leaves the others as they are", async () => {
    const store = current();
    await store.putIntent(TENANT_A, { segmentId: "s1", blobKey: "k1", expiresAt: 9_000 });
    const transaction = await store.begin(TENANT_A);
    const first = commitAfter(transaction.head, [{ ids: ["a"] }]);
    await transaction.append(first);
    const failing = commitAfter(
      first.head,
      [{ ids: ["b", "c"], type: "lab/new", lines: hashOf("b") }],
      {
        intents: ["s1", "gone"],
        receipt: { kind: "import", key: "k", receipt: "failed" },
      },
    );
    await expect(transaction.append(failing)).rejects.toMatchObject(CONFLICT);
    expect(await transaction.lookup("lab/new", ["b"])).toEqual([undefined]);
    const second = commitAfter(first.head, [{ ids: ["d"], type: "lab/later" }], {
      intents: ["s1"],
    });
    await transaction.append(second);
    await transaction.commit();
    expect((await store.entries(TENANT_A, { after: 0, limit: 9 })).map(({ type }) => type)).toEqual(
      ["lab/sample", "lab/later"],
    );
    expect(await store.lookup(TENANT_A, "lab/new", ["b", "c"])).toEqual([undefined, undefined]);
    expect(await store.count(TENANT_A, "lab/new")).toEqual({ live: 0, total: 0 });
    expect(await store.receipt(TENANT_A, "import", "k")).toBeUndefined();
    expect(await store.inlineLines(TENANT_A, 2)).toBeUndefined();
  });

  test("a transaction that has ended takes nothing more", async () => {
    const store = current();
    for (const ending of ["commit", "rollback"] as const) {
      const transaction = await store.begin(TENANT_A);
      await transaction[ending]();
      const commit = commitAfter(transaction.head, [{}]);
      const refusal = { name: "StoreError", code: "refused" };
      await expect(transaction.append(commit)).rejects.toMatchObject(refusal);
      await expect(transaction.lookup("lab/sample", ["a"])).rejects.toMatchObject(refusal);
      await expect(transaction.commit()).rejects.toMatchObject(refusal);
    }
    expect(await store.head(TENANT_A)).toBeUndefined();
  });

  test("arguments and answers are plain data that can be cloned", async () => {
    const store = current();
    const commit = structuredClone(commitAfter(undefined, [{ ids: ["a"], lines: hashOf("l") }]));
    const transaction = await store.begin(structuredClone(TENANT_A));
    await endWith(transaction, () => transaction.append(commit));
    const entries = await store.entries(TENANT_A, { after: 0, limit: 9 });
    const positions = await store.lookup(TENANT_A, "lab/sample", ["a"]);
    expect(structuredClone(entries)).toEqual(entries);
    expect(structuredClone(positions)).toEqual(positions);
    expect(structuredClone(await store.head(TENANT_A))).toEqual(await store.head(TENANT_A));
  });
}

function describeLocking(current: () => JournalStore): void {
  test("sequences have no gap and no double, however many begin at once", async () => {
    const store = current();
    const heads = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        commitEntries(store, [{ ids: [`a${index}`] }, { ids: [`b${index}`] }]),
      ),
    );
    expect(heads.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 40 }, (_, index) => (index + 1) * 2),
    );
    const entries = await store.entries(TENANT_A, { after: 0, limit: 100 });
    expect(entries.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 80 }, (_, index) => index + 1),
    );
  });

  test("a rolled back transaction among many leaves no gap", async () => {
    const store = current();
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const transaction = await store.begin(TENANT_A);
        await transaction.append(commitAfter(transaction.head, [{ ids: [`${index}`] }]));
        await (index % 3 === 0 ? transaction.rollback() : transaction.commit());
      }),
    );
    const entries = await store.entries(TENANT_A, { after: 0, limit: 100 });
    expect(entries.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("who waits for the lock past the deadline gives up, and disturbs nobody", async () => {
    const store = current();
    const holder = await store.begin(TENANT_A);
    const unavailable = { name: "StoreError", code: "unavailable", retryable: true };
    const late = { ...TENANT_A, deadline: Date.now() + 30 };
    const past = { ...TENANT_A, deadline: Date.now() - 1 };
    const patient = store.begin(TENANT_A);
    await expect(store.begin(late)).rejects.toMatchObject(unavailable);
    await expect(store.begin(past)).rejects.toMatchObject(unavailable);
    await expect(store.putState(late, "n", "v")).rejects.toMatchObject(unavailable);
    await holder.append(commitAfter(holder.head, [{}]));
    await holder.commit();
    const next = await patient;
    expect(next.head?.sequence).toBe(1);
    await next.rollback();
    await store.putState(TENANT_A, "n", "v");
    expect(await store.state(TENANT_A, "n")).toBe("v");
  });

  test("reads go on while a transaction is open", async () => {
    const store = current();
    await commitEntries(store, [{ ids: ["a"] }]);
    const transaction = await store.begin(TENANT_A);
    expect(await store.lookup(TENANT_A, "lab/sample", ["a"])).toMatchObject([{ ordinal: 0 }]);
    await store.check();
    await transaction.rollback();
  });
}
