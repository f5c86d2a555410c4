import { parseFilter } from "@custody/contract/filter";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { hashText, rowHash } from "../content-form.ts";
import { makeBatch } from "../record-batch.ts";
import { allRows } from "../testing/conformance-projection.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { TestDatabase } from "../testing/postgresql-database.ts";
import { scopeFor } from "../testing/scope.ts";
import { ATTEMPT, BY_MODEL, SPANS, summaryCollection } from "./conformance-case.ts";
import { summaryContent } from "./content.ts";
import type { RelationalStore } from "./port.ts";
import { openPostgresqlRelational } from "./postgresql.ts";

const scope = scopeFor("tenant-a");
const SUMMARY = summaryCollection(BY_MODEL);
const RECORD =
  '{"model":"x","refused":true,"tokens":5,"harm":0.5,"verdict":"harmful","findings":["f","g"]}';

describeOnServer("postgresql", (url) => {
  const database = new TestDatabase(url);
  beforeAll(() => database.create());
  afterAll(() => database[Symbol.asyncDispose]());

  let count = 0;
  let schema = "";
  let storeUrl = "";
  let store: RelationalStore;
  beforeEach(async () => {
    schema = `${serverName(`summaries ${++count}`)}`;
    storeUrl = database.url({ schema, role: database.role });
    store = await openPostgresqlRelational({ url: storeUrl });
    await store.prepare(scope, SUMMARY);
  });
  afterEach(() => store[Symbol.asyncDispose]());

  const apply = async (one: RelationalStore, sequence: number, texts: readonly string[]) => {
    const records = texts.map((text, n) => ({ id: `${sequence}-${n}`, sequence, text }));
    const batches = [makeBatch(ATTEMPT, records)];
    await one.apply(scope, SUMMARY, { batches, checkpoint: sequence });
  };

  test("a summary is a view under its own name, which joins like any table", async () => {
    await apply(store, 1, [RECORD, RECORD, "{}"]);
    const rows = await database.run(`SELECT model, attempts, tokens, findings->>'g' AS g
      FROM ${schema}_redteam.attempts_by_model WHERE model = 'x'`);
    expect(rows).toEqual([{ model: "x", attempts: "2", tokens: 10, g: "2" }]);
  });

  test("whoever looks through the view sees the groups of their space alone", async () => {
    await apply(store, 1, [RECORD]);
    const client = await database.client();
    try {
      await client.query(`SET ROLE ${database.role}`);
      const view = `SELECT count(*) AS n FROM ${schema}_redteam.attempts_by_model`;
      expect((await client.query(view)).rows).toEqual([{ n: "0" }]);
      await client.query("SET custody.space = 'tenant-a'");
      expect((await client.query(view)).rows).toEqual([{ n: "1" }]);
      await client.query("SET custody.space = 'tenant-b'");
      expect((await client.query(view)).rows).toEqual([{ n: "0" }]);
    } finally {
      await client.end();
    }
  });

  test.each([
    "UPDATE attempts_by_model_groups SET m0 = m0 + 1",
    "UPDATE attempts_by_model_groups SET m3 = m3 + 1",
    "UPDATE attempts_by_model_groups SET m6 = m6 + 1",
    "UPDATE attempts_by_model_groups SET k0 = 'other'",
    "UPDATE attempts_by_model_groups SET k0 = NULL",
    "UPDATE attempts_by_model_groups SET records = records + 1",
    "UPDATE attempts_by_model_counts SET count = 9",
    "DELETE FROM attempts_by_model_counts",
    "DELETE FROM attempts_by_model_groups",
  ])("has another digest after %s", async (statement) => {
    await apply(store, 1, [RECORD]);
    const before = await store.digest(scope, SUMMARY, 10);
    expect(before.map(({ bucket, count: groups }) => [bucket, groups])).toEqual([[0, 1]]);
    await database.run(`SET search_path = ${schema}_redteam; ${statement}`);
    expect(await store.digest(scope, SUMMARY, 10)).not.toEqual(before);
  });

  test("two processes that apply the same deliveries count each record once", async () => {
    await using second = await openPostgresqlRelational({ url: storeUrl });
    const fold = summaryContent(BY_MODEL);
    await Promise.all(
      [store, second].map(async (one) => {
        for (let turn = 1; turn <= 10; turn += 1) {
          const texts = Array.from(
            { length: 30 },
            (_, n) => `{"model":"m${n % 7}","harm":${n / 7}}`,
          );
          await apply(one, turn, texts);
          if (one === store) for (const text of texts) fold.add(JSON.parse(text));
        }
      }),
    );
    const shown = await store.select(scope, SUMMARY, {
      filter: parseFilter({ model: "m0" }),
      limit: 10,
    });
    expect(shown.rows.map(({ model, attempts }) => [model, attempts])).toEqual([["m0", 50]]);
    const expected = [...fold.rows()]
      .map(({ id, content }) => ({ id, sequence: 0, hash: hashText(rowHash(id, 0, content)) }))
      .sort((left, right) => (left.id < right.id ? -1 : 1));
    expect(await allRows(store, scope, SUMMARY)).toEqual(expected);
  });

  test("keys and counted values may be longer than an index takes, and groups more than a page", async () => {
    const long = "a long value that goes on and on, and is told apart at its very end ".repeat(200);
    const texts = Array.from({ length: 2_100 }, (_, n) =>
      JSON.stringify({ model: n < 3 ? `${long}${n}` : `m${n}`, findings: [`${long}${n % 2}`] }),
    );
    await apply(store, 1, texts);
    await apply(store, 2, texts.slice(0, 2));
    const found = await store.select(scope, SUMMARY, {
      filter: parseFilter({ model: { $in: [`${long}0`, `${long}2`] } }),
      limit: 10,
    });
    expect(found.rows.map((row) => row["attempts"])).toEqual([2, 1]);
    expect(found.rows.map((row) => row["findings"])).toEqual([
      { [`${long}0`]: 2 },
      { [`${long}0`]: 1 },
    ]);
    expect(await allRows(store, scope, SUMMARY)).toHaveLength(2_100);
    expect((await store.digest(scope, SUMMARY, 10)).map((bucket) => bucket.count)).toEqual([2_100]);
  });

  test("what was never had cannot be taken back, and nothing of that delivery is kept", async () => {
    await apply(store, 1, [RECORD]);
    const before = await store.digest(scope, SUMMARY, 10);
    const changes = [
      { id: "a", sequence: 2, text: RECORD },
      { id: "b", sequence: 2, previousText: '{"model":"never"}' },
    ];
    await expect(
      store.apply(scope, SUMMARY, { batches: [makeBatch(ATTEMPT, changes)], checkpoint: 2 }),
    ).rejects.toMatchObject({ name: "StoreError", code: "corrupt" });
    expect(await store.digest(scope, SUMMARY, 10)).toEqual(before);
    expect(await store.checkpoint(scope, SUMMARY)).toBe(1);
  });

  test("a summary whose parts would have another table's name has a name of its own", async () => {
    const table = {
      table: "spans_groups",
      columns: { model: { type: "text", from: "model" } },
    } as const;
    await store.prepare(scope, {
      name: ATTEMPT,
      generation: 1,
      placements: { [ATTEMPT]: { table } },
    });
    await store.prepare(scope, summaryCollection(SPANS));
    const views = await database.run(
      `SELECT viewname FROM pg_views WHERE schemaname = $1 ORDER BY viewname`,
      [`${schema}_redteam`],
    );
    expect(views).toEqual([{ viewname: "attempts_by_model" }, { viewname: "spans_2" }]);
  });
});
