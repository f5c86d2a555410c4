import type { AnalyticsPlacement } from "@custody/contract/placement";

import { connectClickhouse, parseClickhouseUrl, readerSettings } from "../drivers/clickhouse.ts";
import type { ClickhouseServer } from "../drivers/clickhouse.ts";
import { spaceOf } from "../drivers/space.ts";
import { isNotThere } from "../drivers/clickhouse-errors.ts";
import { doubleLiteral, textLiteral } from "../drivers/clickhouse-text.ts";
import { refuseGap } from "../delivery-start.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import type { ServerEngine } from "../server-engine.ts";
import { aggregateSql } from "./clickhouse-aggregate.ts";
import { ClickhouseCatalogue } from "./clickhouse-catalogue.ts";
import type { LiveCollection } from "./clickhouse-catalogue.ts";
import { compileCell } from "./clickhouse-cell.ts";
import { knownColumns, requireColumn } from "./clickhouse-filter.ts";
import { ClickhouseLayout, ofBuild, storedMapping } from "./clickhouse-layout.ts";
import { digestRows, FINAL_SETTINGS, listRows } from "./clickhouse-read.ts";
import { explainUserSql, planLines, runSql } from "./clickhouse-user-sql.ts";
import type { SqlSurface } from "./clickhouse-user-sql.ts";
import { publishView } from "./clickhouse-view.ts";
import {
  checkTypes,
  lengthSettings,
  readCheckpoint,
  writeDelivery,
  writeRepair,
} from "./clickhouse-write.ts";
import type { AggregateQuery, AnalyticsLimits, AnalyticsStore, Cell, SqlRequest } from "./port.ts";

/** How ClickHouse is opened; plain data. */
export interface ClickhouseAnalyticsOptions {
  readonly url: string;
  /** Needed where types are kept per owner. */
  readonly ownerSalt?: Uint8Array;
}

const LIMITS: AnalyticsLimits = { sqlBytesMax: 64 * 1024, rowsMax: 100_000 };
const DEFAULT_PREFIX = "custody";

/**
 * Analytics in ClickHouse 24.8 or newer, through its HTTP interface:
 * `clickhouse://user:password@host:8123/custody?timeout=30000&pool=8`, or `clickhouses://` (port 8443) for TLS.
 *
 * The path is the prefix of the installation's databases: `custody` for what the store itself keeps,
 * `custody_<pack>` for each pack. `compression=gzip` suits a server that is far away. With `sql-user`
 * and `sql-password-file` people's SQL runs under an account of its own, which the operator confines.
 *
 * @throws StoreError `refused` for a URL that cannot be used, `unsupported` without the client library.
 */
