import { afterAll } from "vitest";

import { connectClickhouse, parseClickhouseUrl } from "../drivers/clickhouse.ts";
import { quoteClickhouseName, textLiteral } from "../drivers/clickhouse-text.ts";
import { makeBatch } from "../record-batch.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import type { ProjectionFixture } from "../testing/conformance-projection.ts";
import { dropDatabases, withPath } from "../testing/clickhouse-server.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { openClickhouseAnalytics } from "./clickhouse.ts";
import { tableOf } from "./conformance-rows.ts";
import { CLICKHOUSE_SQL } from "./conformance-dialect.ts";
import { describeAnalytics } from "./conformance.ts";
import type { AnalyticsStore } from "./port.ts";

const scope = scopeFor("tests");
const COUNTED = tableOf("lab/counted", { name: "text" });
const NETWORK = serverName("the network of ClickHouse");

describeOnServer("clickhouse", (url) => {
  const homes = new Set<string>();
  afterAll(async () => {
    for (const home of homes) await dropDatabases(url, serverName(home));
  });

  const fixture: ProjectionFixture<AnalyticsStore> = {
    open: async (home, options) => {
      homes.add(home);
      return await openClickhouseAnalytics({ url: withPath(url, serverName(home)), ...options });
    },
    child: {
      module: new URL("./clickhouse.ts", import.meta.url).href,
      open: `engine.openClickhouseAnalytics({ url: ${JSON.stringify(withPath(url, "PREFIX"))}.replace("PREFIX",
        "t" + (await import("node:crypto")).createHash("sha256").update(home).digest("hex").slice(0, 12)) })`,
    },
    faults: {
      tamper: async (home, how, id) => await tamper(url, serverName(home), { how, id }),
    },
  };
  describeAnalytics("clickhouse", fixture, CLICKHOUSE_SQL);
});

describeNetworkFaults<AnalyticsStore>("clickhouse", {
  open: async (url) => await openClickhouseAnalytics({ url: withPath(url, NETWORK) }),
  prepare: async (store, at) => await store.prepare(at, COUNTED),
  write: async (store, number, at) => {
    const record = { id: `n${number}`, sequence: number, text: `{"name":"${number}"}` };
    await store.apply(at, COUNTED, {
      batches: [makeBatch(COUNTED.name, [record])],
      checkpoint: number,
    });
  },
  count: async (store, at) => {
    const { collections } = await store.statistics(at);
    return collections[0]?.records ?? 0;
  },
  clean: async (url) => await dropDatabases(url, NETWORK),
});

async function tamper(
  url: string,
  prefix: string,
  { how, id }: { readonly how: "alter" | "lose" | "invent"; readonly id: string },
): Promise<void> {
  await using server = await connectClickhouse(parseClickhouseUrl(url));
  const database = `${prefix}_audit`;
  const { rows } = await server.select(scope, {
    doing: "find the table",
    sql: `SELECT name FROM system.tables WHERE database = ${textLiteral(database)} AND startsWith(name, 'scan~')`,
  });
  const table = `${quoteClickhouseName(database)}.${quoteClickhouseName(String(rows[0]?.[0]))}`;
  const statements = {
    alter: `ALTER TABLE ${table} UPDATE title = 'altered' WHERE _id = ${textLiteral(id)}`,
    lose: `ALTER TABLE ${table} DELETE WHERE _id = ${textLiteral(id)}`,
    invent: `INSERT INTO ${table} (_custody_space, _custody_build, _id, _custody_version, _sequence, title)
      SELECT _custody_space, _custody_build, ${textLiteral(id)}, 1024, 1, 'invented' FROM ${table} LIMIT 1`,
  };
  await server.run(scope, {
    doing: "tamper",
    sql: statements[how],
    settings: { mutations_sync: "2" },
  });
}
