import { parseFilter } from "@custody/contract/filter";
import { describe, expect, test } from "vitest";

import type { Collection } from "../projected-store.ts";
import { deliver } from "../testing/conformance-projection.ts";
import { scopeFor } from "../testing/scope.ts";
import { ATTEMPT, ATTEMPTS, HOSTILE_COLUMN } from "./conformance-case.ts";
import type { RelationalStore, TablePage, TablePlacement, TableQuery } from "./port.ts";

const scope = scopeFor("tenant-a");
const ALL = parseFilter({});
const NOON = Date.UTC(2026, 0, 1, 12);

const ROWS = {
  a: { model: "x", tokens: 1, harm: 0.5, refused: true, findings: ["f", "g"], at: NOON },
  b: { model: "y", tokens: 20, harm: -1, refused: false, findings: [], labels: { k: 1 } },
  c: { model: "x", tokens: 300, findings: ["g"], at: "2026-01-01T13:00:00Z", select: "s" },
  d: { labels: "text", embedding: [1, 2], hostile: "' OR 1=1" },
};

/** How rows of a table are selected. */
export function describeSelect(open: () => RelationalStore): void {
  describe("select", () => {
    const put = async (rows: Readonly<Record<string, unknown>>, from = ATTEMPTS): Promise<void> => {
      await open().prepare(scope, from);
      const records = Object.entries(rows).map(([id, fields], index) => ({
        id,
        sequence: index + 1,
        text: JSON.stringify(fields),
      }));
      await open().apply(scope, from, deliver(ATTEMPT, records));
    };
    const select = async (query: Partial<TableQuery>): Promise<TablePage> =>
      await open().select(scope, ATTEMPTS, { filter: ALL, limit: 100, ...query });
    const idsOf = async (query: Partial<TableQuery>): Promise<readonly unknown[]> =>
      (await select(query)).rows.map((row) => row["_id"]);

    test("a row shows each column as its type has it, and null where the record has nothing", async () => {
      await put({
        a: { ...ROWS.a, embedding: [1, 0.5], labels: { b: [1, null], a: "x" }, hostile: "h" },
        b: {},
      });
      const page = await select({});
      expect(page.checkpoint).toBe(2);
      expect(page.rows).toEqual([
        {
          _id: "a",
          _sequence: 1,
          model: "x",
          tokens: 1,
          harm: 0.5,
          refused: true,
          findings: ["f", "g"],
          at: NOON,
          embedding: [1, 0.5],
          labels: { a: "x", b: [1, null] },
          select: null,
          [HOSTILE_COLUMN]: "h",
        },
        {
          _id: "b",
          _sequence: 2,
          model: null,
          tokens: null,
          harm: null,
          refused: null,
          findings: null,
          at: null,
          embedding: null,
          labels: null,
          select: null,
          [HOSTILE_COLUMN]: null,
        },
      ]);
    });

    test.each<readonly [unknown, readonly string[]]>([
      [{}, ["a", "b", "c", "d"]],
      [{ _id: "c" }, ["c"]],
      [{ _sequence: { $gt: 2 } }, ["c", "d"]],
      [{ model: "x" }, ["a", "c"]],
      [{ model: { $ne: "x" } }, ["b", "d"]],
      [{ model: null }, ["d"]],
      [{ model: { $in: ["y", null] } }, ["b", "d"]],
      [{ model: { $nin: ["y", null] } }, ["a", "c"]],
      [{ model: { $exists: false } }, ["d"]],
      [{ model: 5 }, []],
      [{ model: { $gt: "x" } }, ["b"]],
      [{ tokens: { $gte: 20 } }, ["b", "c"]],
      [{ tokens: { $lt: "20" } }, []],
      [{ tokens: { $not: { $gte: 20 } } }, ["a", "d"]],
      [{ tokens: "20" }, []],
      [{ harm: { $lt: 0.5 } }, ["b"]],
      [{ refused: true }, ["a"]],
      [{ refused: { $ne: true } }, ["b", "c", "d"]],
      [{ refused: 1 }, []],
      [{ at: NOON }, ["a"]],
      [{ at: { $gt: "2026-01-01T12:00:00Z" } }, ["c"]],
      [{ findings: "g" }, ["a", "c"]],
      [{ findings: { $ne: "f" } }, ["b", "c", "d"]],
      [{ findings: { $all: ["f", "g"] } }, ["a"]],
      [{ findings: { $size: 0 } }, ["b"]],
      [{ findings: { $size: 2 } }, ["a"]],
      [{ findings: { $gt: "f" } }, ["a", "c"]],
      [{ labels: "text" }, ["d"]],
      [{ labels: { $exists: true } }, ["b", "d"]],
      [{ embedding: { $exists: true } }, ["d"]],
      [{ select: "s" }, ["c"]],
      [{ [HOSTILE_COLUMN]: "' OR 1=1" }, ["d"]],
      [{ $or: [{ model: "y" }, { tokens: 1 }] }, ["a", "b"]],
      [{ $nor: [{ model: "y" }, { tokens: 1 }] }, ["c", "d"]],
    ])("%j selects exactly the rows that meet it", async (filter, ids) => {
      await put(ROWS);
      expect(await idsOf({ filter: parseFilter(filter) })).toEqual(ids);
    });

    test("whole numbers beyond a double are told apart, and beyond 64 bits compare right", async () => {
      await open().prepare(scope, ATTEMPTS);
      const numbers = ["9007199254740992", "9007199254740993", "9007199254740994"];
      const records = numbers.map((tokens) => ({
        id: tokens.slice(-1),
        sequence: 1,
        text: `{"tokens":${tokens}}`,
      }));
      await open().apply(scope, ATTEMPTS, deliver(ATTEMPT, records));
      const ids = async (op: "eq" | "gt" | "lt", value: bigint): Promise<readonly unknown[]> =>
        await idsOf({ filter: { op, path: "tokens", value } });
      expect(await ids("eq", 9007199254740993n)).toEqual(["3"]);
      expect(await ids("gt", 9007199254740993n)).toEqual(["4"]);
      expect(await ids("lt", 2n ** 70n)).toEqual(["2", "3", "4"]);
      expect(await ids("eq", 2n ** 70n)).toEqual([]);
    });

    test("rows are ordered by columns, nulls first ascending and last descending, ties by id", async () => {
      await put(ROWS);
      expect(await idsOf({ orderBy: [{ column: "model", direction: "asc" }] })).toEqual([
        "d",
        "a",
        "c",
        "b",
      ]);
      expect(
        await idsOf({
          orderBy: [
            { column: "model", direction: "desc" },
            { column: "tokens", direction: "desc" },
          ],
        }),
      ).toEqual(["b", "c", "a", "d"]);
    });

    test.each(["asc", "desc"] as const)(
      "pages in %s order follow one another without a gap or a repetition, nulls and ties included",
      async (direction) => {
        const rows = Object.fromEntries(
          Array.from({ length: 23 }, (_, n) => [
            `id-${String(n).padStart(2, "0")}`,
            n % 3 === 0 ? {} : { model: `m${n % 2}`, tokens: n % 4 },
          ]),
        );
        await put(rows);
        const orderBy = [
          { column: "model", direction },
          { column: "tokens", direction: "asc" as const },
        ];
        const whole = await idsOf({ orderBy });
        expect(whole).toHaveLength(23);
        const paged: unknown[] = [];
        let cursor: string | undefined;
        do {
          const page = await select({
            orderBy,
            limit: 4,
            ...(cursor === undefined ? {} : { cursor }),
          });
          paged.push(...page.rows.map((row) => row["_id"]));
          cursor = page.cursor;
        } while (cursor !== undefined);
        expect(paged).toEqual(whole);
      },
    );

    test("a cursor that is none, or of another query, is refused", async () => {
      await put(ROWS);
      const { cursor = "" } = await select({ limit: 1 });
      for (const other of ["", "bm9uZQ", "W10", cursor]) {
        await expect(
          select({ filter: parseFilter({ model: "x" }), limit: 1, cursor: other }),
        ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      }
    });

    test("an unknown column, or a comparison a column does not know, is refused", async () => {
      await put(ROWS);
      for (const filter of [
        { unknown: 1 },
        { "labels.k": 1 },
        { embedding: 1 },
        { findings: { $elemMatch: { x: 1 } } },
      ]) {
        await expect(select({ filter: parseFilter(filter) })).rejects.toMatchObject({
          name: "StoreError",
          code: "refused",
        });
      }
      await expect(
        select({ orderBy: [{ column: `model" DESC; --`, direction: "asc" }] }),
      ).rejects.toMatchObject({ code: "refused" });
    });

    test("a page at the limit is given, one beyond it or below one is refused", async () => {
      await put(ROWS);
      const { pageMax } = open().limits;
      expect(await idsOf({ limit: pageMax })).toHaveLength(4);
      await expect(select({ limit: pageMax + 1 })).rejects.toMatchObject({ code: "limit" });
      await expect(select({ limit: 0 })).rejects.toMatchObject({ code: "limit" });
    });

    test("rows that break a declared uniqueness are all kept, as the journal holds them", async () => {
      await put({ a: { model: "x", tokens: 1 }, b: { model: "x", tokens: 1 } });
      expect(await idsOf({ filter: parseFilter({ model: "x", tokens: 1 }) })).toEqual(["a", "b"]);
    });

    test("columns that only case tells apart, or with a name of ours, are refused", async () => {
      for (const names of [["Model", "model"], ["_id"], ["_Sequence"]]) {
        const columns = Object.fromEntries(
          names.map((name) => [name, { type: "text" as const, from: "model" }]),
        );
        const placements = { [ATTEMPT]: { table: { table: "t", columns } } };
        const collection: Collection<TablePlacement> = { ...ATTEMPTS, placements };
        await expect(open().prepare(scope, collection)).rejects.toMatchObject({ code: "refused" });
      }
    });

    test("the plan of a query is explained in lines of text", async () => {
      await put(ROWS);
      const query: TableQuery = {
        filter: parseFilter({ model: "x", tokens: { $gt: 1 } }),
        orderBy: [{ column: "at", direction: "desc" }],
        limit: 3,
      };
      const lines = await open().explain(scope, ATTEMPTS, query);
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.filter((line) => line.trim() === "")).toEqual([]);
      const { cursor = "" } = await select({ ...query, filter: ALL, limit: 1 });
      const paged = { ...query, filter: ALL, cursor };
      expect((await open().explain(scope, ATTEMPTS, paged)).length).toBeGreaterThan(0);
    });

    test("what cannot be selected cannot be explained either", async () => {
      await put(ROWS);
      const explain = async (query: Partial<TableQuery>): Promise<readonly string[]> =>
        await open().explain(scope, ATTEMPTS, { filter: ALL, limit: 100, ...query });
      await expect(explain({ filter: parseFilter({ unknown: 1 }) })).rejects.toMatchObject({
        code: "refused",
      });
      await expect(explain({ cursor: "bm9uZQ" })).rejects.toMatchObject({ code: "refused" });
      await expect(explain({ limit: 0 })).rejects.toMatchObject({ code: "limit" });
    });

    test("a collection that was never prepared is empty", async () => {
      expect(await select({})).toEqual({ rows: [], checkpoint: 0 });
      expect(await open().explain(scope, ATTEMPTS, { filter: ALL, limit: 1 })).toEqual([]);
    });
  });
}
