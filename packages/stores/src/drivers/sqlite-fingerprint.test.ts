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
    "sample/things": { fields: { text: { from: "text" } }, filters: { tags: "tags" } },
  },
};

let temporary: TemporaryDirectory;
let directory: string;
beforeEach(async () => {
  temporary = await makeTemporaryDirectory();
  directory = temporary.path;
});
afterEach(() => temporary[Symbol.asyncDispose]());

const batch = makeBatch(
  "sample/things",
  Array.from({ length: 40 }, (_, at) => ({
    id: `r${at}`,
    sequence: 1 + Math.floor(at / 10),
    text: JSON.stringify({ text: `number ${at}`, tags: ["a", `t${at}`], long: 2 ** 40 + at }),
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
  ["a body", `UPDATE "sample/things#1" SET body = jsonb('{"text":"x"}') WHERE id = 'r12'`, [2]],
  ["an id", `UPDATE "sample/things#1" SET id = 'r99' WHERE id = 'r0'`, [1]],
  ["a sequence", `UPDATE "sample/things#1" SET sequence = 4 WHERE id = 'r0'`, [1, 4]],
  ["a row less", `DELETE FROM "sample/things#1" WHERE id = 'r39'`, [4]],
  [
    "a value less in an index on a list",
    `DELETE FROM "sample/things#1#link0" WHERE value = 't25'`,
    [3],
  ],
])("%s changes the fingerprint of its documents, and no other", async (_what, sql, buckets) => {
  await using store = await openSqliteDocumentStore({ directory });
  await store.prepare(scope, documents);
  await store.apply(scope, documents, { batches: [batch], checkpoint: 4 });
  const before = await store.fingerprint?.(scope, documents, 1);
  expect(before?.map(({ bucket, count }) => [bucket, count])).toEqual([
    [1, 10],
    [2, 10],
    [3, 10],
    [4, 10],
  ]);
  expect(await store.fingerprint?.(scope, documents, 1)).toEqual(before);
  behind("document.sqlite", sql);
  expect(changed(before ?? [], (await store.fingerprint?.(scope, documents, 1)) ?? [])).toEqual(
    buckets,
  );
});

test.each([
  ["a text's hash", `UPDATE sample__things__g1_rows SET texts = 'x' WHERE id = 'r12'`, [2]],
  ["a filter's value", `DELETE FROM sample__things__g1_values WHERE value = 't25'`, [3]],
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
