import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterEach, beforeEach, expect, test } from "vitest";

import type { Collection } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TablePlacement } from "./port.ts";
import { openSqliteRelational } from "./sqlite.ts";

const scope = scopeFor("acme");
const TYPE = "sample/things";
const THINGS: Collection<TablePlacement> = {
  name: TYPE,
  generation: 1,
  placements: {
    [TYPE]: {
      table: {
        table: "things",
        // A name that SQLite also has for a row's number.
        columns: { rowid: { type: "text", from: "tag" }, share: { type: "real", from: "share" } },
      },
    },
  },
};
const TOTALS: Collection<TablePlacement> = {
  name: "sample/totals",
  generation: 1,
  placements: {
    [TYPE]: {
      summary: {
        name: "sample/totals",
        version: 1,
        title: "Things by tag.",
        of: TYPE,
        key: { tag: "tag" },
        measures: {
          things: { count: true },
          share: { sum: "share" },
          owners: { countBy: "owner" },
        },
      },
    },
  },
};

let temporary: TemporaryDirectory;
beforeEach(async () => {
  temporary = await makeTemporaryDirectory();
});
afterEach(() => temporary[Symbol.asyncDispose]());

const batch = makeBatch(
  TYPE,
  Array.from({ length: 60 }, (_, at) => ({
    id: `r${at}`,
    sequence: 1 + Math.floor(at / 31),
    text: JSON.stringify({ tag: `t${at % 3}`, owner: `o${at % 7}`, share: at / 7 }),
  })),
);

/** Changes the relational file behind the store's back. */
function behind(sql: string): void {
  const database = new DatabaseSync(join(temporary.path, "tenants", "acme", "relational.sqlite"), {
    defensive: false,
  });
  const { changes } = database.prepare(sql).run();
  database.close();
  expect(Number(changes)).toBe(1);
}

test.each([
  ["a cell", `UPDATE sample__things__g1 SET "rowid" = 'x' WHERE _id = 'r40'`, [1, 31], [2, 29]],
  [
    "the last bit of a number",
    `UPDATE sample__things__g1 SET share = 5.714285714285715 WHERE _id = 'r40'`,
    [1, 31],
    [2, 29],
  ],
  ["a row less", `DELETE FROM sample__things__g1 WHERE _id = 'r40'`, [1, 31], [2, 28]],
])("%s changes the fingerprint of a table's rows, and of no others", async (_, sql, ...counts) => {
  await using store = await openSqliteRelational({ directory: temporary.path });
  await store.prepare(scope, THINGS);
  await store.apply(scope, THINGS, { batches: [batch], checkpoint: 2 });
  const before = (await store.fingerprint?.(scope, THINGS, 1)) ?? [];
  behind(sql);
  const after = (await store.fingerprint?.(scope, THINGS, 1)) ?? [];
  expect(after.map(({ bucket, count }) => [bucket, count])).toEqual(counts);
  expect(after[0]).toEqual(before[0]);
  expect(after[1]?.sum).not.toBe(before[1]?.sum);
});

test.each([
  ["a group", `UPDATE sample__totals__g1_groups SET records = 7 WHERE k0 = 't1'`],
  [
    "what a view shows of a group",
    `UPDATE sample__totals__g1_groups SET m1 = m1 + 1e-13 WHERE k0 = 't1'`,
  ],
  [
    "a counted value",
    `UPDATE sample__totals__g1_counts SET count = 9 WHERE g = 2 AND value = '"o4"'`,
  ],
  ["a counted value more", `INSERT INTO sample__totals__g1_counts VALUES (2, 2, '"o9"', 1)`],
])("%s changes the fingerprint of a summary", async (_what, sql) => {
  await using store = await openSqliteRelational({ directory: temporary.path });
  await store.prepare(scope, TOTALS);
  await store.apply(scope, TOTALS, { batches: [batch], checkpoint: 2, after: 0 });
  const before = await store.fingerprint?.(scope, TOTALS, 1);
  expect(before).toHaveLength(1);
  expect(await store.fingerprint?.(scope, TOTALS, 1)).toEqual(before);
  behind(sql);
  expect((await store.fingerprint?.(scope, TOTALS, 1))?.[0]?.sum).not.toBe(before?.[0]?.sum);
});
