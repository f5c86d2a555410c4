import { DigestSums, rowHash } from "../content-form.ts";
import type { PgSession } from "../drivers/postgresql-session.ts";
import { sql } from "../drivers/postgresql-sql.ts";
import { openPostgresql } from "../drivers/postgresql.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { pageOfRows, rangeStart } from "../row-pages.ts";
import type { RowRange, StoredContent } from "../row-pages.ts";
import { refuseGap } from "../delivery-start.ts";
import { StoreError } from "../errors.ts";
import type { Collection, StoreStatistics } from "../projected-store.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth, ServerEngine } from "../server-engine.ts";
import { checkType } from "./bucket-answer.ts";
import { onlyPlacements } from "./measurement-layout.ts";
import type { SeriesPlacements, SeriesQuery, SeriesStore } from "./port.ts";
import { seriesContents } from "./postgresql-content.ts";
import { TimePartitions } from "./postgresql-partitions.ts";
import { explainPoints, POSTGRESQL_LIMITS, queryPoints } from "./postgresql-query.ts";
import type { PgSeries } from "./postgresql-query.ts";
import { foldPoints } from "./postgresql-rollup.ts";
import { SeriesRegistry } from "./postgresql-tables.ts";
import type { HeldSeries } from "./postgresql-tables.ts";
import { pointRows, writePoints } from "./postgresql-write.ts";

/** Which PostgreSQL keeps the points. */
export interface PostgresqlSeriesOptions {
  /**
   * `postgresql://user:password@host:port/database?schema=custody&role=custody_app`, or `timescale:` for
   * the same. The tables lie in the schema `<schema>_series`; the options are those of
   * `PostgresqlOptions`.
   */
  readonly url: string;
  /** Secret under which an owner's name becomes a space's; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Epoch milliseconds; against it deadlines are held. */
  readonly clock?: () => number;
}

/**
 * Series in PostgreSQL 15 or newer: a table for each type and mapping, partitioned by month as points
 * arrive, or a hypertable where the extension TimescaleDB is installed. Works behind a pooler.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the client library is missing.
 */
export async function openPostgresqlSeries({
  url,
  ownerSalt,
  clock = Date.now,
}: PostgresqlSeriesOptions): Promise<SeriesStore & ServerEngine> {
  const salt = ownerSalt === undefined ? {} : { ownerSalt };
  return new PostgresqlSeries(await openPostgresql({ url, clock, ...salt }));
}

type Series = Collection<SeriesPlacements>;

class PostgresqlSeries implements SeriesStore, ServerEngine {
  readonly role = "series";
  readonly engine = "postgresql";
  readonly limits = POSTGRESQL_LIMITS;
  readonly #pg: Postgresql;
  readonly #registry: SeriesRegistry;
  readonly #partitions: TimePartitions;
  /** Points written by table since the planner was last told, by space. */
  readonly #unsettled = new Map<string, Map<string, number>>();

  constructor(pg: Postgresql) {
    this.#pg = pg;
    this.#registry = new SeriesRegistry(pg);
    this.#partitions = new TimePartitions(pg);
  }

  async prepare(scope: Scope, collection: Series): Promise<void> {
    await this.#registry.ready(scope);
    await this.#registry.prepare(scope, collection);
  }

  async apply(scope: Scope, collection: Series, delivery: Delivery): Promise<void> {
    await this.#write(scope, collection, delivery);
  }

  async repair(scope: Scope, collection: Series, batch: RecordBatch): Promise<void> {
    await this.#write(scope, collection, { batches: [batch] });
  }

