import { DuckDBTimestampValue } from "../drivers/duckdb-values.ts";
import type { DuckDBConnection, DuckDBValue } from "@duckdb/node-api";

import { bucketSql } from "../drivers/duckdb.ts";
import type { DuckdbTableName } from "../drivers/duckdb-protocol.ts";
import type { StoredTable } from "../drivers/duckdb-tables.ts";
import { StoreError } from "../errors.ts";
import {
  bucketStarts,
  checkRollupCut,
  filledRows,
  noRollup,
  tooManyBuckets,
} from "./bucket-answer.ts";
import type { FilledRow } from "./fill.ts";
import { requireMeasurement, requireSlot } from "./measurement-layout.ts";
import type { LaidOutMeasurement, SeriesLayout } from "./measurement-layout.ts";
import { hasRollup, rollupName } from "./duckdb-rollup.ts";
import type { SeriesFunction, SeriesQuery } from "./port.ts";

/** A query with its names as lists, as it reaches the process. */
export interface SeriesRequest extends Omit<SeriesQuery, "values" | "where"> {
  readonly table: DuckdbTableName;
  readonly values: readonly (readonly [string, SeriesQuery["values"][string]])[];
  readonly where: readonly (readonly [string, readonly string[]])[];
  readonly bucketsMax: number;
}

/** Answers a query over points or a rollup. @throws StoreError `refused`, `unsupported`, `limit`. */
export async function querySeries(
  connection: DuckDBConnection,
  table: StoredTable,
  request: SeriesRequest,
): Promise<readonly FilledRow[]> {
  const bucketAts = bucketStarts(request, request.bucketsMax);
  const { sql, values } = await statementOf(connection, table, request);
  if (bucketAts.length === 0) return [];
  const result = await connection.runAndReadAll(sql, values);
  const tagCount = request.groupBy?.length ?? 0;
  const rows = result.getRows().map((row) => ({
    bucketAt: Number(row[0]),
    tags: row.slice(1, tagCount + 1).map((tag) => (tag === null ? null : String(tag))),
    values: row.slice(tagCount + 1).map((value) => (value === null ? null : Number(value))),
  }));
  if (rows.length > request.bucketsMax) throw tooManyBuckets(request.bucketsMax);
  return filledRows(rows, bucketAts, { ...request, width: request.values.length });
}

/** The engine's plan for a query, a line at a time. */
export async function explainSeries(
  connection: DuckDBConnection,
  table: StoredTable,
  request: SeriesRequest,
): Promise<readonly string[]> {
  bucketStarts(request, request.bucketsMax);
  const { sql, values } = await statementOf(connection, table, request);
  const result = await connection.runAndReadAll(`EXPLAIN ${sql}`, values);
  return result.getRows().flatMap((row) => String(row[1]).trimEnd().split("\n"));
}

async function statementOf(
  connection: DuckDBConnection,
  table: StoredTable,
  request: SeriesRequest,
): Promise<{ sql: string; values: DuckDBValue[] }> {
  const layout = JSON.parse(table.note) as SeriesLayout;
  const measurement = requireMeasurement(layout, request.measurement);
  return statement(await sourceOf(connection, table, measurement, request), measurement, request);
}

/** Where a query reads, and how it computes there. */
interface Source {
  readonly sqlName: string;
  readonly conditions: readonly string[];
  readonly values: readonly DuckDBValue[];
  readonly bucket: string;
  compute(fn: SeriesFunction, slot: number): string;
}

async function sourceOf(
  connection: DuckDBConnection,
  table: StoredTable,
  { number }: LaidOutMeasurement,
  { source = "points", from, to, bucketMs }: SeriesRequest,
): Promise<Source> {
  if (source === "points") {
    return {
      sqlName: table.sqlName,
      conditions: ["_measurement = $1", "_at >= $2", "_at < $3"],
      values: [BigInt(number), instant(from), instant(to)],
      bucket: bucketSql("epoch_ms(_at)", bucketMs),
      compute: computePoints,
    };
  }
  const { rollupMs } = source;
  if (!(await hasRollup(connection, table, { measurement: number, bucketMs: rollupMs }))) {
    throw noRollup(rollupMs);
  }
  checkRollupCut({ from, to, bucketMs }, rollupMs);
  return {
    sqlName: rollupName(table),
    conditions: ["measurement = $1", "bucket_ms = $2", "bucket >= $3", "bucket < $4"],
    values: [BigInt(number), BigInt(rollupMs), BigInt(from), BigInt(to)],
    bucket: bucketSql("bucket", bucketMs),
    compute: computeRollup,
  };
}

function instant(ms: number): DuckDBTimestampValue {
  return new DuckDBTimestampValue(BigInt(ms) * 1000n);
}

const QUANTILES: Readonly<Partial<Record<SeriesFunction, number>>> = {
  p50: 0.5,
  p90: 0.9,
  p95: 0.95,
  p99: 0.99,
};

// Points of one instant are told apart by what no two of them share, so that the answer is always the same.
const ORDER = "_at, _sequence, _id, _ordinal";
const REVERSE = "_at DESC, _sequence DESC, _id DESC, _ordinal DESC";

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
      return `first(${field} ORDER BY ${ORDER}) ${isPresent}`;
    case "last":
      return `first(${field} ORDER BY ${REVERSE}) ${isPresent}`;
    case "p50":
    case "p90":
    case "p95":
    case "p99":
      return `quantile_cont(${field}, ${QUANTILES[fn]})`;
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
      return `sum(sum_${slot}) / nullif(sum(count_${slot}), 0)`;
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

function statement(
  source: Source,
  measurement: LaidOutMeasurement,
  request: SeriesRequest,
): { sql: string; values: DuckDBValue[] } {
  const { values: wanted, where, groupBy = [] } = request;
  const values = [...source.values];
  const conditions = [...source.conditions];
  for (const [tag, texts] of where) {
    const slot = requireSlot(measurement.tags, tag, "tag");
    const placeholders = texts.map((text) => `$${values.push(text)}`);
    conditions.push(
      placeholders.length === 0 ? "false" : `tag_${slot} IN (${placeholders.join(", ")})`,
    );
  }
  const tags = groupBy.map((tag) => `tag_${requireSlot(measurement.tags, tag, "tag")}`);
  const computed = wanted.map(([, { field, fn }]) =>
    source.compute(fn, requireSlot(measurement.fields, field, "field")),
  );
  const positions = [1, ...tags.map((_, index) => index + 2)];
  const sql = `SELECT ${[source.bucket, ...tags, ...computed].join(", ")}
    FROM ${source.sqlName} WHERE ${conditions.join(" AND ")}
    GROUP BY ${positions.join(", ")}
    ORDER BY ${positions.map((position) => `${position} NULLS FIRST`).join(", ")}
    LIMIT ${request.bucketsMax + 1}`;
  return { sql, values };
}
