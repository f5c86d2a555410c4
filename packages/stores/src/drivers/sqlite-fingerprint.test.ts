import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterEach, beforeEach, expect, test } from "vitest";

import { openSqliteDocumentStore } from "../document/sqlite.ts";
import type { BucketDigest, Collection } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import { openSqliteSearchStore } from "../search/sqlite.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";

const scope = scopeFor("acme");
const documents: Collection<{ readonly indexes: readonly (readonly string[])[] }> = {
  name: "sample/things",
  generation: 1,
  placements: { "sample/things": { indexes: [["tags[]"]] } },
};
const texts = {
  name: "sample/things",
  generation: 1,
  placements: {
    "sample/things": {
      fields: { text: { from: "text" } },
      filters: { tags: "tags", share: "share" },
    },
  },
};

let temporary: TemporaryDirectory;
let directory: string;
beforeEach(async () => {
  temporary = await makeTemporaryDirectory();
  directory = temporary.path;
});
afterEach(() => temporary[Symbol.asyncDispose]());

/** Rows of four entries, each of which begins a block of its own but the first, as SQLite numbers rows from 1. */
const batch = makeBatch(
  "sample/things",
  Array.from({ length: 127 }, (_, at) => ({
    id: `r${at}`,
    sequence: 1 + Math.floor((at + 1) / 32),
    text: JSON.stringify({
      text: `number ${at}`,
      tags: ["a", at === 9 ? 7 : `t${at}`],
      share: at / 7,
    }),
  })),
);

/** Changes a file behind a store's back. */
function behind(file: string, sql: string): void {
  const database = new DatabaseSync(join(directory, "tenants", "acme", file), { defensive: false });
  const { changes } = database.prepare(sql).run();
  database.close();
  expect(Number(changes)).toBeGreaterThan(0);
}

/** The buckets of which two fingerprints differ. */
function changed(before: readonly BucketDigest[], after: readonly BucketDigest[]): number[] {
  const text = (one: BucketDigest | undefined): string => JSON.stringify(one);
  const numbers = new Set([...before, ...after].map(({ bucket }) => bucket));
  const of = (list: readonly BucketDigest[], bucket: number) =>
    list.find((one) => one.bucket === bucket);
  return [...numbers].filter((bucket) => text(of(before, bucket)) !== text(of(after, bucket)));
}

test.each([
  [
    "a body",
    `UPDATE "sample/things#1" SET body = jsonb_set(body, '$.text', 'number 99') WHERE id = 'r35'`,
    [2],
  ],
  ["an id", `UPDATE "sample/things#1" SET id = 'x0' WHERE id = 'r0'`, [1]],
  ["a sequence", `UPDATE "sample/things#1" SET sequence = 4 WHERE id = 'r0'`, [1, 4]],
  ["a row less", `DELETE FROM "sample/things#1" WHERE id = 'r126'`, [4]],
  [
    "a row more, far away from all others",
    `INSERT INTO "sample/things#1" (number, id, sequence, body) VALUES (4611686018427387904, 'x', 3, jsonb('1'))`,
    [3],
  ],
  [
    "a row more, before all others",
    `INSERT INTO "sample/things#1" (number, id, sequence, body) VALUES (-40, 'x', 3, jsonb('1'))`,
    [3],
  ],
  [
    "a value less in an index on a list",
    `DELETE FROM "sample/things#1#link0" WHERE value = 't75'`,
    [3],
  ],
  [
    "a value in an index on a list that is the same number of another type",
    `UPDATE "sample/things#1#link0" SET value = 7.0 WHERE value = 7`,
    [1],
  ],
])("%s changes the fingerprint of its documents, and no other", async (_what, sql, buckets) => {
  await using store = await openSqliteDocumentStore({ directory });
  await store.prepare(scope, documents);
  await store.apply(scope, documents, { batches: [batch], checkpoint: 4 });
  const before = await store.fingerprint?.(scope, documents, 1);
  expect(before?.map(({ bucket, count }) => [bucket, count])).toEqual([
    [1, 31],
    [2, 32],
    [3, 32],
    [4, 32],
  ]);
  expect(await store.fingerprint?.(scope, documents, 1)).toEqual(before);
  behind("document.sqlite", sql);
  expect(changed(before ?? [], (await store.fingerprint?.(scope, documents, 1)) ?? [])).toEqual(
    buckets,
  );
});

