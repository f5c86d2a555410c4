import { parseFilter } from "@custody/contract/filter";
import type { Filter } from "@custody/contract/filter";
import type { RelationalPlacement } from "@custody/contract/placement";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import type { Collection } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import type { ServerEngine } from "../server-engine.ts";
import { allRows, deliver } from "../testing/conformance-projection.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { TestDatabase } from "../testing/postgresql-database.ts";
import { scopeFor } from "../testing/scope.ts";
import { ATTEMPT, ATTEMPT_CASE, ATTEMPTS } from "./conformance-case.ts";
import type { RelationalStore, TablePlacement, TableQuery } from "./port.ts";
import { openPostgresqlRelational } from "./postgresql.ts";

const scope = scopeFor("tenant-a");
const ALL = parseFilter({});

function collectionOf(placement: RelationalPlacement, generation = 1): Collection<TablePlacement> {
  return { name: ATTEMPT, generation, placements: { [ATTEMPT]: { table: placement } } };
}

const PLAIN = collectionOf({
  table: "attempt",
  columns: {
    model: { type: "text", from: "model" },
    at: { type: "timestamp", from: "at" },
    harm: { type: "real", from: "harm" },
    tokens: { type: "integer", from: "tokens" },
  },
  indexes: [["model", "at"]],
});

