import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { fillGroups } from "./fill.ts";
import type { FilledGroup, FilledRow } from "./fill.ts";
import type { SeriesPlacements, SeriesQuery, SeriesRow } from "./port.ts";

/** The part of a query that says which buckets it has. */
export type BucketRange = Pick<SeriesQuery, "from" | "to" | "bucketMs">;

// The range of ECMAScript's instants (tc39.es/ecma262/#sec-time-values-and-time-range).
const INSTANT_MAX = 8.64e15;

/** The start of every bucket of a range. @throws StoreError `refused`, `limit` for more than the limit. */
export function bucketStarts(
  { from, to, bucketMs }: BucketRange,
  bucketsMax: number,
): readonly number[] {
  if (!Number.isSafeInteger(bucketMs) || bucketMs < 1) {
    throw new StoreError("refused", `a bucket is 1 or more whole milliseconds, not ${bucketMs}`);
  }
  if (!isInstant(from) || !isInstant(to)) {
    throw new StoreError("refused", "from and to are whole epoch milliseconds");
  }
  if (from >= to) return [];
  const first = Math.floor(from / bucketMs);
  const count = Math.floor((to - 1) / bucketMs) - first + 1;
  if (count > bucketsMax) throw tooManyBuckets(bucketsMax);
  return Array.from({ length: count }, (_, index) => (first + index) * bucketMs);
}

function isInstant(ms: number): boolean {
  return Number.isInteger(ms) && Math.abs(ms) <= INSTANT_MAX;
}

/** What is thrown for an answer that would be too long. */
export function tooManyBuckets(bucketsMax: number): StoreError {
  return new StoreError("limit", `more than ${bucketsMax} buckets, those of all groups counted`);
}

/** What a rollup is asked to fold, checked. */
export interface RollupRange {
  readonly measurement: string;
  readonly bucketMs: number;
  readonly before: number;
}

/**
 * The end of the last whole bucket that ends by `before`.
 *
 * @throws StoreError `refused` for a width that is none, or no instant.
 */
export function rollupEnd({ bucketMs, before }: RollupRange): number {
  if (!Number.isSafeInteger(bucketMs) || bucketMs < 1 || !Number.isFinite(before)) {
    throw new StoreError("refused", "a rollup takes whole milliseconds, 1 or more, and an instant");
  }
  const end = Math.max(-INSTANT_MAX, Math.min(before, INSTANT_MAX));
  return Math.floor(end / bucketMs) * bucketMs;
}

/** Refuses what a rollup of a width cannot cut. @throws StoreError `refused`. */
export function checkRollupCut({ from, to, bucketMs }: BucketRange, rollupMs: number): void {
  if ([bucketMs, from, to].every((ms) => ms % rollupMs === 0)) return;
  throw new StoreError(
    "refused",
    `a rollup of ${rollupMs} ms answers for multiples of its width alone`,
  );
}

/** What is thrown where a rollup was never made. */
export function noRollup(rollupMs: number): StoreError {
  return new StoreError("refused", `there is no rollup of ${rollupMs} ms`);
}

/**
 * Fills the rows an engine found, ordered by bucket, then tags with absent ones first.
 *
 * @param width how many values a row has.
 */
export function filledRows(
  rows: readonly FilledRow[],
  bucketAts: readonly number[],
  query: Pick<SeriesQuery, "fill" | "groupBy"> & {
    readonly bucketsMax: number;
    readonly width: number;
  },
): readonly FilledRow[] {
  const { fill = "none", groupBy = [], bucketsMax, width } = query;
  if (fill === "none") return rows;
  const groups = new Map<
    string,
    { tags: FilledRow["tags"]; buckets: Map<number, FilledRow["values"]> }
  >();
  // Without groups there is one series, which exists where no point does.
  if (groupBy.length === 0) groups.set("[]", { tags: [], buckets: new Map() });
  for (const row of rows) {
    const key = JSON.stringify(row.tags);
    const group = groups.get(key) ?? { tags: row.tags, buckets: new Map() };
    groups.set(key, group);
    group.buckets.set(row.bucketAt, row.values);
  }
  if (groups.size * bucketAts.length > bucketsMax) throw tooManyBuckets(bucketsMax);
  const ordered: FilledGroup[] = [...groups.values()].sort((left, right) =>
    compareTags(left.tags, right.tags),
  );
  return fillGroups(ordered, bucketAts, { fill, width });
}

/** Orders tags as UTF-8 does, absent ones first. */
export function compareTags(left: FilledRow["tags"], right: FilledRow["tags"]): number {
  for (const [index, tag] of left.entries()) {
    const other = right[index] ?? null;
    if (tag === other) continue;
    if (tag === null || other === null) return tag === null ? -1 : 1;
    return Buffer.compare(Buffer.from(tag, "utf8"), Buffer.from(other, "utf8"));
  }
  return 0;
}

/** Rows with the names that the query gives their tags and values. */
export function namedRows(
  rows: readonly FilledRow[],
  { groupBy = [], values }: Pick<SeriesQuery, "groupBy" | "values">,
): readonly SeriesRow[] {
  const valueNames = Object.keys(values);
  // From entries, as an object's member named `__proto__` would not arrive as one.
  return rows.map((row) => ({
    bucketAt: row.bucketAt,
    tags: Object.fromEntries(groupBy.map((name, at) => [name, row.tags[at] ?? null])),
    values: Object.fromEntries(valueNames.map((name, at) => [name, row.values[at] ?? null])),
  }));
}

/** Refuses a batch of another type. @throws StoreError `refused`. */
export function checkType(collection: Collection<SeriesPlacements>, type: string): void {
  if (Object.hasOwn(collection.placements, type)) return;
  throw new StoreError("refused", `${collection.name} holds no records of ${type}`);
}
