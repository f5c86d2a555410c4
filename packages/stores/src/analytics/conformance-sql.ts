import { beforeAll, describe, expect, test } from "vitest";

import { makeBatch } from "../record-batch.ts";
import { scopeFor } from "../testing/scope.ts";
import type { SqlDialect } from "./conformance-dialect.ts";
import { tableOf, writeRows } from "./conformance-rows.ts";
import type { AnalyticsStore, SqlAnswer } from "./port.ts";

const scope = scopeFor("sql");
const CALLS = tableOf("lab/calls", {
  model: "text",
  ms: "integer",
  ratio: "real",
  ok: "boolean",
  at: "timestamp",
  tags: "text[]",
  details: "json",
});

/** What a tenant's own SELECT answers, and its bounds. */
export function describeSql(opened: () => AnalyticsStore, dialect: SqlDialect): void {
  describe("sql", () => {
    let store: AnalyticsStore;
    beforeAll(async () => {
      store = opened();
      await writeRows(store, scope, CALLS, [
        { model: "a", ms: 1, ratio: 0.5, ok: true, at: 0, tags: ["x"], details: { n: 1 } },
        { model: "b", ms: 9_007_199_254_740_993n, at: Date.UTC(2026, 0, 1) + 5, tags: [] },
        { model: "b" },
      ]);
      await store.publish(scope, CALLS);
    });
    const ask = async (statement: string, rowsMax = 100, timeMs = 10_000): Promise<SqlAnswer> =>
      await store.sql(scope, { statement, rowsMax, timeMs });
    const rowsOf = async (statement: string): Promise<SqlAnswer["rows"]> =>
      (await ask(statement)).rows;

    test("every type of column is answered: instants as RFC 3339, whole numbers exactly", async () => {
      expect(
        await rowsOf(
          'SELECT model, ms, ratio, ok, "at", tags, details FROM lab.calls ORDER BY _id',
        ),
      ).toEqual([
        ["a", 1, 0.5, true, "1970-01-01T00:00:00.000Z", ["x"], '{"n":1}'],
        ["b", 9_007_199_254_740_993n, null, null, "2026-01-01T00:00:00.005Z", [], null],
        ["b", null, null, null, null, [], null],
      ]);
    });

    test("a plan is explained for a SELECT that would run, and no other", async () => {
      const request = { rowsMax: 10, timeMs: 10_000 };
      const statement = "SELECT model, count(*) FROM lab.calls GROUP BY model";
      const steps = await store.explainSql(scope, { ...request, statement });
      expect(steps.length).toBeGreaterThan(1);
      expect(steps.every((step) => step.trim() !== "" && !step.includes("\n"))).toBe(true);
      for (const none of ["SELECT * FROM lab.none", "DROP VIEW lab.calls", "SELECT 1; SELECT 2"]) {
        await expect(
          store.explainSql(scope, { ...request, statement: none }),
        ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      }
    });

    test("columns come with their names and types, in order", async () => {
      const { columns, isTruncated } = await ask('SELECT model AS "a b", _sequence FROM lab.calls');
      expect(columns.map(({ name }) => name)).toEqual(["a b", "_sequence"]);
      expect(columns.every(({ type }) => type.length > 0)).toBe(true);
      expect(isTruncated).toBe(false);
    });

    test.each([
      [
        "grouping",
        "SELECT model, count(*) FROM lab.calls GROUP BY model ORDER BY 1",
        [
          ["a", 1],
          ["b", 2],
        ],
      ],
      [
        "WITH",
        "WITH b AS (SELECT * FROM lab.calls), c AS (SELECT * FROM b) SELECT count(*) FROM c",
        [[3]],
      ],
      [
        "a recursive WITH",
        "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 5) SELECT sum(x) FROM n",
        [[15]],
      ],
      ["joins", "SELECT count(*) FROM lab.calls a JOIN lab.calls b USING (model)", [[5]]],
      [
        "windows",
        "SELECT row_number() OVER (ORDER BY _id) FROM lab.calls ORDER BY 1",
        [[1], [2], [3]],
      ],
      [
        "CASE and casts",
        "SELECT CASE WHEN ok THEN CAST(ms AS VARCHAR) ELSE 'no' END FROM lab.calls ORDER BY _id",
        [["1"], ["no"], ["no"]],
      ],
      ["comments and a semicolon", "SELECT 1 -- one\n /* and */ ;", [[1]]],
      ...Object.entries(dialect.cases).map(([name, [sql, rows]]) => [name, sql, rows] as const),
    ] as const)("%s can be used", async (_, statement, expected) => {
      expect(await rowsOf(statement)).toEqual(expected);
    });

    test("as many rows as asked for are answered whole, one more is cut and said to be", async () => {
      const statement = "SELECT _id FROM lab.calls ORDER BY _id";
      expect((await ask(statement, 3)).isTruncated).toBe(false);
      expect(await ask(statement, 2)).toMatchObject({
        rows: [["row-0"], ["row-1"]],
        isTruncated: true,
      });
      expect((await ask(`SELECT * FROM ${dialect.rows(1_000_000)}`, 5_000)).rows).toHaveLength(
        5_000,
      );
    });

    test("a text and an answer at their limits are taken, one more is refused", async () => {
      const { sqlBytesMax, rowsMax } = store.limits;
      const padded = (bytes: number): string => `SELECT 1${" ".repeat(bytes - 8)}`;
      expect(await rowsOf(padded(sqlBytesMax))).toEqual([[1]]);
      await expect(ask(padded(sqlBytesMax + 1))).rejects.toMatchObject({ code: "limit" });
      expect((await ask("SELECT 1", rowsMax)).rows).toEqual([[1]]);
      await expect(ask("SELECT 1", rowsMax + 1)).rejects.toMatchObject({ code: "limit" });
    });

    test("a query that runs too long is ended, and the next one is answered", async () => {
      await expect(ask(dialect.endless, 10, 200)).rejects.toMatchObject({
        name: "StoreError",
        code: "limit",
      });
      expect(await rowsOf("SELECT 1")).toEqual([[1]]);
    });

    test("an answer too large to hold is refused", async () => {
      await expect(
        ask(`SELECT repeat('x', 1000000) FROM ${dialect.rows(1_000)}`, 1_000),
      ).rejects.toMatchObject({ code: "limit" });
    });

    test("a query that wants more memory than there is is ended, and what is stored is unhurt", async () => {
      await expect(ask(dialect.greedyText, 10, 20_000)).rejects.toMatchObject({
        name: "StoreError",
      });
      await expect
        .poll(async () => await rowsOf("SELECT count(*) FROM lab.calls").catch(() => "not yet"))
        .toEqual([[3]]);
    });

    test("writes succeed while a query uses up the memory there is", async () => {
      const crowded = tableOf("lab/crowded", { name: "text" });
      await writeRows(store, scope, crowded, [{ name: "a" }]);
      const running = ask(dialect.greedyGroups, 10, 4_000).then(
        () => "answered",
        (cause: unknown) => (cause as Error).name,
      );
      for (let sequence = 2; sequence < 22; sequence += 1) {
        const records = Array.from({ length: 500 }, (_, n) => ({
          id: `n${sequence}-${n}`,
          sequence,
          text: `{"name":"${"x".repeat(200)}${n}"}`,
        }));
        const batches = [makeBatch("lab/crowded", records)];
        await store.apply(scope, crowded, { batches, checkpoint: sequence });
      }
      expect((await store.digest(scope, crowded, 100))[0]?.count).toBe(10_001);
      expect(["answered", "StoreError"]).toContain(await running);
    });

    test("writes and reads go on while a query runs", async () => {
      const live = tableOf("lab/live", { name: "text" });
      await writeRows(store, scope, live, [{ name: "a" }]);
      const running = ask(dialect.endless, 10, 1_500).then(
        () => "answered",
        (cause: unknown) => (cause as { code: string }).code,
      );
      for (let sequence = 2; sequence < 12; sequence += 1) {
        const batch = makeBatch("lab/live", [{ id: `n${sequence}`, sequence, text: "{}" }]);
        await store.apply(scope, live, { batches: [batch], checkpoint: sequence });
      }
      expect(await store.checkpoint(scope, live)).toBe(11);
      expect(await running).toBe("limit");
    });
  });
}
