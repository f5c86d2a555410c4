import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { makeBatch } from "../record-batch.ts";
import { allRows, deliver } from "../testing/conformance-projection.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, serverName, testServerUrl } from "../testing/engine-server.ts";
import { TestDatabase } from "../testing/postgresql-database.ts";
import { scopeFor } from "../testing/scope.ts";
import { callsOf, writePoints } from "./conformance-points.ts";
import { describeSeries } from "./conformance.ts";
import type { SeriesStore } from "./port.ts";
import { openPostgresqlSeries } from "./postgresql.ts";

const module = new URL("./postgresql.ts", import.meta.url).href;

const TAMPER = {
  alter: (table: string) => `UPDATE ${table} SET field_0 = field_0 + 1 WHERE _id = $1`,
  lose: (table: string) => `DELETE FROM ${table} WHERE _id = $1`,
  invent: (table: string) =>
    `INSERT INTO ${table} (_space, _id, _sequence, _ordinal, _measurement, _at, field_0)
     SELECT 'tenant-a', $1, 1, 0, 0, min(_at), 1 FROM ${table}`,
};

for (const server of ["postgresql", "pgbouncer", "timescaledb"] as const) {
  describeOnServer(server, (url) => {
    const database = new TestDatabase(url);
    beforeAll(() => database.create());
    afterAll(() => database[Symbol.asyncDispose]());
    // The time is short for the sake of the test that waits for a lock.
    const urlOf = (home: string): string =>
      database.url({ schema: serverName(home), role: database.role, timeout: "4000" });
    const table = (home: string): string => `${serverName(home)}_series.points_1`;

    describeSeries("postgresql", {
      open: async (home, options) => await openPostgresqlSeries({ url: urlOf(home), ...options }),
      child: {
        module,
        open: `engine.openPostgresqlSeries({ url: ${JSON.stringify(urlOf("HOME"))}.replace(
          ${JSON.stringify(serverName("HOME"))},
          "t" + (await import("node:crypto")).hash("sha256", home).slice(0, 12)) })`,
      },
      faults: {
        tamper: async (home, how, id) => {
          await database.run(TAMPER[how](table(home)), [id]);
        },
        corrupt: async (home) => {
          await database.run(`DROP TABLE ${table(home)}`);
        },
        whileReadOnly: async (home, work) => {
          const schema = `${serverName(home)}_series`;
          await database.run(
            `REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} FROM ${database.role}`,
          );
          await work();
        },
        whileLocked: async (home, work) => {
          const other = await database.client();
          await other.query("BEGIN");
          await other.query(`SELECT 1 FROM ${serverName(home)}_series.collection FOR UPDATE`);
          await work();
          await other.end();
        },
      },
    });
  });
}

