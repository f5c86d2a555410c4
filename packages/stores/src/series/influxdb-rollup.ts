import type { InfluxdbRange } from "../drivers/influxdb.ts";
import { rollupEnd } from "./bucket-answer.ts";
import type { RollupRange } from "./bucket-answer.ts";
import { INSTANT_MAX, INSTANT_MIN } from "./influxdb-lines.ts";
import { EVERY_INSTANT, millisecondsOf, readRawPoints } from "./influxdb-points.ts";
import type { InfluxdbBucket, RawPoint, StoredSeries } from "./influxdb-points.ts";
import { rollupKey, WIDTH_TAG } from "./influxdb-query.ts";
import { rollupBucket } from "./influxdb-state.ts";
import type { InfluxdbState, InfluxdbStates } from "./influxdb-state.ts";
import { encodedName, fluxText, lineMeasurement, lineText } from "./influxdb-text.ts";
import { pointWindows } from "./influxdb-windows.ts";
import { requireMeasurement } from "./measurement-layout.ts";
import type { LaidOutMeasurement, SeriesLayout } from "./measurement-layout.ts";

/**
 * Folds whole buckets that end by `before`; answers how many were written.
 *
 * A bucket is computed from its points. Where fewer of them are left than were folded, points were
 * dropped since, and the bucket stays as it is.
 */
export async function foldInfluxdb(
  of: InfluxdbBucket,
  states: InfluxdbStates,
  { state, rollup }: { readonly state: InfluxdbState; readonly rollup: RollupRange },
): Promise<number> {
  const layout = JSON.parse(state.layout) as SeriesLayout;
  const measurement = requireMeasurement(layout, rollup.measurement);
  const { bucketMs } = rollup;
  const reached = Math.floor(INSTANT_MAX / bucketMs) * bucketMs;
  const end = Math.min(rollupEnd(rollup), reached);
  const into = { ...of, bucket: rollupBucket(of.bucket) };
  await beginRollup(into, states, { state, key: rollupKey(measurement, bucketMs) });
  const fold = new Fold(of, into, { measurement, bucketMs });
  const range = { from: EVERY_INSTANT.from, to: BigInt(end) * 1_000_000n };
  if (range.from >= range.to) return 0;
  for await (const window of pointWindows(of, range, encodedName(rollup.measurement))) {
    await fold.window(millisecondsOf(window.from), millisecondsOf(window.to - 1n) + 1);
  }
  return fold.written;
}

async function beginRollup(
  { server, scope, bucket }: InfluxdbBucket,
  states: InfluxdbStates,
  { state, key }: { readonly state: InfluxdbState; readonly key: string },
): Promise<void> {
  if (state.rollups.includes(key)) return;
  await (await server.dialect(scope)).makeBucket(scope, bucket);
  await states.write(scope, { ...state, rollups: [...state.rollups, key] });
}

class Fold {
  written = 0;
  readonly #points: InfluxdbBucket;
  readonly #into: InfluxdbBucket;
  readonly #measurement: string;
  readonly #bucketMs: number;
  #doneTo = Number.NEGATIVE_INFINITY;

  constructor(
    points: InfluxdbBucket,
    into: InfluxdbBucket,
    of: { readonly measurement: LaidOutMeasurement; readonly bucketMs: number },
  ) {
    this.#points = points;
    this.#into = into;
    this.#measurement = encodedName(of.measurement.name);
    this.#bucketMs = of.bucketMs;
  }

