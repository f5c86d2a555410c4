import { DigestSums, hashText, rowHash } from "../content-form.ts";
import { cursorOf, rangeStart } from "../row-pages.ts";
import type { RowRange } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import type { BucketDigest, Page, RowDigest } from "../projected-store.ts";
import { seriesContent } from "./content.ts";
import { EVERY_INSTANT, markRows, readPoints } from "./influxdb-points.ts";
import type { InfluxdbBucket, MarkRow, StoredPoint } from "./influxdb-points.ts";
import { pointWindows, rangesAround } from "./influxdb-windows.ts";

/** Digests of what is stored, read a window of time at a time. */
export async function digestBucket(
  of: InfluxdbBucket,
  bucketSize: number,
): Promise<readonly BucketDigest[]> {
  const sums = new DigestSums(bucketSize);
  const records = new RecordsOfPoints();
  for await (const window of pointWindows(of)) {
    for (const stored of await readPoints(of, [window])) records.add(stored);
    for (const { sequence, hash } of records.whole()) sums.add(sequence, hash);
  }
  for (const { sequence, hash } of records.rest()) sums.add(sequence, hash);
  return sums.digests();
}

const PAGE_MAX = 10_000;

/**
 * One page of rows by sequence then id. Every mark of the bucket is looked through for it, as the
 * server has no order but time.
 *
 * @throws StoreError `refused` for a cursor that is none of ours, `limit`.
 */
export async function listBucket(of: InfluxdbBucket, range: RowRange): Promise<Page<RowDigest>> {
  const { limit } = range;
  checkPage(limit);
  const first = await firstRecords(of, range);
  const wanted = first.slice(0, limit);
  const places = new Set(wanted.flatMap((record) => record.places));
  const instants = wanted.flatMap((record) => record.nanoseconds);
  const records = new RecordsOfPoints();
  const points = await readPoints(of, rangesAround(instants), (series, nanoseconds) =>
    places.has(`${series} ${nanoseconds}`),
  );
  for (const stored of points) records.add(stored);
  const rows = [...records.whole(), ...records.rest()]
    .map(({ id, sequence, hash }) => ({ id, sequence, hash: hashText(hash) }))
    .sort(byRow);
  const last = rows.at(-1);
  return first.length <= limit || last === undefined
    ? { rows }
    : { rows, cursor: cursorOf([last.sequence, last.id]) };
}

/** @throws StoreError `limit` for a page that is none. */
export function checkPage(limit: number): void {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= PAGE_MAX) return;
  throw new StoreError("limit", `a page is 1 to ${PAGE_MAX} rows, not ${limit}`);
}

interface RecordPlaces {
  readonly id: string;
  readonly sequence: number;
  readonly places: string[];
  readonly nanoseconds: bigint[];
}

/** The first records of a range, one more than a page has. */
async function firstRecords(
  of: InfluxdbBucket,
  { fromSequence, toSequence, limit, cursor }: RowRange,
): Promise<readonly RecordPlaces[]> {
  const after =
    cursor === undefined ? undefined : rangeStart({ fromSequence, toSequence, limit, cursor });
  let found = new Map<string, RecordPlaces>();
  let last: RecordPlaces | undefined;
  const cut = (): void => {
    const sorted = [...found].sort(([, left], [, right]) => byRow(left, right));
    found = new Map(sorted.slice(0, limit + 1));
    if (sorted.length > limit) last = sorted[limit]?.[1];
  };
  const look = ({ series, nanoseconds, mark }: MarkRow): void => {
    const { id, sequence } = mark;
    if (sequence < fromSequence || sequence >= toSequence) return;
    if (after !== undefined && byRow(mark, after) <= 0) return;
    if (last !== undefined && byRow(mark, last) > 0) return;
    const key = `${sequence} ${id}`;
    const record = found.get(key) ?? { id, sequence, places: [], nanoseconds: [] };
    found.set(key, record);
    record.places.push(`${series.key} ${nanoseconds}`);
    record.nanoseconds.push(nanoseconds);
    if (found.size > 2 * (limit + 1)) cut();
  };
  for await (const rows of markRows(of, [EVERY_INSTANT])) rows.forEach(look);
  cut();
  return [...found.values()];
}

interface HashedRow extends RowName {
  readonly hash: bigint;
}

type RowName = Pick<RowDigest, "id" | "sequence">;

function byRow(left: RowName, right: RowName): number {
  return left.sequence - right.sequence || compareText(left.id, right.id);
}

/** Orders texts as UTF-8 does, without making it: sorting asks often. */
function compareText(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const [one, other] = [left.charCodeAt(at), right.charCodeAt(at)];
    if (one === other) continue;
    // What two code units make lies behind all that one makes.
    const isPair = (unit: number): boolean => unit >= 0xd8_00 && unit <= 0xdf_ff;
    if (isPair(one) !== isPair(other)) return isPair(one) ? 1 : -1;
    return one - other;
  }
  return left.length - right.length;
}

/** Puts the points of records together; a record lies in several places where it has several points. */
class RecordsOfPoints {
  readonly #open = new Map<string, StoredPoint[]>();
  #whole: HashedRow[] = [];

  add(stored: StoredPoint): void {
    const { id, sequence, count } = stored.mark;
    if (count === 1) {
      this.#whole.push(rowOf([stored]));
      return;
    }
    const key = `${sequence} ${id}`;
    const points = [...(this.#open.get(key) ?? []), stored];
    if (points.length < count) {
      this.#open.set(key, points);
      return;
    }
    this.#open.delete(key);
    this.#whole.push(rowOf(points));
  }

  /** Records whose points are all there; each is told once. */
  whole(): readonly HashedRow[] {
    const whole = this.#whole;
    this.#whole = [];
    return whole;
  }

  /** Records that lack points: their hash is none that the journal has. */
  rest(): readonly HashedRow[] {
    return [...this.#open.values()].map(rowOf);
  }
}

function rowOf(stored: readonly StoredPoint[]): HashedRow {
  const sorted = [...stored].sort((left, right) => left.mark.ordinal - right.mark.ordinal);
  const { id = "", sequence = 0 } = sorted[0]?.mark ?? {};
  const content = seriesContent(sorted.map(({ point }) => point));
  return { id, sequence, hash: rowHash(id, sequence, content) };
}
