import { cell } from "../drivers/influxdb-rows.ts";
import { openInfluxdb } from "../drivers/influxdb.ts";
import type { Influxdb } from "../drivers/influxdb.ts";
import type { RowRange } from "../row-pages.ts";
import { spaceOf } from "../drivers/space.ts";
import type { Collection, StoreStatistics } from "../projected-store.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth, ServerEngine } from "../server-engine.ts";
import { checkPage, digestBucket, listBucket } from "./influxdb-content.ts";
import { EVERY_INSTANT, fluxPoints } from "./influxdb-points.ts";
import type { InfluxdbBucket } from "./influxdb-points.ts";
import { explainInfluxdb, INFLUXDB_LIMITS, queryInfluxdb } from "./influxdb-query.ts";
import { foldInfluxdb } from "./influxdb-rollup.ts";
import { InfluxdbStates } from "./influxdb-state.ts";
import { MARK } from "./influxdb-text.ts";
import { writeBatches } from "./influxdb-write.ts";
import type { InfluxdbWrite } from "./influxdb-write.ts";
import type { SeriesPlacements, SeriesQuery, SeriesStore } from "./port.ts";

/** What the engine is opened with. */
export interface InfluxdbSeriesOptions {
  /**
   * `influxdb://user:password@host:8086/prefix` for version 1.8, `influxdb://:TOKEN@host:8086/prefix?org=NAME`
   * for 2.x, `influxdbs:` with TLS. The prefix (default `custody`) begins the name of every database or
   * bucket: one for each tenant, record type and generation. Besides the options of every server: `org`.
   */
  readonly url: string;
  /** Needed for data kept per owner. */
  readonly ownerSalt?: Uint8Array;
  /** Epoch milliseconds; against it deadlines are held. */
  readonly clock?: () => number;
}

/**
 * Series in InfluxDB 1.8 (with `flux-enabled`) or 2.x, as points that any tool of InfluxDB reads.
 *
 * Each point carries the field `custody` (sequence, place and id of its record). Points of equal tags
 * in one millisecond lie nanoseconds apart. Every tag of a measurement is always there: `%-` stands for
 * none, `%` for an empty text.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the client library is missing.
 */
export async function openInfluxdbSeries({
  url,
  ownerSalt,
  clock = Date.now,
}: InfluxdbSeriesOptions): Promise<SeriesStore & ServerEngine> {
  return new InfluxdbSeries(await openInfluxdb(url, clock), ownerSalt);
}

type Series = Collection<SeriesPlacements>;

class InfluxdbSeries implements SeriesStore, ServerEngine {
  readonly role = "series";
  readonly engine = "influxdb";
  readonly limits = INFLUXDB_LIMITS;
  readonly #server: Influxdb;
  readonly #states: InfluxdbStates;
  readonly #spaceOf: (scope: Scope) => string;
  /** Buckets whose last delivery from here ended well. */
  readonly #settled = new Set<string>();

  constructor(server: Influxdb, ownerSalt: Uint8Array | undefined) {
    this.#server = server;
    this.#spaceOf = (scope) => spaceOf(scope, ownerSalt);
    this.#states = new InfluxdbStates(server, this.#spaceOf);
  }

  async prepare(scope: Scope, collection: Series): Promise<void> {
    await this.#states.prepare(scope, collection);
  }

  async apply(scope: Scope, collection: Series, delivery: Delivery): Promise<void> {
    await this.#write(scope, collection, delivery);
  }

  async repair(scope: Scope, collection: Series, batch: RecordBatch): Promise<void> {
    await this.#write(scope, collection, { batches: [batch] });
  }

  async checkpoint(scope: Scope, collection: Series): Promise<number> {
    return (await this.#states.find(scope, collection))?.checkpoint ?? 0;
  }

  async discard(scope: Scope, collection: Series): Promise<void> {
    this.#settled.delete(this.#states.bucket(scope, collection));
    await this.#states.discard(scope, collection);
  }

  async digest(
    scope: Scope,
    collection: Series,
    bucketSize: number,
  ): ReturnType<SeriesStore["digest"]> {
    const state = await this.#states.find(scope, collection);
    return state === undefined ? [] : await digestBucket(this.#of(scope, collection), bucketSize);
  }

  async list(scope: Scope, collection: Series, range: RowRange): ReturnType<SeriesStore["list"]> {
    checkPage(range.limit);
    const state = await this.#states.find(scope, collection);
    return state === undefined
      ? { rows: [] }
      : await listBucket(this.#of(scope, collection), range);
  }

  async statistics(scope: Scope): Promise<StoreStatistics> {
    const collections = [];
    const sizes = await (await this.#server.dialect(scope)).bucketBytes(scope);
    let bytes = 0;
    for (const state of await this.#states.list(scope)) {
      const bucket = this.#states.bucket(scope, state);
      const records = await this.#count({ server: this.#server, scope, bucket });
      collections.push({ name: state.name, generation: state.generation, records });
      for (const [name, size] of sizes) {
        if (name === bucket || name === `${bucket}.rollups`) bytes += size;
      }
    }
    return { collections, bytes };
  }

  /** The server merges its files by itself; what it has acknowledged is in its log. */
  async settle(scope: Scope): Promise<void> {
    this.#spaceOf(scope);
    await Promise.resolve();
  }

  async query(
    scope: Scope,
    collection: Series,
    query: SeriesQuery,
  ): ReturnType<SeriesStore["query"]> {
    const state = await this.#states.require(scope, collection);
    const rows = await queryInfluxdb(this.#of(scope, collection), state, query);
    return { rows, checkpoint: state.checkpoint };
  }

  async explain(scope: Scope, collection: Series, query: SeriesQuery): Promise<readonly string[]> {
    const state = await this.#states.require(scope, collection);
    return await explainInfluxdb(this.#of(scope, collection), state, query);
  }

  async rollup(
    scope: Scope,
    collection: Series,
    rollup: Parameters<SeriesStore["rollup"]>[2],
  ): Promise<number> {
    const state = await this.#states.require(scope, collection);
    return await foldInfluxdb(this.#of(scope, collection), this.#states, { state, rollup });
  }

  async health(): Promise<EngineHealth> {
    return await this.#server.health();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  #of(scope: Scope, collection: Series): InfluxdbBucket {
    return { server: this.#server, scope, bucket: this.#states.bucket(scope, collection) };
  }

  async #write(
    scope: Scope,
    collection: Series,
    what: Pick<InfluxdbWrite, "batches" | "checkpoint" | "after">,
  ): Promise<void> {
    const of = this.#of(scope, collection);
    const isUncertain = !this.#settled.delete(of.bucket);
    await writeBatches(of, this.#states, { collection, ...what, isUncertain });
    this.#settled.add(of.bucket);
  }

  async #count(of: InfluxdbBucket): Promise<number> {
    const first = `r._field == "${MARK}" and r._value =~ /^[0-9]+ 0 /`;
    const points = await fluxPoints(of, EVERY_INSTANT, first);
    const script = `${points}\n  |> group()\n  |> count()`;
    let records = 0;
    for await (const rows of of.server.rows(of.scope, "count records", script)) {
      for (const row of rows) records += Number(cell(row, "_value"));
    }
    return records;
  }
}