  /**
   * Folds the buckets that instants lie in, of which those before were folded already. It is done
   * here: reading the points once takes less time than asking the server for each number.
   */
  async window(fromAt: number, toAt: number): Promise<void> {
    const width = this.#bucketMs;
    const from = Math.max(Math.floor(fromAt / width) * width, this.#doneTo);
    const to = Math.ceil(toAt / width) * width;
    if (from >= to) return;
    this.#doneTo = to;
    const range = {
      from: BigInt(Math.max(from, INSTANT_MIN)) * 1_000_000n,
      to: BigInt(to) * 1_000_000n,
    };
    const condition = `r._measurement == ${fluxText(this.#measurement)}`;
    const points = await readRawPoints(this.#points, range, { condition });
    const isWidth = `${condition} and r.${WIDTH_TAG} == "${width}"`;
    const stored = await readRawPoints(this.#into, range, { condition: isWidth });
    const old = new Map(
      stored.map(({ series, nanoseconds, fields }) => [`${series.key} ${nanoseconds}`, fields]),
    );
    await this.#replace([...foldPoints(points, width).values()], old);
  }

  async #replace(fresh: readonly FoldedBucket[], old: ReadonlyMap<string, Fields>): Promise<void> {
    const { server, scope, bucket } = this.#into;
    const lines: string[] = [];
    const narrowed: InfluxdbRange[] = [];
    for (const { series, bucketAt, fields } of fresh) {
      const tags = [...series.tags, [WIDTH_TAG, String(this.#bucketMs)] as const].sort(byName);
      const instant = BigInt(bucketAt) * 1_000_000n;
      const key = tags.map(([name, value]) => `,${lineText(name)}=${lineText(value)}`).join("");
      const place = `${lineMeasurement(this.#measurement)}${key}`;
      const before = old.get(`${place} ${instant}`);
      if (before !== undefined && !hasChanged(before, fields)) continue;
      // A field that no point of a bucket has any more would stay beside those that are written.
      if ([...(before?.keys() ?? [])].some((name) => !fields.has(name))) {
        narrowed.push({ measurement: this.#measurement, tags, from: instant, to: instant });
      }
      const texts = [...fields].map(([name, value]) => `${lineText(name)}=${value}`);
      lines.push(`${place} ${texts.join(",")} ${instant}`);
    }
    if (narrowed.length > 0) {
      await (await server.dialect(scope)).deleteRanges(scope, bucket, narrowed);
    }
    if (lines.length > 0) await server.write(scope, bucket, lines.join("\n"));
    this.written += lines.length;
  }
}

type Fields = ReadonlyMap<string, number>;

interface FoldedBucket {
  readonly series: StoredSeries;
  readonly bucketAt: number;
  readonly fields: Map<string, number>;
}

function foldPoints(
  points: readonly RawPoint[],
  bucketMs: number,
): ReadonlyMap<string, FoldedBucket> {
  const buckets = new Map<string, FoldedBucket>();
  for (const { series, nanoseconds, fields } of points) {
    const bucketAt = Math.floor(millisecondsOf(nanoseconds) / bucketMs) * bucketMs;
    const key = `${series.key} ${bucketAt}`;
    const bucket = buckets.get(key) ?? { series, bucketAt, fields: new Map<string, number>() };
    buckets.set(key, bucket);
    addTo(bucket.fields, "points", 1);
    for (const [name, value] of fields) {
      addTo(bucket.fields, `count_${name}`, 1);
      addTo(bucket.fields, `sum_${name}`, value);
      const [min, max] = [bucket.fields.get(`min_${name}`), bucket.fields.get(`max_${name}`)];
      bucket.fields.set(`min_${name}`, Math.min(min ?? value, value));
      bucket.fields.set(`max_${name}`, Math.max(max ?? value, value));
    }
  }
  return buckets;
}

function addTo(fields: Map<string, number>, name: string, value: number): void {
  fields.set(name, (fields.get(name) ?? 0) + value);
}

function byName(left: readonly [string, string], right: readonly [string, string]): number {
  return left[0] < right[0] ? -1 : 1;
}

function hasChanged(old: Fields, fresh: Fields): boolean {
  if ((fresh.get("points") ?? 0) < (old.get("points") ?? 0)) return false;
  if (old.size !== fresh.size) return true;
  return [...fresh].some(([name, value]) => {
    const before = old.get(name);
    if (before === undefined) return true;
    // Doubles added in another order differ in their last digits without meaning anything else.
    if (name.startsWith("sum_")) return Math.abs(before - value) > 1e-12 * Math.abs(value);
    return before !== value;
  });
}
