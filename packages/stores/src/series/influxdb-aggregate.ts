import { cell } from "../drivers/influxdb-rows.ts";
import type { FluxRow } from "../drivers/influxdb-rows.ts";
import { StoreError } from "../errors.ts";
import { tooManyBuckets } from "./bucket-answer.ts";
import type { BucketRange } from "./bucket-answer.ts";
import { INSTANT_MAX } from "./influxdb-lines.ts";
import { fluxPoints, millisecondsOf, nanosecondsOf } from "./influxdb-points.ts";
import type { InfluxdbBucket } from "./influxdb-points.ts";
import { fluxText } from "./influxdb-text.ts";
import type { SeriesFunction } from "./port.ts";

/** One number of a bucket; the field encoded. */
export interface AggregateColumn {
  readonly field: string;
  readonly fn: SeriesFunction;
}

/** What is computed; names and values encoded. */
export interface AggregateRequest extends BucketRange {
  readonly measurement: string;
  readonly where: readonly (readonly [string, readonly string[]])[];
  readonly groupBy: readonly string[];
  /** A bucket of a group exists where the first of them is. */
  readonly columns: readonly AggregateColumn[];
  readonly bucketsMax: number;
}

/** A bucket of a group as it is stored. */
export interface AggregateRow {
  readonly bucketAt: number;
  /** Encoded. */
  readonly tags: readonly string[];
  readonly values: readonly (number | null)[];
}

// Scripts under way at once. Version 1.8 takes ten times as long for a script of eight answers as for
// eight scripts.
const TOGETHER = 4;

/** Computes buckets in the server. @throws StoreError `limit`, `refused` for an unknown function. */
export async function aggregateBuckets(
  of: InfluxdbBucket,
  request: AggregateRequest,
): Promise<readonly AggregateRow[]> {
  if (request.where.some(([, values]) => values.length === 0)) return [];
  const scripts = await aggregateScripts(of, request);
  const answer = new BucketAnswer(request);
  const rest = scripts.values();
  const work = async (): Promise<void> => {
    for (const script of rest) {
      for await (const rows of of.server.rows(of.scope, "aggregate points", script.text)) {
        for (const row of rows) answer.add(script, row);
      }
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, work));
  return answer.rows();
}

/** Puts together what each script says of a bucket. */
class BucketAnswer {
  readonly #request: AggregateRequest;
  readonly #rows = new Map<
    string,
    AggregateRow & { values: (number | null)[]; isThere: boolean }
  >();

  constructor(request: AggregateRequest) {
    this.#request = request;
  }

