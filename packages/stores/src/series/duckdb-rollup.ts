import { DuckDBTimestampValue } from "../drivers/duckdb-values.ts";
import type { DuckDBConnection } from "@duckdb/node-api";

import { bucketSql, quoteName } from "../drivers/duckdb.ts";
import type { DuckdbTableName } from "../drivers/duckdb-protocol.ts";
import type { DuckdbConnectionQueue } from "../drivers/duckdb-connections.ts";
import { INTERNAL_SCHEMA, requireTable } from "../drivers/duckdb-tables.ts";
import type { StoredTable } from "../drivers/duckdb-tables.ts";
import { rollupEnd } from "./bucket-answer.ts";
import { layoutWidth, requireMeasurement } from "./measurement-layout.ts";
import type { SeriesLayout } from "./measurement-layout.ts";

/** What is to be folded. */
export interface RollupRequest {
  readonly table: DuckdbTableName;
  readonly measurement: string;
  readonly bucketMs: number;
  readonly before: number;
}

const MADE = `${quoteName(INTERNAL_SCHEMA)}.rollups`;

/** The table that holds a collection's rollups of every width. */
export function rollupName(table: StoredTable): string {
  return `${quoteName(INTERNAL_SCHEMA)}.rollup_${table.number}`;
}

/** Makes the list of rollups where it does not exist. */
export async function prepareRollups(connection: DuckDBConnection): Promise<void> {
  await connection.run(`CREATE TABLE IF NOT EXISTS ${MADE}
    (number INTEGER NOT NULL, measurement INTEGER NOT NULL, bucket_ms BIGINT NOT NULL)`);
}

/** Whether a rollup of that width was ever made. */
export async function hasRollup(
  connection: DuckDBConnection,
  table: StoredTable,
  { measurement, bucketMs }: { readonly measurement: number; readonly bucketMs: number },
): Promise<boolean> {
  if (!Number.isSafeInteger(bucketMs)) return false;
  const found = await connection.runAndReadAll(
    `SELECT 1 FROM ${MADE} WHERE number = $1 AND measurement = $2 AND bucket_ms = $3`,
    [table.number, measurement, BigInt(bucketMs)],
  );
  return found.currentRowCount > 0;
}

/** Drops what was folded of a collection. */
export async function dropRollups(connection: DuckDBConnection, table: StoredTable): Promise<void> {
  await connection.run(`DROP TABLE IF EXISTS ${rollupName(table)}`);
  await connection.run(`DELETE FROM ${MADE} WHERE number = $1`, [table.number]);
}

/**
 * Folds whole buckets that end by `before`; answers how many were written.
 *
 * A bucket is computed from its points. Where fewer of them are left than were folded, points were
 * dropped since, and the bucket stays as it is.
 */
export async function foldRollup(
  writer: DuckdbConnectionQueue,
  request: RollupRequest,
): Promise<number> {
  const doing = `fold ${request.table.name}`;
  const windows = await writer.transaction(doing, async (connection) => {
    return await beginRollup(connection, await requireTable(connection, request.table), request);
  });
  let written = 0;
  // A transaction for each, which keeps what is not committed small: folding again is no harm.
  for (const window of windows) {
    written += await writer.transaction(doing, async (connection) => {
      const table = await requireTable(connection, request.table);
      return await foldWindow(connection, table, request, window);
    });
  }
  return written;
}

/** Makes the rollup where it does not exist, and answers the ranges to fold. */
async function beginRollup(
  connection: DuckDBConnection,
  table: StoredTable,
  { measurement, bucketMs, before }: RollupRequest,
): Promise<readonly Window[]> {
  const layout = JSON.parse(table.note) as SeriesLayout;
  const { number } = requireMeasurement(layout, measurement);
  const end = rollupEnd({ measurement, bucketMs, before });
  const width = layoutWidth(layout);
  await connection.run(`CREATE TABLE IF NOT EXISTS ${rollupName(table)} (${definition(width)})`);
  if (!(await hasRollup(connection, table, { measurement: number, bucketMs }))) {
    const made = [table.number, number, BigInt(bucketMs)];
    await connection.run(`INSERT INTO ${MADE} VALUES ($1, $2, $3)`, made);
  }
  return await windowsOf(connection, table, { number, bucketMs, end });
}