export async function openClickhouseAnalytics({
  url,
  ownerSalt,
}: ClickhouseAnalyticsOptions): Promise<AnalyticsStore & ServerEngine> {
  const settings = parseClickhouseUrl(url);
  const layout = new ClickhouseLayout(settings.path === "" ? DEFAULT_PREFIX : settings.path);
  const server = await connectClickhouse(settings);
  const confined = readerSettings(settings);
  const reader = confined === undefined ? undefined : await connectClickhouse(confined);
  const at: Opened = {
    server,
    reader: reader ?? server,
    layout,
    catalogue: new ClickhouseCatalogue(server, layout),
    spaceOf: (scope) => spaceOf(scope, ownerSalt),
  };
  return {
    role: "analytics",
    engine: "clickhouse",
    limits: LIMITS,
    ...writes(at),
    ...keeping(at),
    ...reads(at),
    ...tenantSql(at),
    health: () => server.health(),
    async [Symbol.asyncDispose]() {
      await reader?.[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

interface Opened {
  readonly server: ClickhouseServer;
  /** What people's SQL runs through. */
  readonly reader: ClickhouseServer;
  readonly layout: ClickhouseLayout;
  readonly catalogue: ClickhouseCatalogue;
  readonly spaceOf: (scope: Scope) => string;
}

type Placed = Collection<AnalyticsPlacement>;

function writes({
  server,
  catalogue,
  spaceOf: space,
}: Opened): Pick<AnalyticsStore, "prepare" | "apply" | "repair"> {
  return {
    async prepare(scope, collection) {
      const mapping = storedMapping(collection);
      await catalogue.prepare(scope, space(scope), { ...collection, mapping });
    },

    async apply(scope, collection, delivery) {
      checkTypes(collection, delivery.batches);
      const live = await catalogue.require(scope, space(scope), collection);
      const stored = await readCheckpoint(server, scope, live);
      refuseGap(collection, delivery, stored);
      await writeDelivery({ server, collection, live }, scope, { ...delivery, stored });
    },

    async repair(scope, collection, batch) {
      checkTypes(collection, [batch]);
      const live = await catalogue.require(scope, space(scope), collection);
      await writeRepair({ server, collection, live }, scope, batch);
    },
  };
}

function keeping(
  at: Opened,
): Pick<AnalyticsStore, "checkpoint" | "discard" | "digest" | "list" | "statistics" | "settle"> {
  const { server, catalogue, spaceOf: space } = at;
  const find = async (scope: Scope, collection: Placed): Promise<LiveCollection | undefined> =>
    await catalogue.find(scope, space(scope), collection);
  return {
    async checkpoint(scope, collection) {
      const live = await find(scope, collection);
      return live === undefined ? 0 : await readCheckpoint(server, scope, live);
    },

    async discard(scope, collection) {
      const live = await find(scope, collection);
      if (live === undefined) return;
      await catalogue.discard(scope, live);
      await dropRows(server, scope, live);
      if (live.isPublished) await publishView(at, scope, live.name);
    },

    async digest(scope, collection, bucketSize) {
      const live = await find(scope, collection);
      return live === undefined ? [] : await digestRows(server, scope, live, bucketSize);
    },

    async list(scope, collection, range) {
      checkLimit(range.limit, "limit");
      const live = await find(scope, collection);
      return live === undefined ? { rows: [] } : await listRows(server, scope, live, range);
    },

    async statistics(scope) {
      const lives = await catalogue.list(scope, space(scope));
      const collections = [];
      for (const live of lives) {
        const { rows } = await server.select(scope, {
          doing: `count ${live.name}`,
          sql: `SELECT count() FROM ${live.table.sqlName} FINAL WHERE ${ofBuild(live)}`,
          settings: FINAL_SETTINGS,
        });
        const { name, generation } = live;
        collections.push({ name, generation, records: Number(rows[0]?.[0] ?? 0) });
      }
      return { collections, bytes: await bytesOf(at, scope, lives) };
    },

    async settle(scope) {
      for (const live of await catalogue.list(scope, space(scope))) {
        await server.run(scope, {
          doing: `settle ${live.name}`,
          sql: `OPTIMIZE TABLE ${live.table.sqlName} PARTITION ${partitionOf(live)} FINAL`,
          settings: { optimize_skip_merged_partitions: 1 },
        });
      }
    },
  };
}

async function dropRows(
  server: ClickhouseServer,
  scope: Scope,
  live: LiveCollection,
): Promise<void> {
  try {
    await server.run(scope, {
      doing: `discard ${live.name}`,
      sql: `ALTER TABLE ${live.table.sqlName} DROP PARTITION ${partitionOf(live)}`,
    });
  } catch (cause) {
    // A table that was dropped behind our back has no rows left; discarding is how it is built anew.
    if (!isNotThere(cause)) throw cause;
  }
}

function partitionOf({ space, build }: LiveCollection): string {
  return `(${textLiteral(space)}, ${build})`;
}

async function bytesOf(
  { server, layout }: Opened,
  scope: Scope,
  lives: readonly LiveCollection[],
): Promise<number> {
  if (lives.length === 0) return 0;
  const parts = lives.map(({ name, table, ...live }) =>
    [layout.packDatabase(name), table.tableName, `('${live.space}',${live.build})`]
      .map(textLiteral)
      .join(", "),
  );
  const { rows } = await server.select(scope, {
    doing: "measure the tables",
    sql: `SELECT sum(bytes_on_disk) FROM system.parts WHERE active
      AND (database, table, partition) IN (${parts.map((part) => `(${part})`).join(", ")})`,
  });
  return Number(rows[0]?.[0] ?? 0);
}

function reads(at: Opened): Pick<AnalyticsStore, "aggregate" | "similar" | "explain"> {
  const { server, catalogue, spaceOf: space } = at;
  // The checkpoint is read before the rows: what it promises is then in them.
  const require = async (scope: Scope, collection: Placed) => {
    const live = await catalogue.require(scope, space(scope), collection);
    return { live, checkpoint: await readCheckpoint(server, scope, live) };
  };
  return {
    async aggregate(scope, collection, query) {
      checkLimit(query.limit, "limit");
      const { live, checkpoint } = await require(scope, collection);
      const { sql, names } = aggregateSql(live, query);
      const answer = await server.select(scope, {
        doing: `aggregate ${live.name}`,
        sql,
        settings: { ...FINAL_SETTINGS, ...lengthSettings(sql) },
      });
      const cells = answer.types.map(compileCell);
      const rows = answer.rows.map((row) =>
        Object.fromEntries(
          names.map((name, index): [string, Cell] => [name, cells[index]?.(row[index]) ?? null]),
        ),
      );
      return { rows, checkpoint };
    },

    async similar(scope, collection, query) {
      checkLimit(query.top, "top");
      if (query.vector.length === 0 || !query.vector.every(Number.isFinite)) {
        throw new StoreError(
          "refused",
          "a vector has at least one number, and finite numbers only",
        );
      }
      const { live, checkpoint } = await require(scope, collection);
      const sql = similarSql(live, query);
      const answer = await server.select(scope, {
        doing: `compare vectors of ${live.name}`,
        sql,
        settings: { ...FINAL_SETTINGS, ...lengthSettings(sql) },
      });
      const rows = answer.rows.map(([id, similarity]) => ({
        id: String(id),
        similarity: Number(similarity),
      }));
      return { rows, checkpoint };
    },

    async explain(scope, collection, query: AggregateQuery) {
      checkLimit(query.limit, "limit");
      const live = await catalogue.require(scope, space(scope), collection);
      const sql = `EXPLAIN indexes = 1 ${aggregateSql(live, query).sql}`;
      const answer = await server.select(scope, {
        doing: `explain an aggregate of ${live.name}`,
        sql,
        settings: { ...FINAL_SETTINGS, ...lengthSettings(sql) },
      });
      return planLines(answer.rows.map(([line]) => String(line)));
    },
  };
}

function similarSql(
  live: LiveCollection,
  { column, vector, top }: Parameters<AnalyticsStore["similar"]>[2],
): string {
  const { sql, type } = requireColumn(knownColumns(live.table), column);
  if (type !== "vector") throw new StoreError("refused", `${column} holds no vectors`);
  const wanted = `[${vector.map(doubleLiteral).join(", ")}]`;
  // Vectors of unequal length would be an error: each is brought to this one, and other lengths are left
  // out. A vector of zeros has no direction: its distance is no number.
  const stored = `arrayMap(part -> toFloat64(part), arrayResize(${sql}, ${vector.length}))`;
  return `SELECT _id, 1 - cosineDistance(${stored}, ${wanted}) AS _custody_similarity
    FROM ${live.table.sqlName} FINAL
    WHERE ${ofBuild(live)} AND length(${sql}) = ${vector.length} AND isFinite(_custody_similarity)
    ORDER BY _custody_similarity DESC, _id LIMIT ${top}`;
}

function tenantSql(at: Opened): Pick<AnalyticsStore, "publish" | "sql" | "explainSql"> {
  const { catalogue, reader, layout, spaceOf: space } = at;
  const surface = async (scope: Scope, request: SqlRequest): Promise<SqlSurface> => {
    checkLimit(request.rowsMax, "rowsMax");
    const bytes = Buffer.byteLength(request.statement);
    if (bytes > LIMITS.sqlBytesMax) {
      throw new StoreError("limit", `SQL has ${bytes} bytes; at most ${LIMITS.sqlBytesMax}`);
    }
    const published = (await catalogue.list(scope, space(scope))).filter(
      ({ isPublished }) => isPublished,
    );
    return { server: reader, layout, scope, published };
  };
  return {
    async publish(scope, collection) {
      const live = await catalogue.require(scope, space(scope), collection);
      // Whoever asks for SQL over an owner's tables publishes them again each time.
      if (live.isPublished && scope.owner !== undefined) return;
      await catalogue.publish(scope, live);
      await publishView(at, scope, live.name);
    },
    sql: async (scope, request) => await runSql(await surface(scope, request), request),
    explainSql: async (scope, request) =>
      await explainUserSql(await surface(scope, request), request),
  };
}

function checkLimit(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > LIMITS.rowsMax) {
    throw new StoreError("limit", `${name} is ${value}; 1 to ${LIMITS.rowsMax}`);
  }
}
