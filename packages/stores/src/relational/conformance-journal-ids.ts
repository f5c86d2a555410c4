import { expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { TENANT_A, commitEntries, contentHashes } from "./conformance-journal-fixture.ts";
import type { JournalStore } from "./journal.ts";

const ID_NAMES = [
  "'; DROP TABLE record_id; --",
  '"id"',
  "a\\b",
  "../../x",
  "[1]",
  "{}",
  "é",
  "e\u0301",
  "\uffee",
  "😀",
  "\u{10ffff}",
  "line\nbreak\u0001",
  "%",
  "_",
  "*",
  "null",
  "0",
  "00",
  "1e3",
  "__proto__",
  "x".repeat(512),
  `${"x".repeat(511)}y`,
];

/** The id index. */
export function describeIdIndex(current: () => JournalStore): void {
  const type = "lab/sample";

  test("an id is found with its entry, line and content hash; others are not", async () => {
    const store = current();
    await commitEntries(store, [{ ids: ["a", "b"] }, { ids: ["a"], type: "lab/other" }]);
    expect(await store.lookup(TENANT_A, type, ["b", "none", "a"])).toEqual([
      { sequence: 1, ordinal: 1, contentHash: contentHashes(["b"]), isDeleted: false },
      undefined,
      { sequence: 1, ordinal: 0, contentHash: contentHashes(["a"]), isDeleted: false },
    ]);
    expect(await store.lookup(TENANT_A, "lab/none", ["a"])).toEqual([undefined]);
    expect(await store.lookup(TENANT_A, type, [])).toEqual([]);
  });

  test("the latest version is found, and the one before any sequence", async () => {
    const store = current();
    await commitEntries(store, [{ ids: ["a", "b"] }]);
    await commitEntries(store, [{ ids: ["b"], operation: "delete" }]);
    await commitEntries(store, [{ ids: ["c", "a"] }]);
    await commitEntries(store, [{ ids: ["b"] }]);
    expect(await store.lookup(TENANT_A, type, ["a", "b", "c"])).toMatchObject([
      { sequence: 3, ordinal: 1, isDeleted: false },
      { sequence: 4, ordinal: 0, isDeleted: false },
      { sequence: 3, ordinal: 0, isDeleted: false },
    ]);
    const keys = [
      { id: "a", sequence: 1 },
      { id: "a", sequence: 2 },
      { id: "a", sequence: 3 },
      { id: "a", sequence: 4 },
      { id: "b", sequence: 4 },
      { id: "b", sequence: 5 },
      { id: "none", sequence: 5 },
    ];
    const before = await store.lookupBefore(TENANT_A, type, keys);
    expect(before.map((at) => at && [at.sequence, at.ordinal, at.isDeleted])).toEqual([
      undefined,
      [1, 0, false],
      [1, 0, false],
      [3, 1, false],
      [2, 0, true],
      [4, 0, false],
      undefined,
    ]);
  });

  test("a deleted id is found as deleted", async () => {
    const store = current();
    await commitEntries(store, [{ ids: ["x", "a"] }, { ids: ["a"], operation: "delete" }]);
    expect(await store.lookup(TENANT_A, type, ["a"])).toMatchObject([
      { sequence: 2, ordinal: 0, isDeleted: true },
    ]);
  });

  test("live and ever-seen ids are counted through puts, changes and deletions", async () => {
    const store = current();
    expect(await store.count(TENANT_A, type)).toEqual({ live: 0, total: 0 });
    await commitEntries(store, [{ ids: ["a", "b", "c"] }, { ids: ["a"], type: "lab/other" }]);
    expect(await store.count(TENANT_A, type)).toEqual({ live: 3, total: 3 });
    await commitEntries(store, [{ ids: ["b", "a", "never"], operation: "delete" }]);
    expect(await store.count(TENANT_A, type)).toEqual({ live: 1, total: 4 });
    await commitEntries(store, [{ ids: ["b"], operation: "delete" }]);
    expect(await store.count(TENANT_A, type)).toEqual({ live: 1, total: 4 });
    await commitEntries(store, [{ ids: ["a", "c", "d"] }]);
    expect(await store.count(TENANT_A, type)).toEqual({ live: 3, total: 5 });
    expect(await store.count(scopeFor("tenant-b"), type)).toEqual({ live: 0, total: 0 });
  });

  test("ids of any characters are told apart", async () => {
    const store = current();
    await commitEntries(store, [{ ids: ID_NAMES }]);
    const found = await store.lookup(TENANT_A, type, ID_NAMES);
    expect(found.map((at) => at?.ordinal)).toEqual(ID_NAMES.map((_, index) => index));
    const others = ["É", "E\u0301", "\uffef", "x", "1000", "%%", "NULL", "x".repeat(510)];
    expect(await store.lookup(TENANT_A, type, others)).toEqual(others.map(() => undefined));
    // In another order as UTF-8 than as UTF-16.
    expect(await store.lookup(TENANT_A, type, ["\uffee", "😀"])).toMatchObject([
      { ordinal: 8 },
      { ordinal: 9 },
    ]);
    expect(await store.lookup(TENANT_A, type, ["\u{10ffff}", "a"])).toMatchObject([
      { ordinal: 10 },
      undefined,
    ]);
  });

  test("an entry of 25,000 ids is found id by id", async () => {
    const store = current();
    const ids = Array.from({ length: 25_000 }, (_, index) => `2026-01-05-${index * 7}`);
    await commitEntries(store, [{ ids }]);
    expect(await store.count(TENANT_A, type)).toEqual({ live: 25_000, total: 25_000 });
    const asked = [0, 9_999, 10_000, 24_999].map((index) => ids[index] ?? "");
    expect(await store.lookup(TENANT_A, type, asked)).toEqual(
      [0, 9_999, 10_000, 24_999].map((ordinal, index) => ({
        sequence: 1,
        ordinal,
        contentHash: contentHashes([asked[index] ?? ""]),
        isDeleted: false,
      })),
    );
    const all = await store.lookup(TENANT_A, type, ids);
    expect(all.every((at, index) => at?.ordinal === index)).toBe(true);
  });

  test("an entry whose hashes do not fit its ids is refused", async () => {
    const store = current();
    const commit = commitEntries(store, [{ ids: ["a", "b"], contentHashes: contentHashes(["a"]) }]);
    await expect(commit).rejects.toMatchObject({ name: "StoreError", code: "refused" });
    expect(await store.head(TENANT_A)).toBeUndefined();
  });

  test("references are checked in any tenant, deleted ones as absent", async () => {
    const store = current();
    const system = scopeFor("_system");
    await commitEntries(store, [{ ids: ["cve-1", "cve-2"] }], { scope: system });
    await commitEntries(store, [{ ids: ["cve-2"], operation: "delete" }], { scope: system });
    const transaction = await store.begin(TENANT_A);
    const asked = ["cve-2", "cve-1", "cve-3"];
    expect(await transaction.exists("_system", type, asked)).toEqual([false, true, false]);
    expect(await transaction.exists("tenant-a", type, asked)).toEqual([false, false, false]);
    expect(await transaction.exists("nobody", type, asked)).toEqual([false, false, false]);
    await transaction.rollback();
  });
}