describeOnServer("postgresql", (url) => {
  describe("what is particular to PostgreSQL", () => {
    const database = new TestDatabase(url);
    const storeUrl = database.url({ schema: "own", role: database.role });
    const scope = scopeFor("tenant-a");
    let store: SeriesStore;
    beforeAll(async () => {
      await database.create();
      store = await openPostgresqlSeries({ url: storeUrl });
    });
    afterAll(async () => {
      await store[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    });
    const tableOf = async (name: string): Promise<string> => {
      const [row] = await database.run(
        "SELECT table_no FROM own_series.point_table WHERE name = $1",
        [name],
      );
      return `points_${String(row?.["table_no"])}`;
    };

    test("points of any time make their partition as they arrive, and lie in it", async () => {
      const calls = callsOf("lab/times");
      await writePoints(store, scope, calls, {
        points: [
          { at: -62_135_596_800_000, ms: 1 },
          { at: Date.UTC(2026, 1, 28, 23, 59, 59, 999), ms: 2 },
          { at: Date.UTC(2026, 2, 1), ms: 3 },
          { at: 8.64e15, ms: 4 },
        ],
      });
      const points = await tableOf(calls.name);
      const rows = await database.run(
        `SELECT tableoid::regclass::text AS part, field_0 AS ms FROM own_series.${points} ORDER BY ms`,
      );
      expect(rows).toEqual([
        { part: `own_series.${points}_before`, ms: 1 },
        { part: `own_series.${points}_202602`, ms: 2 },
        { part: `own_series.${points}_202603`, ms: 3 },
        { part: `own_series.${points}_after`, ms: 4 },
      ]);
    });

    test("a query reads only the partitions of its range", async () => {
      const calls = callsOf("lab/times");
      const plan = await store.explain(scope, calls, {
        measurement: "calls",
        from: Date.UTC(2026, 2, 1),
        to: Date.UTC(2026, 2, 2),
        bucketMs: 3_600_000,
        values: { n: { field: "ms", fn: "count" } },
      });
      const points = await tableOf(calls.name);
      const parts = new Set(plan.join("\n").match(new RegExp(`${points}_\\w+?(?=_|\\b)`, "g")));
      expect([...parts]).toEqual([`${points}_202603`]);
    });

    test("two processes that make the same partitions and write the same records leave each once", async () => {
      const calls = callsOf("lab/both");
      await using other = await openPostgresqlSeries({ url: storeUrl });
      await store.prepare(scope, calls);
      const records = Array.from({ length: 600 }, (_, number) => ({
        id: `both-${number}`,
        sequence: 1 + (number % 3),
        text: `{"at":${Date.UTC(2020, number % 24)},"ms":1}`,
      }));
      const delivery = deliver(calls.name, records);
      await Promise.all([store, other].map((one) => one.apply(scope, calls, delivery)));
      expect(await allRows(store, scope, calls)).toHaveLength(600);
    });

    test("row-level security keeps tenants apart even for SQL that does not name one", async () => {
      const calls = callsOf("lab/apart");
      for (const tenant of ["tenant-a", "tenant-b"]) {
        await writePoints(store, scopeFor(tenant), calls, { points: [{ at: 0, ms: 1 }] });
      }
      const client = await database.client();
      await client.query(`SET ROLE ${database.role}`);
      await client.query("SET custody.space = 'tenant-b'");
      const points = await tableOf(calls.name);
      const { rows } = await client.query(`SELECT _space FROM own_series.${points}`);
      expect(rows).toEqual([{ _space: "tenant-b" }]);
      await expect(client.query(`SELECT 1 FROM own_series.${points}_before`)).rejects.toMatchObject(
        { code: "42501" },
      );
      await client.end();
    });

    test("tables that no tenant holds any more are dropped with their partitions", async () => {
      const calls = callsOf("lab/gone");
      await writePoints(store, scope, calls, { points: [{ at: 0, ms: 1 }] });
      const points = await tableOf(calls.name);
      await store.discard(scope, calls);
      const left = await database.run("SELECT 1 FROM pg_class WHERE relname LIKE $1", [
        `${points}%`,
      ]);
      expect(left).toEqual([]);
    });

    test("a connection that the server ends is unavailable once, and then a new one is made", async () => {
      await using one = await openPostgresqlSeries({ url: `${storeUrl}&pool=2` });
      const calls = callsOf("lab/killed");
      await writePoints(one, scope, calls, { points: [{ at: 0, ms: 1 }] });
      await database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'custody' AND datname = $1",
        [database.name],
      );
      const batch = makeBatch(calls.name, [{ id: "after", sequence: 2, text: '{"at":1,"ms":1}' }]);
      const again = async (): Promise<void> =>
        await one.apply(scope, calls, { batches: [batch], checkpoint: 2 });
      await again().catch(async (cause: unknown) => {
        expect(cause).toMatchObject({ name: "StoreError", code: "unavailable" });
        await again();
      });
      expect(await one.checkpoint(scope, calls)).toBe(2);
    });
  });
});

// A database of their own, made with the first opening of a store.
const network = new TestDatabase(testServerUrl("postgresql") ?? "postgresql://none");
let created: Promise<void> | undefined;
const COUNTED = callsOf("lab/network");

describeNetworkFaults<SeriesStore>("postgresql", {
  open: async (url) => {
    await (created ??= network.create());
    const own = new URL(url);
    own.pathname = `/${network.name}`;
    return openPostgresqlSeries({ url: own.href });
  },
  prepare: async (store, at) => await store.prepare(at, COUNTED),
  write: async (store, number, at) => {
    const text = `{"at":${number},"ms":1}`;
    const batch = makeBatch(COUNTED.name, [{ id: `row-${number}`, sequence: number, text }]);
    await store.repair(at, COUNTED, batch);
  },
  count: async (store, at) => {
    const digests = await store.digest(at, COUNTED, 1_000_000);
    return digests.reduce((sum, { count }) => sum + count, 0);
  },
  clean: async () => {
    if (created !== undefined) await network[Symbol.asyncDispose]();
  },
});
