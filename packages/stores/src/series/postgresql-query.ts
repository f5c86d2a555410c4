import type { PgSession } from "../drivers/postgresql-session.ts";
import { originalText, sql, storedText, textArray } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { StoreError } from "../errors.ts";
import {
  bucketStarts,
  checkRollupCut,
  filledRows,
  namedRows,
  noRollup,
  tooManyBuckets,
} from "./bucket-answer.ts";
import { requireMeasurement, requireSlot } from "./measurement-layout.ts";
import type { LaidOutMeasurement } from "./measurement-layout.ts";
import type { SeriesFunction, SeriesLimits, SeriesQuery, SeriesRow } from "./port.ts";
import type { HeldSeries, SeriesRegistry } from "./postgresql-tables.ts";

/** What the engine takes at most: an answer is held whole, at about 100 bytes a bucket. */
export const POSTGRESQL_LIMITS: SeriesLimits = {
  bucketsMax: 50_000,
  instantMin: -8.64e15,
  instantMax: 8.64e15,
};

/** Where a query asks. */
export interface PgSeries {
  readonly session: PgSession;
  readonly registry: SeriesRegistry;
  readonly space: string;
  readonly held: HeldSeries;
}

/** Answers a query over points or a rollup. @throws StoreError `refused`, `unsupported`, `limit`. */
export async function queryPoints(of: PgSeries, query: SeriesQuery): Promise<readonly SeriesRow[]> {
  const { bucketsMax } = POSTGRESQL_LIMITS;
  const bucketAts = bucketStarts(query, bucketsMax);
  const statement = await statementOf(of, query);
  if (bucketAts.length === 0) return [];
  const found = await of.session.rows(statement);
  if (found.length > bucketsMax) throw tooManyBuckets(bucketsMax);
  const tags = query.groupBy ?? [];
  const width = Object.keys(query.values).length;
  const rows = found.map((row) => ({
    bucketAt: Number(row["bucket"]),
    tags: tags.map((_, index) => textOrNull(row[`group_${index}`])),
    values: Array.from({ length: width }, (_, index) => numberOrNull(row[`value_${index}`])),
  }));
  return namedRows(filledRows(rows, bucketAts, { ...query, bucketsMax, width }), query);
}

/** The engine's plan for a query, a line at a time. @throws as the query. */
export async function explainPoints(of: PgSeries, query: SeriesQuery): Promise<readonly string[]> {
  bucketStarts(query, POSTGRESQL_LIMITS.bucketsMax);
  const statement = await statementOf(of, query);
  const rows = await of.session.rows(sql`EXPLAIN ${statement}`);
  return rows.map((row) => String(row["QUERY PLAN"]));
}

/** SQL for the start of the bucket that an instant lies in, before the epoch too. */
export function bucketSql(ms: string, bucketMs: number): string {
  return `(${ms} - ((${ms} % ${bucketMs}) + ${bucketMs}) % ${bucketMs})`;
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? originalText(value) : null;
}

function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}

/** Where a query reads, and how it computes there. */
interface Source {
  readonly table: string;
  readonly conditions: readonly PgFragment[];
  readonly bucket: string;
  compute(fn: SeriesFunction, slot: number): string;
}

