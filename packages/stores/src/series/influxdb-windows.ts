import { EVERY_INSTANT, markRows } from "./influxdb-points.ts";
import type { InfluxdbBucket, NanosecondRange } from "./influxdb-points.ts";

// Points that are held at a time: about 30 MB with their fields and tags.
const WINDOW_POINTS = 20_000;
// Counts held while points are counted; beyond it what is counted together grows wider.
const COUNTS_MAX = 20_000;
const WIDENING = 16n;

/** Cuts instants into ranges of about {@link WINDOW_POINTS} points each, in ascending order. */
export async function* pointWindows(
  of: InfluxdbBucket,
  range: NanosecondRange = EVERY_INSTANT,
  measurement?: string,
): AsyncGenerator<NanosecondRange> {
  const counts = await countPoints(of, range, measurement);
  let window: { from: bigint; to: bigint } | undefined;
  let points = 0;
  for (const [from, count] of counts.sorted()) {
    const to = from + counts.width < range.to ? from + counts.width : range.to;
    const isCrowded = count > WINDOW_POINTS && counts.width > 1n;
    if (window !== undefined && (isCrowded || points + count > WINDOW_POINTS)) {
      yield window;
      window = undefined;
    }
    if (isCrowded) {
      yield* pointWindows(of, { from: from < range.from ? range.from : from, to }, measurement);
      continue;
    }
    if (window === undefined) {
      window = { from: from < range.from ? range.from : from, to };
      points = 0;
    } else window.to = to;
    points += count;
  }
  if (window !== undefined) yield window;
}

async function countPoints(
  of: InfluxdbBucket,
  range: NanosecondRange,
  measurement: string | undefined,
): Promise<PointCounts> {
  const counts = new PointCounts();
  const only = measurement === undefined ? {} : { measurement };
  for await (const rows of markRows(of, [range], only)) {
    for (const { nanoseconds } of rows) counts.add(nanoseconds);
  }
  return counts;
}

/** Counts points by time, as finely as the number of counts allows. */
class PointCounts {
  width = 1n;
  #counts = new Map<bigint, number>();

  add(nanoseconds: bigint): void {
    this.#count(nanoseconds, 1);
    while (this.#counts.size > COUNTS_MAX) {
      const finer = this.#counts;
      this.width *= WIDENING;
      this.#counts = new Map();
      for (const [from, count] of finer) this.#count(from, count);
    }
  }

  sorted(): readonly (readonly [bigint, number])[] {
    return [...this.#counts].sort(([left], [right]) => (left < right ? -1 : 1));
  }

  #count(nanoseconds: bigint, count: number): void {
    const from = nanoseconds - (((nanoseconds % this.width) + this.width) % this.width);
    this.#counts.set(from, (this.#counts.get(from) ?? 0) + count);
  }
}

// Each is a request of its own.
const RANGES_MAX = 12;

/** Ranges that hold all these instants, and not much between them. */
export function rangesAround(instants: Iterable<bigint>): readonly NanosecondRange[] {
  const sorted = [...new Set(instants)].sort((left, right) => (left < right ? -1 : 1));
  const gaps = sorted
    .slice(1)
    .map((instant, index) => ({ index, gap: instant - (sorted[index] ?? instant) }))
    .sort((left, right) => (left.gap > right.gap ? -1 : 1))
    .slice(0, RANGES_MAX - 1)
    .sort((left, right) => left.index - right.index);
  const ranges: NanosecondRange[] = [];
  let first = 0;
  for (const { index } of [...gaps, { index: sorted.length - 1 }]) {
    const [from, last] = [sorted[first], sorted[index]];
    if (from !== undefined && last !== undefined) ranges.push({ from, to: last + 1n });
    first = index + 1;
  }
  return ranges;
}