describeOnServer("postgresql", (url) => {
  const database = new TestDatabase(url);
  beforeAll(() => database.create());
  afterAll(() => database[Symbol.asyncDispose]());

  let count = 0;
  let schema = "";
  let storeUrl = "";
  let store: RelationalStore & ServerEngine;
  beforeEach(async () => {
    schema = serverName(`tables ${++count}`);
    storeUrl = database.url({ schema, role: database.role });
    store = await openPostgresqlRelational({ url: storeUrl });
  });
  afterEach(() => store[Symbol.asyncDispose]());

  const put = async (
    rows: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
    of: Collection<TablePlacement> = PLAIN,
  ): Promise<void> => {
    await store.prepare(scope, of);
    const records = Object.entries(rows).map(([id, fields]) => ({
      id,
      sequence: 1,
      text: JSON.stringify(fields),
    }));
    await store.apply(scope, of, deliver(ATTEMPT, records));
  };
  const idsOf = async (query: Partial<TableQuery>, of = PLAIN): Promise<readonly unknown[]> =>
    (await store.select(scope, of, { filter: ALL, limit: 100, ...query })).rows.map(
      (row) => row["_id"],
    );

  describe("a table as people see it", () => {
    test("has the document's name in the pack's schema, and columns of PostgreSQL's own types", async () => {
      await store.prepare(scope, ATTEMPTS);
      const columns = await database.run(
        `SELECT column_name, data_type, collation_name FROM information_schema.columns
         WHERE table_schema = $1 AND table_name = 'attempt' ORDER BY ordinal_position`,
        [`${schema}_redteam`],
      );
      expect(columns.map((row) => Object.values(row).join(" "))).toEqual([
        "_space text C",
        "_id text C",
        "_sequence bigint ",
        "at timestamp with time zone ",
        "embedding ARRAY ",
        "findings ARRAY C",
        "harm double precision ",
        "labels json ",
        "model text C",
        "refused boolean ",
        "select text C",
        "tokens bigint ",
        `x" TEXT); DROP TABLE y; -- text C`,
        "_beyond json ",
      ]);
    });

    test("answers plain SQL with the types' own operators", async () => {
      await put(
        {
          a: {
            model: "x",
            at: "2026-01-01T12:00:00.250Z",
            findings: ["f"],
            labels: { n: 2 ** 53 },
          },
          b: { model: "y", at: "2025-12-31T12:00:00Z" },
        },
        ATTEMPTS,
      );
      const rows = await database.run(`SELECT _id, at AT TIME ZONE 'UTC' AS at, labels->>'n' AS n
        FROM ${schema}_redteam.attempt
        WHERE at > '2026-01-01' AND 'f' = ANY(findings) AND _space = 'tenant-a'`);
      expect(rows).toEqual([
        { _id: "a", at: new Date("2026-01-01T12:00:00.250"), n: "9007199254740992" },
      ]);
    });

    test("has a name of its own for each further generation, and for another tenant's other mapping", async () => {
      const other = collectionOf({
        table: "attempt",
        columns: { model: { type: "integer", from: "tokens" } },
      });
      await store.prepare(scope, PLAIN);
      await store.prepare(scope, { ...PLAIN, generation: 2 });
      await store.prepare(scopeFor("tenant-b"), other);
      await store.prepare(scopeFor("tenant-c"), PLAIN);
      const tables = await database.run(
        `SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY tablename`,
        [`${schema}_redteam`],
      );
      expect(tables.map(({ tablename }) => tablename)).toEqual([
        "attempt",
        "attempt_2",
        "attempt_g2",
      ]);
    });

    test("is dropped when the last tenant that holds it discards it, and keeps the others' rows before", async () => {
      const other = scopeFor("tenant-b");
      await put({ a: { model: "x" } });
      await store.prepare(other, PLAIN);
      await store.apply(
        other,
        PLAIN,
        deliver(ATTEMPT, [{ id: "b", sequence: 4, text: '{"model":"y"}' }]),
      );
      await store.discard(scope, PLAIN);
      expect(await idsOf({})).toEqual([]);
      expect(await store.checkpoint(other, PLAIN)).toBe(4);
      expect(await database.run(`SELECT _space, _id FROM ${schema}_redteam.attempt`)).toEqual([
        { _space: "tenant-b", _id: "b" },
      ]);
      await store.discard(other, PLAIN);
      expect(
        await database.run(`SELECT 1 FROM pg_tables WHERE schemaname = $1`, [`${schema}_redteam`]),
      ).toEqual([]);
    });

    test("is emptied of one tenant's rows however many they are, and built anew from nothing", async () => {
      await store.prepare(scopeFor("tenant-b"), PLAIN);
      await put(Object.fromEntries(Array.from({ length: 10_050 }, (_, n) => [`id-${n}`, {}])));
      await store.discard(scope, PLAIN);
      expect(await database.run(`SELECT * FROM ${schema}_redteam.attempt`)).toEqual([]);
      expect(await store.checkpoint(scope, PLAIN)).toBe(0);
      await put({ a: {} });
      expect(await idsOf({})).toEqual(["a"]);
    });

    test("takes names that PostgreSQL has itself, cuts off, or would read as syntax", async () => {
      const long = "column_with_a_very_long_name_".repeat(4);
      const columns = Object.fromEntries(
        ["ctid", "user", "é \u{1F600}", `${long}1`, `${long}2`].map((name) => [
          name,
          { type: "text" as const, from: "model" },
        ]),
      );
      const of = collectionOf({ table: 'select; "x', columns, indexes: [[`${long}1`, "ctid"]] });
      await put({ a: { model: "v" } }, of);
      const filter = parseFilter({ ctid: "v", user: "v", [`${long}1`]: "v", [`${long}2`]: "v" });
      expect(await idsOf({ filter }, of)).toEqual(["a"]);
    });
  });

  describe("row-level security", () => {
    test("a statement that forgets its condition sees the rows of its space alone, and none without one", async () => {
      await put({ a: { model: "x" } });
      await store.prepare(scopeFor("tenant-b"), PLAIN);
      await store.apply(
        scopeFor("tenant-b"),
        PLAIN,
        deliver(ATTEMPT, [{ id: "b", sequence: 1, text: "{}" }]),
      );
      const client = await database.client();
      const table = `${schema}_redteam.attempt`;
      const seen = async (space: string): Promise<unknown> => {
        await client.query("BEGIN");
        await client.query(`SET LOCAL ROLE ${database.role}`);
        if (space !== "") await client.query(`SET LOCAL custody.space = '${space}'`);
        const { rows } = await client.query<{ _id: string }>(`SELECT _id FROM ${table}`);
        const held = await client.query<{ _space: string }>(
          `SELECT _space FROM ${schema}_relational.collection`,
        );
        await client.query("ROLLBACK");
        return [rows.map(({ _id }) => _id), held.rows.map(({ _space }) => _space)];
      };
      try {
        expect(await seen("tenant-a")).toEqual([["a"], ["tenant-a"]]);
        expect(await seen("tenant-b")).toEqual([["b"], ["tenant-b"]]);
        expect(await seen("")).toEqual([[], []]);
        await client.query(`SET ROLE ${database.role}`);
        await client.query("SET custody.space = 'tenant-a'");
        await expect(
          client.query(`INSERT INTO ${table} (_space, _id, _sequence) VALUES ('tenant-b', 'c', 1)`),
        ).rejects.toMatchObject({ code: "42501" });
      } finally {
        await client.end();
      }
    });

    test("it binds the tables' owner too, where the store logs in as one and names no role", async () => {
      const owner = `${database.role}_owner`;
      await database.run(`CREATE ROLE ${owner} LOGIN PASSWORD 'of-a-test';
        GRANT CREATE ON DATABASE ${database.name} TO ${owner}`);
      const own = new URL(database.url({ schema: `${schema}_own` }));
      own.username = owner;
      own.password = "of-a-test";
      try {
        await using plain = await openPostgresqlRelational({ url: own.href });
        await plain.prepare(scope, PLAIN);
        await plain.apply(scope, PLAIN, deliver(ATTEMPT, [{ id: "a", sequence: 1, text: "{}" }]));
        expect(await allRows(plain, scope, PLAIN)).toHaveLength(1);
        expect(await plain.health()).toMatchObject({ product: "PostgreSQL" });
        const client = await database.client();
        try {
          await client.query(`SET ROLE ${owner}`);
          const { rows } = await client.query(`SELECT * FROM ${schema}_own_redteam.attempt`);
          expect(rows).toEqual([]);
        } finally {
          await client.end();
        }
      } finally {
        await database.run(`DROP OWNED BY ${owner}; DROP ROLE ${owner}`);
      }
    });

    test("it does not keep indexes from being used", async () => {
      const records = Array.from({ length: 6_000 }, (_, n) => ({
        id: `id-${n}`,
        sequence: n + 1,
        text: `{"model":"model-${n}","at":${n}}`,
      }));
      await store.prepare(scope, PLAIN);
      await store.apply(scope, PLAIN, deliver(ATTEMPT, records));
      await store.settle(scope);
      const planOf = async (query: Partial<TableQuery>): Promise<string> =>
        (await store.explain(scope, PLAIN, { filter: ALL, limit: 5, ...query })).join("\n");
      const oneModel = parseFilter({ model: "model-7", at: { $lt: 100 } });
      expect(await planOf({ filter: oneModel })).toMatch(
        /Index Cond: .*_space = .*model = .*at < /,
      );
      const byModel = [{ column: "model", direction: "asc" as const }];
      const { cursor = "" } = await store.select(scope, PLAIN, {
        filter: ALL,
        orderBy: byModel,
        limit: 5,
      });
      const paged = await planOf({ orderBy: byModel, cursor });
      expect(paged).toMatch(/Index Cond: .*model >= /);
      expect(paged).toContain("Presorted Key: attempt.model");
      expect(await planOf({ filter: parseFilter({ _id: "id-7" }) })).toContain("attempt_pkey");
    });
  });

  describe("what a column cannot hold", () => {
    const early = -300_000_000_000_000;
    const long = `${"é".repeat(150)}-`;
    const rows = {
      a: { model: "é", at: 0 },
      b: { model: "é".repeat(150), at: early },
      c: { model: `${long}b`, at: early - 1 },
      d: { model: `${long}a\u0000`, at: -210_866_803_200_000 },
      e: { model: `${"é".repeat(149)}\u{1F600}`, at: "2026-01-01T00:00:00Z" },
      f: {},
    };

    test("is given back as it was, after a reopening too", async () => {
      await put(rows);
      await store[Symbol.asyncDispose]();
      store = await openPostgresqlRelational({ url: storeUrl });
      const found = await store.select(scope, PLAIN, { filter: ALL, limit: 10 });
      expect(found.rows.map(({ model, at }) => [model, at])).toEqual([
        ["é", 0],
        ["é".repeat(150), early],
        [`${long}b`, early - 1],
        [`${long}a\u0000`, -210_866_803_200_000],
        [`${"é".repeat(149)}\u{1F600}`, Date.UTC(2026, 0, 1)],
        [null, null],
      ]);
    });

    test.each<readonly [unknown, readonly string[]]>([
      [{ model: `${long}b` }, ["c"]],
      [{ model: `${long}a\u0000` }, ["d"]],
      [{ model: `${long}a` }, []],
      [{ model: { $in: ["é", `${long}b`, `${long}c`] } }, ["a", "c"]],
      [{ model: { $ne: `${long}b` } }, ["a", "b", "d", "e", "f"]],
      [{ model: `${"é".repeat(150)}…` }, []],
      [{ model: { $gt: "é".repeat(150) } }, ["c", "d", "e"]],
      [{ model: { $gt: `${long}a\u0000` } }, ["c", "e"]],
      [{ model: { $gte: `${long}a\u0000` } }, ["c", "d", "e"]],
      [{ model: { $lt: `${long}b` } }, ["a", "b", "d"]],
      [{ model: { $lte: `${long}b` } }, ["a", "b", "c", "d"]],
      [{ at: early }, ["b"]],
      [{ at: early - 2 }, []],
      [{ at: { $gt: early } }, ["a", "d", "e"]],
      [{ at: { $gte: early - 1 } }, ["a", "b", "c", "d", "e"]],
      [{ at: { $lt: early } }, ["c"]],
      [{ at: { $lte: -210_866_803_200_000 } }, ["b", "c", "d"]],
      [{ at: { $lt: 0.5 } }, ["a", "b", "c", "d"]],
      [{ at: { $gt: -0.5 } }, ["a", "e"]],
      [{ at: 0.5 }, []],
      [{ at: { $lt: 1e300 } }, ["a", "b", "c", "d", "e"]],
      [{ at: { $gt: -1e300 } }, ["a", "b", "c", "d", "e"]],
      [{ at: { $gt: 1e300 } }, []],
    ])("%j selects exactly the rows that meet it", async (filter, ids) => {
      await put(rows);
      expect(await idsOf({ filter: parseFilter(filter) })).toEqual(ids);
    });

    test.each([
      ["model", "asc", ["f", "a", "b", "d", "c", "e"]],
      ["model", "desc", ["e", "c", "d", "b", "a", "f"]],
      ["at", "asc", ["f", "c", "b", "d", "a", "e"]],
      ["at", "desc", ["e", "a", "d", "b", "c", "f"]],
    ] as const)(
      "by %s, %s, it lies where it belongs, page after page",
      async (column, direction, ids) => {
        await put(rows);
        const query: TableQuery = { filter: ALL, orderBy: [{ column, direction }], limit: 2 };
        const paged: unknown[] = [];
        let cursor: string | undefined;
        do {
          const asked = cursor === undefined ? query : { ...query, cursor };
          const page = await store.select(scope, PLAIN, asked);
          paged.push(...page.rows.map((row) => row["_id"]));
          cursor = page.cursor;
        } while (cursor !== undefined);
        expect(paged).toEqual(ids);
      },
    );
  });

  test("numbers are compared exactly, between whole ones and beyond doubles too", async () => {
    await put({ a: { tokens: 1, harm: 9007199254740992 }, b: { tokens: 2, harm: 1e308 } });
    const ids = async (filter: Filter): Promise<readonly unknown[]> => await idsOf({ filter });
    const above = 9007199254740993n;
    expect(await ids({ op: "gt", path: "tokens", value: 1.5 })).toEqual(["b"]);
    expect(await ids({ op: "lte", path: "tokens", value: 1.5 })).toEqual(["a"]);
    expect(await ids({ op: "eq", path: "tokens", value: 1.5 })).toEqual([]);
    expect(await ids({ op: "gt", path: "tokens", value: Number.NEGATIVE_INFINITY })).toEqual([
      "a",
      "b",
    ]);
    expect(await ids({ op: "eq", path: "harm", value: above })).toEqual([]);
    expect(await ids({ op: "lt", path: "harm", value: above })).toEqual(["a"]);
    expect(await ids({ op: "gte", path: "harm", value: above })).toEqual(["b"]);
    expect(await ids({ op: "in", path: "harm", values: [above - 1n, "x", null] })).toEqual(["a"]);
  });

  describe("writers side by side", () => {
    test("two processes that apply the same deliveries leave what one would have", async () => {
      await using second = await openPostgresqlRelational({ url: storeUrl });
      await store.prepare(scope, ATTEMPTS);
      const deliveries = Array.from({ length: 12 }, (_, turn) =>
        deliver(
          ATTEMPT,
          Array.from({ length: 40 }, (_, n) => ({
            id: `id-${n}`,
            sequence: turn + 1,
            text: ATTEMPT_CASE.text(n, turn + 1),
          })),
        ),
      );
      await Promise.all(
        [store, second].map(async (one) => {
          for (const delivery of deliveries) await one.apply(scope, ATTEMPTS, delivery);
        }),
      );
      const rows = await allRows(store, scope, ATTEMPTS);
      expect(rows).toHaveLength(40);
      expect(new Set(rows.map(({ sequence }) => sequence))).toEqual(new Set([12]));
      expect(await store.checkpoint(scope, ATTEMPTS)).toBe(12);
    });

    test("many that prepare and discard at once leave one table, or none", async () => {
      await using second = await openPostgresqlRelational({ url: storeUrl });
      const scopes = ["a", "b", "c", "d", "e", "f"].map((name) => scopeFor(`tenant-${name}`));
      const all = async (
        work: (one: RelationalStore, of: typeof scope) => Promise<void>,
      ): Promise<void> => {
        await Promise.all([store, second].flatMap((one) => scopes.map((of) => work(one, of))));
      };
      await all((one, of) => one.prepare(of, PLAIN));
      const tables = `SELECT tablename FROM pg_tables WHERE schemaname = '${schema}_redteam'`;
      expect(await database.run(tables)).toEqual([{ tablename: "attempt" }]);
      await all((one, of) => one.discard(of, PLAIN));
      expect(await database.run(tables)).toEqual([]);
    });

    test("a table that another process discards and makes anew is found again", async () => {
      await using second = await openPostgresqlRelational({ url: storeUrl });
      await put({ a: { model: "x" } });
      expect(await idsOf({})).toEqual(["a"]);
      await second.discard(scope, PLAIN);
      expect(await idsOf({})).toEqual([]);
      const other = collectionOf({
        table: "attempt",
        columns: { model: { type: "integer", from: "tokens" } },
      });
      await second.prepare(scope, other);
      await expect(idsOf({})).rejects.toMatchObject({ code: "refused" });
      expect(await idsOf({}, other)).toEqual([]);
    });
  });

  test("new records are told from those that were repaired before, which are not doubled", async () => {
    await store.prepare(scope, PLAIN);
    const records = ["a", "b", "c"].map((id) => ({ id, sequence: 1, text: '{"model":"x"}' }));
    await store.repair(scope, PLAIN, makeBatch(ATTEMPT, records.slice(1, 2)));
    const batch = { ...makeBatch(ATTEMPT, records), isNew: true };
    await store.apply(scope, PLAIN, { batches: [batch], checkpoint: 1 });
    expect(await idsOf({})).toEqual(["a", "b", "c"]);
  });

  test("a connection that the server ends is an error that can be repeated, and the next call works", async () => {
    await put({ a: { model: "x" } });
    const terminated = await database.run(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = $1 AND pid <> pg_backend_pid()`,
      [database.name],
    );
    expect(terminated.length).toBeGreaterThan(0);
    await idsOf({}).catch((cause: unknown) => {
      expect(cause).toMatchObject({ code: "unavailable", retryable: true });
    });
    expect(await idsOf({})).toEqual(["a"]);
  });

  test("more calls than there are connections wait for their turn", async () => {
    await using small = await openPostgresqlRelational({
      url: database.url({ schema, pool: "2" }),
    });
    await put({ a: { model: "x" } });
    const pages = await Promise.all(
      Array.from({ length: 20 }, () => small.select(scope, PLAIN, { filter: ALL, limit: 1 })),
    );
    expect(pages.map(({ rows }) => rows.length)).toEqual(Array.from({ length: 20 }, () => 1));
  });

  test("health tells the product, and the version it is", async () => {
    expect(await store.health()).toMatchObject({
      product: "PostgreSQL",
      version: expect.stringMatching(/^(1[5-9]|[2-9]\d)\./),
      warnings: expect.not.arrayContaining([expect.stringContaining("row-level")]),
    });
  });
});