test.each([
  ["a text's hash", `UPDATE sample__things__g1_rows SET texts = 'x' WHERE id = 'r35'`, [2]],
  [
    "a value of a filter with several",
    `DELETE FROM sample__things__g1_values WHERE value = 't75'`,
    [3],
  ],
  [
    "the last bit of a filter's number",
    `UPDATE sample__things__g1_rows SET f1 = 0.14285714285714288 WHERE id = 'r1'`,
    [1],
  ],
  [
    "an index's size of a text",
    `UPDATE sample__things__g1_docsize SET sz = x'7f' WHERE id = 1`,
    [1],
  ],
  [
    "a block of the index",
    `UPDATE sample__things__g1_data SET block = x'00' WHERE id = (SELECT max(id) FROM sample__things__g1_data)`,
    [-1],
  ],
])("%s changes the fingerprint of its texts, and no other", async (_what, sql, buckets) => {
  await using store = await openSqliteSearchStore({ directory });
  await store.prepare(scope, texts);
  await store.apply(scope, texts, { batches: [batch], checkpoint: 4 });
  const before = await store.fingerprint?.(scope, texts, 1);
  expect(before?.map(({ bucket }) => bucket)).toEqual([-1, 1, 2, 3, 4]);
  behind("search.sqlite", sql);
  expect(changed(before ?? [], (await store.fingerprint?.(scope, texts, 1)) ?? [])).toEqual(
    buckets,
  );
});

test("text that moves from one column to the next changes the fingerprint", async () => {
  await using store = await openSqliteSearchStore({ directory });
  await store.prepare(scope, texts);
  await store.apply(scope, texts, { batches: [batch], checkpoint: 4 });
  const rows = "sample__things__g1_rows";
  behind("search.sqlite", `UPDATE ${rows} SET texts = 'aaaa bbbb' WHERE id = 'r35'`);
  const before = await store.fingerprint?.(scope, texts, 1);
  behind("search.sqlite", `UPDATE ${rows} SET id = 'r35 aaaa', texts = 'bbbb' WHERE id = 'r35'`);
  expect(changed(before ?? [], (await store.fingerprint?.(scope, texts, 1)) ?? [])).toEqual([2]);
});

test("rows too large to be read together, and rows of far apart entries, have their own fingerprints", async () => {
  await using store = await openSqliteDocumentStore({ directory });
  await store.prepare(scope, documents);
  const text = (size: number): string => JSON.stringify({ text: "x".repeat(size), tags: [] });
  const apart = makeBatch("sample/things", [
    { id: "a", sequence: 1, text: text(5_000_000) },
    { id: "b", sequence: 2, text: text(5_000_000) },
    { id: "c", sequence: 3, text: text(1) },
    { id: "d", sequence: 300, text: text(1) },
    { id: "e", sequence: 900, text: text(1) },
  ]);
  await store.apply(scope, documents, { batches: [apart], checkpoint: 900 });
  for (const [id, sequences] of [
    ["a", [1]],
    ["b", [2, 3]],
    ["d", [300]],
  ] as const) {
    const before = await store.fingerprint?.(scope, documents, 1);
    expect(before?.map(({ bucket, count }) => [bucket, count])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [300, 1],
      [900, 1],
    ]);
    behind("document.sqlite", `UPDATE "sample/things#1" SET id = '${id}2' WHERE id = '${id}'`);
    const after = await store.fingerprint?.(scope, documents, 1);
    expect(changed(before ?? [], after ?? [])).toEqual(sequences);
  }
});

test("fingerprints of narrow buckets add up to those of wide ones", async () => {
  await using store = await openSqliteDocumentStore({ directory });
  await store.prepare(scope, documents);
  const mixed = makeBatch(
    "sample/things",
    Array.from({ length: 40 }, (_, at) => ({
      id: `r${at}`,
      sequence: 1 + Math.floor(at / 10),
      text: JSON.stringify({ tags: [at] }),
    })),
  );
  await store.apply(scope, documents, { batches: [mixed], checkpoint: 4 });
  const narrow = (await store.fingerprint?.(scope, documents, 1)) ?? [];
  const wide = (await store.fingerprint?.(scope, documents, 4)) ?? [];
  const sum = (of: readonly BucketDigest[]): bigint =>
    of.reduce((total, one) => (total + BigInt(`0x${one.sum}`)) % 2n ** 64n, 0n);
  expect(wide.map(({ bucket, count }) => [bucket, count])).toEqual([
    [0, 30],
    [1, 10],
  ]);
  expect(sum(narrow.slice(0, 3))).toBe(sum(wide.slice(0, 1)));
});