async function foldWindow(
  connection: DuckDBConnection,
  table: StoredTable,
  { measurement, bucketMs }: RollupRequest,
  { from, to }: Window,
): Promise<number> {
  const layout = JSON.parse(table.note) as SeriesLayout;
  const { number } = requireMeasurement(layout, measurement);
  const width = layoutWidth(layout);
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE fresh AS ${freshSql(table, width, bucketMs)}`,
    [BigInt(number), instant(from), instant(to)],
  );
  return await replaceChanged(connection, table, width, { from, to });
}

// Points folded at a time, so that as many groups at most lie in memory: about 20 MiB.
const WINDOW_POINTS = 100_000;

function instant(ms: number): DuckDBTimestampValue {
  return new DuckDBTimestampValue(BigInt(ms) * 1000n);
}

/** Cuts the buckets before `end` into ranges of about {@link WINDOW_POINTS} points. */
async function windowsOf(
  connection: DuckDBConnection,
  table: StoredTable,
  {
    number,
    bucketMs,
    end,
  }: { readonly number: number; readonly bucketMs: number; readonly end: number },
): Promise<readonly Window[]> {
  const result = await connection.stream(
    `SELECT ${bucketSql("epoch_ms(_at)", bucketMs)} AS bucket, count(*) FROM ${table.sqlName}
     WHERE _measurement = $1 AND _at < $2 GROUP BY bucket ORDER BY bucket`,
    [BigInt(number), instant(end)],
  );
  const windows: { from: number; to: number }[] = [];
  let points = Number.POSITIVE_INFINITY;
  for await (const rows of result.yieldRows()) {
    for (const [bucket, count] of rows) {
      const from = Number(bucket);
      const last = windows.at(-1);
      if (last === undefined || points >= WINDOW_POINTS) {
        windows.push({ from, to: from + bucketMs });
        points = 0;
      } else last.to = from + bucketMs;
      points += Number(count);
    }
  }
  return windows;
}

/** Buckets that start in `from` to `to`, which is not in. */
interface Window {
  readonly from: number;
  readonly to: number;
}

interface Width {
  readonly tags: number;
  readonly fields: number;
}

function slots(count: number, name: (slot: number) => string): string[] {
  return Array.from({ length: count }, (_, slot) => name(slot));
}

function definition({ tags, fields }: Width): string {
  return [
    "measurement BIGINT, bucket_ms BIGINT, bucket BIGINT",
    ...slots(tags, (slot) => `tag_${slot} VARCHAR`),
    "points BIGINT",
    ...slots(
      fields,
      (slot) => `count_${slot} BIGINT, sum_${slot} DOUBLE, min_${slot} DOUBLE, max_${slot} DOUBLE`,
    ),
  ].join(", ");
}

function freshSql(table: StoredTable, { tags, fields }: Width, bucketMs: number): string {
  const columns = [
    `_measurement AS measurement, ${bucketMs}::BIGINT AS bucket_ms`,
    `${bucketSql("epoch_ms(_at)", bucketMs)} AS bucket`,
    ...slots(tags, (slot) => `tag_${slot}`),
    "count(*) AS points",
    ...slots(fields, (slot) => {
      const made = ["count", "sum", "min", "max"];
      return made.map((fn) => `${fn}(field_${slot}) AS ${fn}_${slot}`).join(", ");
    }),
  ];
  return `SELECT ${columns.join(", ")} FROM ${table.sqlName}
    WHERE _measurement = $1 AND _at >= $2 AND _at < $3 GROUP BY ALL`;
}

async function replaceChanged(
  connection: DuckDBConnection,
  table: StoredTable,
  { tags, fields }: Width,
  { from, to }: Window,
): Promise<number> {
  const near = `old.bucket >= ${from} AND old.bucket < ${to}`;
  const same = ["measurement", "bucket_ms", "bucket", ...slots(tags, (slot) => `tag_${slot}`)]
    .map((name) => `old.${name} IS NOT DISTINCT FROM fresh.${name}`)
    .join(" AND ");
  const differs = [
    "old.points <> fresh.points",
    ...slots(fields, (slot) => {
      const exact = ["count", "min", "max"].map(
        (fn) => `old.${fn}_${slot} IS DISTINCT FROM fresh.${fn}_${slot}`,
      );
      // Doubles added in another order differ in their last digits without meaning anything else.
      const sums = `abs(old.sum_${slot} - fresh.sum_${slot}) > 1e-12 * abs(fresh.sum_${slot})`;
      return [...exact, `coalesce(${sums}, false)`].join(" OR ");
    }),
  ].join(" OR ");
  await connection.run(`DELETE FROM ${rollupName(table)} AS old USING temp.main.fresh
    WHERE ${near} AND ${same} AND fresh.points >= old.points AND (${differs})`);
  const result = await connection.run(`INSERT INTO ${rollupName(table)}
    FROM temp.main.fresh WHERE NOT EXISTS (SELECT 1 FROM ${rollupName(table)} AS old
      WHERE ${near} AND ${same})`);
  return result.rowsChanged;
}