  add({ column, shiftMs }: AggregateScript, row: FluxRow): void {
    const { bucketMs, columns, groupBy, bucketsMax } = this.#request;
    const startAt = millisecondsOf(nanosecondsOf(cell(row, "_start")));
    // Adding 0 turns -0 into 0.
    const bucketAt = Math.floor((startAt - shiftMs) / bucketMs) * bucketMs + 0;
    const tags = groupBy.map((name) => cell(row, name));
    const key = JSON.stringify([bucketAt, ...tags]);
    let found = this.#rows.get(key);
    if (found === undefined) {
      const values = columns.map(({ fn }) => (fn === "count" ? 0 : null));
      found = { bucketAt, tags, values, isThere: false };
      this.#rows.set(key, found);
    }
    found.values[column] = Number(cell(row, "_value"));
    found.isThere ||= column === 0;
    if (this.#rows.size > bucketsMax) throw tooManyBuckets(bucketsMax);
  }

  rows(): readonly AggregateRow[] {
    return [...this.#rows.values()].filter(({ isThere }) => isThere);
  }
}

/** The Flux text that computes one column in one part of the range. */
export interface AggregateScript {
  readonly text: string;
  readonly column: number;
  /** What was added to instants. */
  readonly shiftMs: number;
}

/** The Flux texts that compute buckets. */
export async function aggregateScripts(
  of: InfluxdbBucket,
  request: AggregateRequest,
): Promise<readonly AggregateScript[]> {
  const { measurement, where, groupBy, columns } = request;
  const conditions = [
    `r._measurement == ${fluxText(measurement)}`,
    ...where.map(([name, values]) => {
      const any = values.map((value) => `r[${fluxText(name)}] == ${fluxText(value)}`);
      return `(${any.join(" or ")})`;
    }),
  ];
  const scripts: AggregateScript[] = [];
  for (const piece of piecesOf(request)) {
    const range = { from: BigInt(piece.from) * 1_000_000n, to: BigInt(piece.to) * 1_000_000n };
    for (const [column, { field, fn }] of columns.entries()) {
      const filter = [...conditions, `r._field == ${fluxText(field)}`].join(" and ");
      const steps = [
        await fluxPoints(of, range, filter),
        `  |> group(columns: [${groupBy.map(fluxText).join(", ")}])`,
        ...windowSteps(piece, request),
        ...functionSteps(fn),
      ];
      scripts.push({ text: steps.join("\n"), column, shiftMs: piece.shiftMs });
    }
  }
  return scripts;
}

/** A part of the range, and how it is cut into buckets. */
interface Piece {
  readonly from: number;
  readonly to: number;
  /** Added to instants, a multiple of the buckets' width. */
  readonly shiftMs: number;
  readonly isOneBucket: boolean;
}

/**
 * Cuts a range at the epoch: the windows of version 1.8 lose what lies before it, so that part is
 * moved behind it, by whole buckets.
 */
function piecesOf({ from, to, bucketMs }: BucketRange): readonly Piece[] {
  const pieces: Piece[] = [];
  let start = from;
  const end = Math.min(to, 0);
  if (start < end) {
    const shiftMs = Math.ceil(-start / bucketMs) * bucketMs;
    const firstEnd = Math.min(Math.floor(start / bucketMs) * bucketMs + bucketMs, end);
    if (shiftMs > INSTANT_MAX) {
      pieces.push({ from: start, to: firstEnd, shiftMs: 0, isOneBucket: true });
      start = firstEnd;
    }
    const restMs = Math.ceil(-start / bucketMs) * bucketMs;
    if (start < end) pieces.push({ from: start, to: end, shiftMs: restMs, isOneBucket: false });
  }
  if (to > 0) pieces.push({ from: Math.max(from, 0), to, shiftMs: 0, isOneBucket: false });
  return pieces;
}

function windowSteps(
  { shiftMs, isOneBucket }: Piece,
  { bucketMs }: BucketRange,
): readonly string[] {
  if (isOneBucket) return [];
  const window = `  |> window(every: ${bucketMs}ms)`;
  if (shiftMs === 0) return [window];
  return [`  |> timeShift(duration: ${shiftMs}ms, columns: ["_start", "_stop", "_time"])`, window];
}

function functionSteps(fn: SeriesFunction): readonly string[] {
  const steps = FUNCTIONS.get(fn);
  if (steps !== undefined) return steps;
  throw new StoreError("refused", `there is no function ${JSON.stringify(fn)}`);
}

// Grouping puts series after one another, whatever their instants.
const BY_TIME = '  |> sort(columns: ["_time"])';

// `exact_mean` draws a straight line between the two nearest values, as every engine here does.
const FUNCTIONS: ReadonlyMap<SeriesFunction, readonly string[]> = new Map([
  ["count", ["  |> count()"]],
  ["sum", ["  |> sum()"]],
  ["mean", ["  |> mean()"]],
  ["min", ["  |> min()"]],
  ["max", ["  |> max()"]],
  ["first", [BY_TIME, "  |> first()"]],
  ["last", [BY_TIME, "  |> last()"]],
  ["p50", ['  |> quantile(q: 0.5, method: "exact_mean")']],
  ["p90", ['  |> quantile(q: 0.9, method: "exact_mean")']],
  ["p95", ['  |> quantile(q: 0.95, method: "exact_mean")']],
  ["p99", ['  |> quantile(q: 0.99, method: "exact_mean")']],
]);
