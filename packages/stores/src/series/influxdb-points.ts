import { cell } from "../drivers/influxdb-rows.ts";
import type { FluxColumns, FluxRow } from "../drivers/influxdb-rows.ts";
import type { Influxdb } from "../drivers/influxdb.ts";
import type { Scope } from "../scope.ts";
import type { SeriesPoint } from "./content.ts";
import { FAR_AT, FAR_MEASUREMENT, INSTANT_MAX, INSTANT_MIN, readMark } from "./influxdb-lines.ts";
import type { PointMark } from "./influxdb-lines.ts";
import {
  ABSENT,
  FAR,
  fluxText,
  isLongTag,
  lineMeasurement,
  lineText,
  MARK,
  plainText,
  TEXTS,
} from "./influxdb-text.ts";

/** A bucket of a server, for one call. */
export interface InfluxdbBucket {
  readonly server: Influxdb;
  readonly scope: Scope;
  readonly bucket: string;
}

/** Nanoseconds: the first is in, the last is not. */
export interface NanosecondRange {
  readonly from: bigint;
  readonly to: bigint;
}

/** Everything the server's clock reaches. */
export const EVERY_INSTANT: NanosecondRange = {
  from: BigInt(INSTANT_MIN) * 1_000_000n,
  to: (BigInt(INSTANT_MAX) + 1n) * 1_000_000n,
};

/** The nanosecond at which is kept what has no instant. */
export const AT_EPOCH: NanosecondRange = { from: 0n, to: 1n };

/** A series as rows of an answer name it; everything encoded. */
export interface StoredSeries {
  /** Measurement and tags in the line protocol, as it was written. */
  readonly key: string;
  readonly measurement: string;
  readonly tags: readonly (readonly [string, string])[];
}

/** A stored point's mark and place. */
export interface MarkRow {
  readonly series: StoredSeries;
  readonly nanoseconds: bigint;
  readonly mark: PointMark;
}

/** The beginning of a Flux script: points of some instants that meet a condition on `r`. */
export async function fluxPoints(
  { server, scope, bucket }: InfluxdbBucket,
  { from, to }: NanosecondRange,
  condition: string,
): Promise<string> {
  const name = (await server.dialect(scope)).bucketName(bucket);
  const steps = [
    `from(bucket: ${fluxText(name)})`,
    `  |> range(start: time(v: ${from}), stop: time(v: ${to > 0n ? to : 1n}))`,
    `  |> filter(fn: (r) => ${condition})`,
  ];
  // Version 1.8 takes a beginning or an end that is not after the epoch for none.
  if (from <= 0n && from > EVERY_INSTANT.from) {
    steps.push(`  |> filter(fn: (r) => r._time >= time(v: ${from}))`);
  }
  if (to <= 0n) steps.push(`  |> filter(fn: (r) => r._time < time(v: ${to}))`);
  return steps.join("\n");
}

/** The marks of stored points, series by series, each by time. @param value a condition on the mark. */
export async function* markRows(
  of: InfluxdbBucket,
  ranges: readonly NanosecondRange[],
  { value, measurement }: { readonly value?: string; readonly measurement?: string } = {},
): AsyncGenerator<readonly MarkRow[]> {
  const conditions = [
    `r._field == "${MARK}"`,
    ...(measurement === undefined ? [] : [`r._measurement == ${fluxText(measurement)}`]),
    ...(value === undefined ? [] : [`r._value =~ ${value}`]),
  ];
  for (const range of ranges) {
    const points = await fluxPoints(of, range, conditions.join(" and "));
    const script = `${points}\n  |> drop(columns: ["_start", "_stop", "_field"])`;
    const series = new SeriesOfRows();
    for await (const rows of of.server.rows(of.scope, "read marks", script)) {
      yield rows.map((row) => ({
        series: series.of(row),
        nanoseconds: nanosecondsOf(cell(row, "_time")),
        mark: readMark(cell(row, "_value")),
      }));
    }
  }
}

/** A point as it is stored, with its series and place. */
export interface StoredPoint {
  readonly mark: PointMark;
  readonly point: SeriesPoint;
}

/**
 * Reads whole points of some instants; they are held together, so cut the instants first.
 *
 * @param isWanted leaves points out before they are held.
 */
export async function readPoints(
  of: InfluxdbBucket,
  ranges: readonly NanosecondRange[],
  isWanted: (series: string, nanoseconds: bigint) => boolean = () => true,
): Promise<readonly StoredPoint[]> {
  const raw: RawPoint[] = [];
  const condition = `r._measurement != "${TEXTS}"`;
  for (const range of ranges)
    raw.push(...(await readRawPoints(of, range, { condition, isWanted })));
  return await pointsOf(of, raw);
}

/** A point with everything in it encoded, as it is stored. */
export interface RawPoint {
  readonly series: StoredSeries;
  readonly nanoseconds: bigint;
  mark?: string;
  readonly fields: Map<string, number>;
}

