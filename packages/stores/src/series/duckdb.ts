import { DuckdbClient, tableNameOf } from "../drivers/duckdb-client.ts";
import type { DuckdbMapping } from "../drivers/duckdb-client.ts";
import { PART_ROWS_MAX } from "../drivers/duckdb-columns.ts";
import type { PackedColumn } from "../drivers/duckdb-columns.ts";
import { joinDuckdbPool } from "../drivers/duckdb-pool.ts";
import type { DuckdbOptions } from "../drivers/duckdb-pool.ts";
import type { DuckdbPart } from "../drivers/duckdb-protocol.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import { namedRows } from "./bucket-answer.ts";
import { compileSeriesPoints } from "./content.ts";
import type { SeriesPoint } from "./content.ts";
import type { SeriesRequest } from "./duckdb-query.ts";
import type { FilledRow } from "./fill.ts";
import { layoutWidth, onlyPlacements, seriesLayout } from "./measurement-layout.ts";
import type { SeriesLayout } from "./measurement-layout.ts";
import type { SeriesLimits, SeriesPlacements, SeriesQuery, SeriesStore } from "./port.ts";

// Buckets of all groups together: an answer is held whole, at about 100 bytes a bucket.
const LIMITS: SeriesLimits = {
  bucketsMax: 50_000,
  instantMin: -8.64e15,
  instantMax: 8.64e15,
};

/**
 * Embedded series in DuckDB, in the same process as the tenant's analytics where both are opened in
 * one thread for the same directory.
 */
export async function openDuckdbSeries(options: DuckdbOptions): Promise<SeriesStore> {
  const { pool, release } = joinDuckdbPool(options);
  const client = new DuckdbClient<SeriesPlacements>(pool, MAPPING);
  const reads: Pick<SeriesStore, "query" | "explain" | "rollup"> = {
    async query(scope, collection, query) {
      const answer: { rows: FilledRow[]; checkpoint: number } = await client.call(
        scope,
        "query",
        requestOf(collection, query),
      );
      return { rows: namedRows(answer.rows, query), checkpoint: answer.checkpoint };
    },

    async explain(scope, collection, query) {
      return await client.call(scope, "explain", requestOf(collection, query));
    },

    async rollup(scope, collection, rollup) {
      return await client.call(scope, "rollup", { ...rollup, table: tableNameOf(collection) });
    },
  };
  return Object.assign(client, {
    role: "series" as const,
    engine: "duckdb",
    limits: LIMITS,
    ...reads,
    [Symbol.asyncDispose]: release,
  });
}

function requestOf(
  collection: Collection<SeriesPlacements>,
  { values, where = {}, ...query }: SeriesQuery,
): SeriesRequest {
  // Lists, as an object's member named `__proto__` would not arrive as one.
  return {
    ...query,
    table: tableNameOf(collection),
    values: Object.entries(values),
    where: Object.entries(where),
    bucketsMax: LIMITS.bucketsMax,
  };
}

const MAPPING: DuckdbMapping<SeriesPlacements> = {
  store: "series",

  table(collection) {
    const layout = seriesLayout(placementsOf(collection));
    const { tags, fields } = layoutWidth(layout);
    return {
      name: collection.name,
      generation: collection.generation,
      columns: [
        { name: "_ordinal", kind: "integer" },
        { name: "_measurement", kind: "integer" },
        { name: "_at", kind: "timestamp" },
        ...numbered(tags, (slot) => ({ name: `tag_${slot}`, kind: "text" as const })),
        ...numbered(fields, (slot) => ({ name: `field_${slot}`, kind: "real" as const })),
      ],
      note: JSON.stringify(layout),
    };
  },

  rowsPerRecord: (collection) => placementsOf(collection).length,

  part(collection, batch, indexes) {
    const placements = placementsOf(collection);
    const packer = packers.get(placements) ?? compilePacker(placements);
    packers.set(placements, packer);
    return packPart(packer, batch, indexes);
  },
};

function placementsOf(collection: Collection<SeriesPlacements>): SeriesPlacements {
  const placements = onlyPlacements(collection);
  // The rows of one record must fit one part.
  if (placements.length <= PART_ROWS_MAX) return placements;
  throw new StoreError(
    "limit",
    `${collection.name} has more than ${PART_ROWS_MAX} series placements`,
  );
}

interface Packer {
  readonly points: ReturnType<typeof compileSeriesPoints>;
  readonly layout: SeriesLayout;
  readonly numbers: ReadonlyMap<string, number>;
}

const packers = new WeakMap<SeriesPlacements, Packer>();

function compilePacker(placements: SeriesPlacements): Packer {
  const layout = seriesLayout(placements);
  const numbers = new Map(layout.measurements.map(({ name }, number) => [name, number]));
  return { points: compileSeriesPoints(placements), layout, numbers };
}

interface Row {
  readonly id: string;
  readonly sequence: number;
  readonly ordinal: number;
  readonly point: SeriesPoint;
}

function packPart(packer: Packer, batch: RecordBatch, indexes: readonly number[]): DuckdbPart {
  const rows: Row[] = [];
  let hasRemoved = false;
  for (const index of indexes) {
    const id = batch.ids[index] ?? "";
    if (batch.removed[index] === 1) hasRemoved = true;
    else {
      const observedAt = batch.observedAt[index] ?? Number.NaN;
      const points = packer.points({ id, fields: batchRecord(batch, index), observedAt });
      const sequence = batch.sequences[index] ?? 0;
      rows.push(...points.map((point, ordinal) => ({ id, sequence, ordinal, point })));
    }
  }
  return {
    ids: indexes.map((index) => batch.ids[index] ?? ""),
    sequences: Float64Array.from(indexes, (index) => batch.sequences[index] ?? 0),
    hasRemoved,
    rows: packRows(packer, rows),
  };
}

function packRows({ layout, numbers }: Packer, rows: readonly Row[]): PackedColumn[] {
  const width = layoutWidth(layout);
  const numberOf = rows.map(({ point }) => numbers.get(point.measurement) ?? 0);
  const whole = (values: readonly number[]): PackedColumn => ({
    kind: "integer",
    values: BigInt64Array.from(values, BigInt),
    absent: new Uint8Array(values.length),
  });
  return [
    { kind: "text", values: rows.map(({ id }) => id) },
    whole(rows.map(({ sequence }) => sequence)),
    whole(rows.map(({ ordinal }) => ordinal)),
    whole(numberOf),
    { kind: "timestamp", values: Float64Array.from(rows, ({ point }) => point.at) },
    ...numbered(width.tags, (slot): PackedColumn => {
      const names = layout.measurements.map(({ tags }) => tags[slot]);
      const values = rows.map(({ point }, row) => {
        const name = names[numberOf[row] ?? 0];
        return name === undefined ? null : (point.tags.get(name) ?? null);
      });
      return { kind: "text", values };
    }),
    ...numbered(width.fields, (slot): PackedColumn => {
      const names = layout.measurements.map(({ fields }) => fields[slot]);
      const values = Float64Array.from(rows, ({ point }, row) => {
        const name = names[numberOf[row] ?? 0];
        return name === undefined ? Number.NaN : (point.fields.get(name) ?? Number.NaN);
      });
      return { kind: "real", values };
    }),
  ];
}

function numbered<Item>(count: number, make: (slot: number) => Item): Item[] {
  return Array.from({ length: count }, (_, slot) => make(slot));
}
