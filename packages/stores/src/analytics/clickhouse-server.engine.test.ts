import { writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { connectClickhouse, parseClickhouseUrl } from "../drivers/clickhouse.ts";
import { textLiteral } from "../drivers/clickhouse-text.ts";
import { firstHost } from "../drivers/server-settings.ts";
import { makeBatch } from "../record-batch.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { openClickhouseAnalytics } from "./clickhouse.ts";
import { dropDatabases, withPath } from "../testing/clickhouse-server.ts";
import { isAllowedFunction } from "./clickhouse-sql-functions.ts";
import { tableOf, writeRows } from "./conformance-rows.ts";
import { allRows } from "../testing/conformance-projection.ts";

const scope = scopeFor("tenant-a");
const PREFIX = serverName("what is particular to ClickHouse");

describeOnServer("clickhouse", (url) => {
  const own = withPath(url, PREFIX);
  const records = (from: number, count: number, sequence: number) =>
    Array.from({ length: count }, (_, n) => ({
      id: `row-${String(from + n).padStart(6, "0")}`,
      sequence,
      text: JSON.stringify({ name: `name ${from + n}` }),
    }));
  const ask = async (sql: string): Promise<readonly (readonly unknown[])[]> => {
    await using server = await connectClickhouse(parseClickhouseUrl(url));
    return (await server.select(scope, { doing: "ask", sql })).rows;
  };
  const tableName = async (type: string): Promise<string> => {
    const [[name] = []] = await ask(
      `SELECT name FROM system.tables WHERE database = ${textLiteral(`${PREFIX}_lab`)} AND startsWith(name, ${textLiteral(`${type}~`)})`,
    );
    return `\`${PREFIX}_lab\`.\`${String(name)}\``;
  };
  afterAll(async () => await dropDatabases(url, PREFIX));

  describe("ClickHouse", () => {
    test("the server says its product and version", async () => {
      await using store = await openClickhouseAnalytics({ url: own });
      const health = await store.health();
      expect(health.product).toBe("ClickHouse");
      expect(health.version).toMatch(/^\d+\.\d+/);
      expect(health.tookMs).toBeGreaterThan(0);
    });

    test("a delivery and its checkpoint are one part: all of it is there, or nothing", async () => {
      await using store = await openClickhouseAnalytics({ url: own });
      const table = tableOf("lab/atomic", { name: "text" });
      await store.prepare(scope, table);
      const batches = [1, 2, 3].map((n) => makeBatch(table.name, records(n * 5_000, 5_000, n)));
      await store.apply(scope, table, { batches, checkpoint: 3 });
      const name = await tableName("atomic");
      expect(await ask(`SELECT uniqExact(_part), count() FROM ${name}`)).toEqual([["1", "15001"]]);
    });

    test("two stores that write the same deliveries at once leave what one leaves", async () => {
      const stores = [
        await openClickhouseAnalytics({ url: own }),
        await openClickhouseAnalytics({ url: own }),
      ];
      const table = tableOf("lab/twice", { name: "text" });
      await Promise.all(stores.map((store) => store.prepare(scope, table)));
      await Promise.all(
        stores.map(async (store, offset) => {
          for (let sequence = 1; sequence <= 10; sequence += 1 + offset) {
            const batches = [makeBatch(table.name, records(0, 20 + sequence, sequence))];
            await store.apply(scope, table, { batches, checkpoint: sequence });
          }
        }),
      );
      const [store] = stores;
      const rows = store === undefined ? [] : await allRows(store, scope, table);
      expect(rows).toHaveLength(30);
      expect(new Set(rows.map(({ sequence }) => sequence))).toEqual(new Set([10]));
      expect(await store?.checkpoint(scope, table)).toBe(10);
      for (const one of stores) await one[Symbol.asyncDispose]();
    });

    test("a row that a slow writer adds late does not bring an older version or a deleted record back", async () => {
      await using store = await openClickhouseAnalytics({ url: own });
      const table = tableOf("lab/late", { name: "text" });
      await writeRows(store, scope, table, [{ name: "kept" }, { name: "gone" }]);
      const late = await tableName("late");
      await store.apply(scope, table, {
        batches: [
          makeBatch(table.name, [
            { id: "row-0", sequence: 5, text: '{"name":"newer"}' },
            { id: "row-1", sequence: 5 },
          ]),
        ],
        checkpoint: 5,
      });
      await using server = await connectClickhouse(parseClickhouseUrl(url));
      await server.run(scope, {
        doing: "write late",
        sql: `INSERT INTO ${late} (_custody_space, _custody_build, _id, _custody_version, _sequence, name)
          SELECT DISTINCT _custody_space, _custody_build, arrayJoin(['row-0', 'row-1']), 3 * 1024, 3, 'late' FROM ${late}`,
      });
      await store.settle(scope);
      expect(await allRows(store, scope, table)).toMatchObject([{ id: "row-0", sequence: 5 }]);
    });

    test("a settled collection is one part, without what was replaced", async () => {
      await using store = await openClickhouseAnalytics({ url: own });
      const table = tableOf("lab/settled", { name: "text" });
      await store.prepare(scope, table);
      for (const sequence of [1, 2, 3]) {
        const batches = [makeBatch(table.name, records(0, 10, sequence))];
        await store.apply(scope, table, { batches, checkpoint: sequence });
      }
      await store.settle(scope);
      const name = await tableName("settled");
      expect(await ask(`SELECT uniqExact(_part), count() FROM ${name}`)).toEqual([["1", "11"]]);
      expect(await store.checkpoint(scope, table)).toBe(3);
    });

    test("a discarded collection's rows are gone from the server, another tenant's are not", async () => {
      await using store = await openClickhouseAnalytics({ url: own });
      const table = tableOf("lab/discarded", { name: "text" });
      await writeRows(store, scope, table, [{ name: "mine" }]);
      await writeRows(store, scopeFor("tenant-b"), table, [{ name: "theirs" }]);
      await store.discard(scope, table);
      const name = await tableName("discarded");
      expect(await ask(`SELECT name FROM ${name} WHERE name IS NOT NULL`)).toEqual([["theirs"]]);
    });

    test("rows of every tenant stand under the document's names for the operator", async () => {
      await using store = await openClickhouseAnalytics({ url: own });
      const name = "fortress/vulnerability_trends";
      const trends = {
        name,
        generation: 1,
        placements: {
          [name]: {
            columns: {
              scan_date: { type: "text", from: "scan_date" },
              cluster_id: { type: "text", from: "cluster_id" },
              critical_count: { type: "integer", from: "critical_count" },
              remediation_rate: { type: "real", from: "remediation_rate" },
            },
            totals: { by: ["scan_date", "cluster_id"], sum: ["critical_count"] },
          },
        },
      } as const;
      for (const [index, tenant] of ["tenant-a", "tenant-b"].entries()) {
        const at = scopeFor(tenant);
        const day = { scan_date: "2026-11-21", cluster_id: "east" };
        await writeRows(store, at, trends, [
          { ...day, critical_count: 1 + index, remediation_rate: 0.5 },
          { ...day, critical_count: 10, remediation_rate: 0.75 },
        ]);
        await store.publish(at, trends);
      }
      expect(
        await ask(`SELECT scan_date, cluster_id, critical_count, remediation_rate, _custody_space
          FROM ${PREFIX}_fortress.vulnerability_trends ORDER BY _custody_space`),
      ).toEqual([
        ["2026-11-21", "east", "11", 0.75, "tenant-a"],
        ["2026-11-21", "east", "12", 0.75, "tenant-b"],
      ]);
      await store.discard(scope, trends);
      expect(
        await ask(`SELECT _custody_space FROM ${PREFIX}_fortress.vulnerability_trends`),
      ).toEqual([["tenant-b"]]);
    });

    test("a table that was dropped behind the store's back is corrupt, and can be built anew", async () => {
      await using store = await openClickhouseAnalytics({ url: own });
      const table = tableOf("lab/dropped", { name: "text", size: "integer" });
      await writeRows(store, scope, table, [{ name: "a" }]);
      await using server = await connectClickhouse(parseClickhouseUrl(url));
      const sql = `DROP TABLE ${await tableName("dropped")} SYNC`;
      await server.run(scope, { doing: "drop", sql });
      const corrupt = { name: "StoreError", code: "corrupt" };
      await expect(store.digest(scope, table, 10)).rejects.toMatchObject(corrupt);
      const batches = [makeBatch(table.name, records(0, 1, 2))];
      await expect(store.apply(scope, table, { batches, checkpoint: 2 })).rejects.toMatchObject(
        corrupt,
      );
      await store.discard(scope, table);
      await store.prepare(scope, table);
      expect(await store.checkpoint(scope, table)).toBe(0);
      await store.apply(scope, table, { batches, checkpoint: 2 });
      expect(await allRows(store, scope, table)).toMatchObject([{ id: "row-000000", sequence: 2 }]);
    });

    test("more calls than connections wait their turn", async () => {
      const separator = own.includes("?") ? "&" : "?";
      await using store = await openClickhouseAnalytics({ url: `${own}${separator}pool=1` });
      const table = tableOf("lab/pool", { name: "text" });
      await writeRows(store, scope, table, [{ name: "a" }]);
      const answers = await Promise.all(
        Array.from({ length: 12 }, () => store.checkpoint(scope, table)),
      );
      expect(answers).toEqual(Array.from({ length: 12 }, () => 1));
    });

    test("a deadline that has passed is unavailable, and nothing is asked", async () => {
      await using store = await openClickhouseAnalytics({ url: own });
      await expect(store.statistics({ ...scope, deadline: Date.now() - 1 })).rejects.toMatchObject({
        code: "unavailable",
        retryable: true,
      });
    });

    test("people's SQL runs under the account that is named for it, all else under the writer's", async () => {
      await using home = await makeTemporaryDirectory();
      writeFileSync(join(home.path, "password"), "of the reader\n");
      await using front = await openRecordingFront(url);
      const options = `sql-user=reader&sql-password-file=${encodeURIComponent(join(home.path, "password"))}`;
      await using store = await openClickhouseAnalytics({
        url: `clickhouse://writer:w@127.0.0.1:${front.port}/${PREFIX}?${options}`,
      });
      const table = tableOf("lab/people", { name: "text" });
      await writeRows(store, scope, table, [{ name: "a" }]);
      await store.publish(scope, table);
      await store.aggregate(scope, table, {
        groupBy: ["name"],
        measures: { n: { fn: "count" } },
        limit: 1,
      });
      expect(new Set(front.accounts.splice(0))).toEqual(new Set(["writer:w"]));
      const statement = "SELECT name FROM lab.people";
      const answer = await store.sql(scope, { statement, rowsMax: 1, timeMs: 5_000 });
      expect(answer.rows).toEqual([["a"]]);
      // The writer lists what is published; the reader asks for its version, twice for the tree, and runs.
      expect(front.accounts).toEqual(["writer:w", ...Array(4).fill("reader:of the reader")]);
    });

    test("what the statement itself allows is reading", async () => {
      await using server = await connectClickhouse(parseClickhouseUrl(url));
      const { rows } = await server.select(scope, {
        doing: "ask",
        sql: "SELECT value FROM system.settings WHERE name = 'readonly' SETTINGS readonly = 2",
      });
      expect(rows).toEqual([["2"]]);
    });

    test("of what the engine calls changeable, SQL may call the time, chance, and the rows themselves", async () => {
      const rows = await ask(
        "SELECT lower(name) FROM system.functions WHERE deterministic = 0 ORDER BY 1",
      );
      const allowed = rows.map(([name]) => String(name)).filter(isAllowedFunction);
      expect(new Set(allowed)).toEqual(new Set(CHANGEABLE));
    });

    test("no function that shows the server, its files or its settings may be called", async () => {
      const rows = await ask(`SELECT name FROM system.functions WHERE categories IN
        ('AI', 'Dictionary', 'Embedded Dictionary', 'Internal', 'Introspection', 'Machine Learning')
        OR name ILIKE '%setting%' OR name ILIKE '%file%' OR name ILIKE '%user%' OR name ILIKE '%server%'
        OR name ILIKE '%state' OR name ILIKE '%merge' OR name ILIKE 'sleep%' OR name ILIKE '%join%get%'`);
      expect(rows.length).toBeGreaterThan(50);
      // CASE is one of the engine's inner functions.
      expect(rows.map(([name]) => String(name)).filter(isAllowedFunction)).toEqual([
        "caseWithExpression",
      ]);
    });
  });
});

/** Passes requests on to the server as the account it knows, and notes who they say they are. */
async function openRecordingFront(
  url: string,
): Promise<AsyncDisposable & { readonly port: number; readonly accounts: string[] }> {
  const { host, port } = firstHost(parseClickhouseUrl(url));
  const accounts: string[] = [];
  const front = createServer((incoming, outgoing) => {
    const { method, url: path, headers } = incoming;
    const said = (headers.authorization ?? "").replace(/^Basic /, "");
    accounts.push(Buffer.from(said, "base64").toString("utf8"));
    const passed = request({ host, port, method, path }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  return {
    port: (front.address() as AddressInfo).port,
    accounts,
    async [Symbol.asyncDispose]() {
      front.closeAllConnections();
      await new Promise((resolve) => front.close(resolve));
    },
  };
}

const CHANGEABLE: readonly string[] = [
  "arrayjoin",
  "arraypartialreversesort",
  "arraypartialshuffle",
  "arraypartialsort",
  "arrayrandomsample",
  "arrayshuffle",
  "curdate",
  "current_date",
  "current_timestamp",
  "datetimetouuidv7",
  "generateuuidv4",
  "generateuuidv7",
  "localtime",
  "localtimestamp",
  "now",
  "now64",
  "nowinblock",
  "nowinblock64",
  "rand",
  "rand32",
  "rand64",
  "randnormal",
  "randuniform",
  "rownumberinallblocks",
  "today",
  "unnest",
  "utc_timestamp",
  "utctimestamp",
  "yesterday",
];