/** Reads points as they are stored. @param only.condition of Flux, on `r`. */
export async function readRawPoints(
  of: InfluxdbBucket,
  range: NanosecondRange,
  only: {
    readonly condition: string;
    readonly isWanted?: (series: string, nanoseconds: bigint) => boolean;
  },
): Promise<readonly RawPoint[]> {
  const raw = new Map<string, RawPoint>();
  const points = await fluxPoints(of, range, only.condition);
  const script = `${points}\n  |> drop(columns: ["_start", "_stop"])`;
  const series = new SeriesOfRows();
  const add = (row: FluxRow): void => {
    const found = series.of(row);
    const nanoseconds = nanosecondsOf(cell(row, "_time"));
    if (only.isWanted?.(found.key, nanoseconds) === false) return;
    const key = `${found.key} ${nanoseconds}`;
    let point = raw.get(key);
    if (point === undefined) {
      raw.set(key, (point = { series: found, nanoseconds, fields: new Map() }));
    }
    const field = cell(row, "_field");
    if (field === MARK) point.mark = cell(row, "_value");
    else point.fields.set(field, Number(cell(row, "_value")));
  };
  for await (const rows of of.server.rows(of.scope, "read points", script)) rows.forEach(add);
  return [...raw.values()];
}

async function pointsOf(
  of: InfluxdbBucket,
  raw: readonly RawPoint[],
): Promise<readonly StoredPoint[]> {
  const tags = new Set(raw.flatMap(({ series }) => series.tags.map(([, value]) => value)));
  const texts = await readTexts(
    of,
    [...tags].filter((tag) => isLongTag(tag)),
  );
  const points: StoredPoint[] = [];
  for (const { series, nanoseconds, mark, fields } of raw) {
    // What has no mark was not written by Custody, or is a record's point no more.
    if (mark === undefined) continue;
    const { measurement, at } = placeOf(series, nanoseconds, fields);
    fields.delete(FAR_AT);
    const named = series.tags
      .filter(([name, value]) => value !== ABSENT && name !== FAR_MEASUREMENT)
      .map(([name, value]) => [plainText(name), texts.get(value) ?? plainTag(value)] as const);
    const numbers = [...fields]
      .filter(([, number]) => Number.isFinite(number))
      .map(([name, number]) => [plainText(name), number] as const);
    const point = { measurement, at, tags: new Map(named), fields: new Map(numbers) };
    points.push({ mark: readMark(mark), point });
  }
  return points;
}

function placeOf(
  { measurement, tags }: StoredSeries,
  nanoseconds: bigint,
  fields: ReadonlyMap<string, number>,
): { readonly measurement: string; readonly at: number } {
  if (measurement === FAR) {
    const [, name = ""] = tags.find(([tag]) => tag === FAR_MEASUREMENT) ?? [];
    return { measurement: plainText(name), at: fields.get(FAR_AT) ?? 0 };
  }
  return { measurement: plainText(measurement), at: millisecondsOf(nanoseconds) };
}

function plainTag(value: string): string {
  return isLongTag(value) ? value : plainText(value);
}

/** The texts of tags that are too long; by tag. Those that are lost are left out. */
export async function readTexts(
  of: InfluxdbBucket,
  tags: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const parts = new Map<string, string[]>();
  if (tags.length === 0) return new Map();
  const conditions = tags.map((tag) => `r.text == ${fluxText(tag)}`);
  const condition = `r._measurement == "${TEXTS}" and (${conditions.join(" or ")})`;
  const script = await fluxPoints(of, AT_EPOCH, condition);
  for await (const rows of of.server.rows(of.scope, "read long texts", script)) {
    for (const row of rows) {
      const tag = cell(row, "text");
      const part = Number(cell(row, "_field").slice("part".length));
      const found = parts.get(tag) ?? [];
      found[part] = cell(row, "_value");
      parts.set(tag, found);
    }
  }
  return new Map([...parts].map(([tag, found]) => [tag, plainText(found.join(""))]));
}

const NOT_TAGS = new Set([
  "",
  "result",
  "table",
  "_start",
  "_stop",
  "_time",
  "_value",
  "_field",
  "_measurement",
]);

/** Tells the series of rows; those of one table are next to each other. */
class SeriesOfRows {
  #columns: FluxColumns | undefined;
  #table = "";
  #series: StoredSeries = { key: "", measurement: "", tags: [] };

  of(row: FluxRow): StoredSeries {
    const table = cell(row, "table");
    if (row.columns !== this.#columns || table !== this.#table) {
      this.#columns = row.columns;
      this.#table = table;
      this.#series = seriesOf(row);
    }
    return this.#series;
  }
}

function seriesOf(row: FluxRow): StoredSeries {
  const names = row.columns.labels;
  const tags = names
    .filter((name) => !NOT_TAGS.has(name))
    .sort((left, right) => (left < right ? -1 : 1))
    .map((name) => [name, cell(row, name)] as const);
  const measurement = cell(row, "_measurement");
  // The tag that names a far point's measurement was written before the others.
  const first = tags.filter(([name]) => name === FAR_MEASUREMENT);
  const rest = tags.filter(([name]) => name !== FAR_MEASUREMENT);
  const key = [...first, ...rest].map(([name, value]) => `,${lineText(name)}=${lineText(value)}`);
  return { key: `${lineMeasurement(measurement)}${key.join("")}`, measurement, tags };
}

/** Reads RFC 3339 with up to nine digits of a second. */
export function nanosecondsOf(text: string): bigint {
  const fraction = text.slice(20, -1).padEnd(9, "0");
  return BigInt(Date.parse(`${text.slice(0, 19)}Z`)) * 1_000_000n + BigInt(fraction);
}

/** The millisecond that holds a nanosecond. */
export function millisecondsOf(nanoseconds: bigint): number {
  const rest = ((nanoseconds % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return Number((nanoseconds - rest) / 1_000_000n);
}