async function statementOf(of: PgSeries, query: SeriesQuery): Promise<PgFragment> {
  const measurement = requireMeasurement(of.held.layout, query.measurement);
  const source = await sourceOf(of, measurement, query);
  const { where = {}, groupBy = [] } = query;
  const conditions = Object.entries(where).map(([tag, texts]) => {
    const slot = requireSlot(measurement.tags, tag, "tag");
    return sql`${verbatim(`tag_${slot}`)} = ANY(${textArray(texts.map(storedText))})`;
  });
  const groups = groupBy.map((tag) => `tag_${requireSlot(measurement.tags, tag, "tag")}`);
  const values = Object.values(query.values).map(({ field, fn }) =>
    source.compute(fn, requireSlot(measurement.fields, field, "field")),
  );
  const selected = [
    `${source.bucket} AS bucket`,
    ...groups.map((group, index) => `${group} AS group_${index}`),
    ...values.map((value, index) => `${value} AS value_${index}`),
  ];
  const places = [1, ...groups.map((_, index) => index + 2)];
  const holds = [...source.conditions, ...conditions].reduce((all, one) => sql`${all} AND ${one}`);
  return sql`SELECT ${verbatim(selected.join(", "))} FROM ${verbatim(source.table)}
    WHERE _space = ${of.space} AND ${holds}
    GROUP BY ${verbatim(places.join(", "))}
    ORDER BY ${verbatim(places.map((place) => `${place} NULLS FIRST`).join(", "))}
    LIMIT ${POSTGRESQL_LIMITS.bucketsMax + 1}`;
}

async function sourceOf(
  { session, registry, space, held }: PgSeries,
  { number }: LaidOutMeasurement,
  query: SeriesQuery,
): Promise<Source> {
  const { source = "points", from, to, bucketMs } = query;
  if (source === "points") {
    return {
      table: held.points,
      conditions: [sql`_measurement = ${number} AND _at >= ${from} AND _at < ${to}`],
      bucket: bucketSql("_at", bucketMs),
      compute: computePoints,
    };
  }
  const { rollupMs } = source;
  const rollup = { tableNo: held.tableNo, measurement: number, bucketMs: rollupMs };
  const isMade =
    Number.isSafeInteger(rollupMs) && (await registry.hasRollup(session, space, rollup));
  if (!isMade) throw noRollup(rollupMs);
  checkRollupCut(query, rollupMs);
  return {
    table: held.rollups,
    conditions: [
      sql`measurement = ${number} AND bucket_ms = ${rollupMs}
        AND bucket >= ${from} AND bucket < ${to}`,
    ],
    bucket: bucketSql("bucket", bucketMs),
    compute: computeRollup,
  };
}

// Points of one instant are told apart by what no two of them share, so that the answer is always the same.
const ORDER = "_at, _sequence, _id, _ordinal";
const REVERSE = "_at DESC, _sequence DESC, _id DESC, _ordinal DESC";

const QUANTILES: Readonly<Partial<Record<SeriesFunction, number>>> = {
  p50: 0.5,
  p90: 0.9,
  p95: 0.95,
  p99: 0.99,
};

function computePoints(fn: SeriesFunction, slot: number): string {
  const field = `field_${slot}`;
  const isPresent = `FILTER (WHERE ${field} IS NOT NULL)`;
  switch (fn) {
    case "count":
    case "sum":
    case "min":
    case "max":
      return `${fn}(${field})`;
    case "mean":
      return `avg(${field})`;
    case "first":
      return `(array_agg(${field} ORDER BY ${ORDER}) ${isPresent})[1]`;
    case "last":
      return `(array_agg(${field} ORDER BY ${REVERSE}) ${isPresent})[1]`;
    case "p50":
    case "p90":
    case "p95":
    case "p99":
      return `percentile_cont(${QUANTILES[fn]}) WITHIN GROUP (ORDER BY ${field})`;
  }
  throw new StoreError("refused", `there is no function ${JSON.stringify(fn)}`);
}

function computeRollup(fn: SeriesFunction, slot: number): string {
  switch (fn) {
    case "count":
      return `sum(count_${slot})`;
    case "sum":
      return `sum(sum_${slot})`;
    case "mean":
      return `sum(sum_${slot}) / nullif(sum(count_${slot}), 0)::double precision`;
    case "min":
    case "max":
      return `${fn}(${fn}_${slot})`;
    case "first":
    case "last":
    case "p50":
    case "p90":
    case "p95":
    case "p99":
      throw new StoreError("unsupported", `a rollup does not keep what ${fn} needs`);
  }
  throw new StoreError("refused", `there is no function ${JSON.stringify(fn)}`);
}