  async checkpoint(scope: Scope, collection: Series): Promise<number> {
    return await this.#reading(scope, "read a checkpoint", async (session, space) => {
      return (await this.#registry.find(session, space, collection))?.checkpoint ?? 0;
    });
  }

  async discard(scope: Scope, collection: Series): Promise<void> {
    await this.#registry.ready(scope);
    await this.#registry.discard(scope, collection);
  }

  async digest(
    scope: Scope,
    collection: Series,
    bucketSize: number,
  ): ReturnType<SeriesStore["digest"]> {
    const sums = new DigestSums(bucketSize);
    return await this.#reading(scope, `digest ${collection.name}`, async (session, space) => {
      const held = await this.#registry.find(session, space, collection);
      if (held === undefined) return [];
      const all = {
        after: { sequence: -1, id: "" },
        fromSequence: 0,
        toSequence: Number.MAX_SAFE_INTEGER,
      };
      for await (const row of seriesContents(session, { held, space }, all)) {
        sums.add(row.sequence, rowHash(row.id, row.sequence, row.content));
      }
      return sums.digests();
    });
  }

  async list(scope: Scope, collection: Series, range: RowRange): ReturnType<SeriesStore["list"]> {
    const after = rangeStart(range);
    return await this.#reading(scope, `list ${collection.name}`, async (session, space) => {
      const held = await this.#registry.find(session, space, collection);
      if (held === undefined) return { rows: [] };
      const rows: StoredContent[] = [];
      for await (const row of seriesContents(session, { held, space }, { ...range, after })) {
        rows.push(row);
        if (rows.length > Math.min(range.limit, PAGE_MAX)) break;
      }
      return pageOfRows(rows, range.limit);
    });
  }

  async statistics(scope: Scope): Promise<StoreStatistics> {
    return await this.#reading(scope, "count rows", async (session, space) => {
      const collections = [];
      let bytes = 0;
      for (const held of await this.#registry.list(session, space)) {
        const [row] = await session.rows(statisticsOf(held, space));
        const { name, generation } = held;
        collections.push({ name, generation, records: Number(row?.["records"] ?? 0) });
        // Spaces share tables: a space has as much of one as it has of its rows.
        const points = Number(row?.["points"] ?? 0);
        const part = points === 0 ? 0 : points / Math.max(points, Number(row?.["all_points"] ?? 0));
        bytes += Math.round(Number(row?.["bytes"] ?? 0) * part);
      }
      return { collections, bytes };
    });
  }

  /** Makes what was applied durable, and tells the planner of what was loaded. */
  async settle(scope: Scope): Promise<void> {
    const space = this.#pg.space(scope);
    const unsettled = this.#unsettled.get(space);
    if (unsettled === undefined) return;
    this.#unsettled.delete(space);
    const loaded = [...unsettled].filter(([, points]) => points >= POINTS_ANALYSED_MIN);
    try {
      await this.#pg.transaction(
        scope,
        "settle",
        async (session) => {
          for (const [table] of loaded) await session.define([verbatim(`ANALYZE ${table}`)]);
          // The log is written in order: when this is durable, what was written before is.
          await session.run(this.#registry.touch(space));
        },
        { durability: "journal" },
      );
    } catch (cause) {
      this.#unsettled.set(space, unsettled);
      throw cause;
    }
  }

  async query(
    scope: Scope,
    collection: Series,
    query: SeriesQuery,
  ): ReturnType<SeriesStore["query"]> {
    return await this.#asking(scope, collection, async (of) => ({
      rows: await queryPoints(of, query),
      checkpoint: of.held.checkpoint,
    }));
  }

  async explain(scope: Scope, collection: Series, query: SeriesQuery): Promise<readonly string[]> {
    return await this.#asking(scope, collection, (of) => explainPoints(of, query));
  }

  async rollup(
    scope: Scope,
    collection: Series,
    rollup: Parameters<SeriesStore["rollup"]>[2],
  ): Promise<number> {
    await this.#registry.ready(scope);
    return await foldPoints(this.#pg, this.#registry, { scope, name: collection, rollup });
  }

  async health(): Promise<EngineHealth> {
    return await this.#pg.health();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pg[Symbol.asyncDispose]();
  }

  async #write(
    scope: Scope,
    collection: Series,
    {
      batches,
      checkpoint,
      after = 0,
    }: {
      readonly batches: readonly RecordBatch[];
      readonly checkpoint?: number;
      readonly after?: number;
    },
  ): Promise<void> {
    for (const { type } of batches) checkType(collection, type);
    const isRepair = checkpoint === undefined;
    const isAppendOnly = collection.isAppendOnly === true;
    const found = await this.#reading(scope, `write ${collection.name}`, (session, space) =>
      this.#registry.require(session, space, collection),
    );
    const parts = pointRows(onlyPlacements(collection), batches, isRepair ? -1 : found.checkpoint);
    if (!found.isHypertable) {
      const instants = parts.flatMap(({ points }) => points.map(({ at }) => at));
      await this.#partitions.make(scope, found, instants);
    }
    const space = this.#pg.space(scope);
    await this.#pg.transaction(
      scope,
      `write ${collection.name}`,
      async (session) => {
        const held = await this.#registry.require(session, space, collection, "locked");
        if (held.tableNo !== found.tableNo) throw madeAnew(collection);
        refuseGap(collection, { after }, held.checkpoint);
        // Another process may have been here since: its records are not written again.
        const isStale = !isRepair && held.checkpoint !== found.checkpoint;
        const fresh = isStale
          ? pointRows(onlyPlacements(collection), batches, held.checkpoint)
          : parts;
        let { highest } = held;
        for (const rows of fresh) {
          await writePoints(session, { held, space, isAppendOnly, isRepair }, rows);
          for (const index of rows.indexes) {
            highest = Math.max(highest, rows.batch.sequences[index] ?? 0);
          }
        }
        const reached = Math.max(held.checkpoint, checkpoint ?? 0);
        const to = { checkpoint: reached, highest: Math.max(highest, reached) };
        await session.run(this.#registry.advance(space, held, to));
      },
      { durability: "projection" },
    );
    this.#note(
      space,
      found,
      parts.reduce((sum, { points }) => sum + points.length, 0),
    );
  }

  #note(space: string, { points }: HeldSeries, written: number): void {
    const unsettled = this.#unsettled.get(space) ?? new Map<string, number>();
    this.#unsettled.set(space, unsettled);
    unsettled.set(points, (unsettled.get(points) ?? 0) + written);
  }

  async #asking<Result>(
    scope: Scope,
    collection: Series,
    work: (of: PgSeries) => Promise<Result>,
  ): Promise<Result> {
    const registry = this.#registry;
    return await this.#reading(scope, `query ${collection.name}`, async (session, space) => {
      const held = await registry.require(session, space, collection);
      return await work({ session, registry, space, held });
    });
  }

  async #reading<Result>(
    scope: Scope,
    doing: string,
    work: (session: PgSession, space: string) => Promise<Result>,
  ): Promise<Result> {
    const space = this.#pg.space(scope);
    await this.#registry.ready(scope);
    return await this.#pg.read(scope, doing, (session) => work(session, space));
  }
}

// Rows of a page of `list`.
const PAGE_MAX = 10_000;
// Fewer new rows hardly change what the planner knows.
const POINTS_ANALYSED_MIN = 1_000;

function madeAnew({ name }: Series): StoreError {
  return new StoreError("unavailable", `${name} was discarded and made anew in the meantime`);
}

function statisticsOf({ points }: HeldSeries, space: string): ReturnType<typeof sql> {
  return sql`SELECT count(*) FILTER (WHERE _ordinal = 0) AS records, count(*) AS points,
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(${points}::regclass)) AS bytes,
    (SELECT sum(greatest(reltuples, 0)) FROM pg_partition_tree(${points}::regclass) AS tree
      JOIN pg_class ON pg_class.oid = tree.relid WHERE tree.isleaf) AS all_points
    FROM ${verbatim(points)} WHERE _space = ${space}`;
}
