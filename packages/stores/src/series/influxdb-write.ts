import type { InfluxdbRange } from "../drivers/influxdb.ts";
import { refuseGap } from "../delivery-start.ts";
import type { Collection } from "../projected-store.ts";
import { batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import { checkType } from "./bucket-answer.ts";
import { compileSeriesPoints } from "./content.ts";
import { compileLinePoints, SlotBook, textLine } from "./influxdb-lines.ts";
import type { LinePoint } from "./influxdb-lines.ts";
import { EVERY_INSTANT, markRows, millisecondsOf } from "./influxdb-points.ts";
import type { InfluxdbBucket, MarkRow } from "./influxdb-points.ts";
import type { InfluxdbState, InfluxdbStates } from "./influxdb-state.ts";
import { encodedText, longTag } from "./influxdb-text.ts";
import { rangesAround } from "./influxdb-windows.ts";
import { onlyPlacements, seriesLayout } from "./measurement-layout.ts";
import type { SeriesPlacements } from "./port.ts";
import { cutIndexes, latestSequences, wantedIndexes } from "./wanted-records.ts";

/** What one write is about. */
export interface InfluxdbWrite {
  readonly collection: Collection<SeriesPlacements>;
  readonly batches: readonly RecordBatch[];
  /** Absent for a repair: rows are then made equal whatever is stored. */
  readonly checkpoint?: number;
  /** The checkpoint from which a delivery was read. */
  readonly after?: number;
  /** True where what was written before may not be as this process knows it. */
  readonly isUncertain: boolean;
}

// Records of one request.
const RECORDS_MAX = 5_000;

/**
 * Writes records, then the checkpoint.
 *
 * The server has no transaction: a crash leaves points beyond the checkpoint, which the same records
 * find and write again in the same places.
 */
export async function writeBatches(
  of: InfluxdbBucket,
  states: InfluxdbStates,
  write: InfluxdbWrite,
): Promise<void> {
  const { collection, batches, checkpoint } = write;
  for (const { type } of batches) checkType(collection, type);
  const state = await states.require(of.scope, collection);
  refuseGap(collection, write, state.checkpoint);
  const run = new WriteRun(of, states, { ...write, state });
  const after = checkpoint === undefined ? -1 : state.checkpoint;
  const latest = latestSequences(batches);
  for (const batch of batches) {
    for (const indexes of cutIndexes(batch, wantedIndexes(batch, after, latest), RECORDS_MAX)) {
      await run.part(batch, indexes);
    }
  }
  await run.end();
}

class WriteRun {
  readonly #of: InfluxdbBucket;
  readonly #states: InfluxdbStates;
  readonly #write: InfluxdbWrite & { readonly state: InfluxdbState };
  readonly #pointsOf: ReturnType<typeof compileSeriesPoints>;
  readonly #linesOf: ReturnType<typeof compileLinePoints>;
  readonly #isUncertain: boolean;
  readonly #book = new SlotBook();
  #state: InfluxdbState;
  #writing: Promise<void> = Promise.resolve();

  constructor(
    of: InfluxdbBucket,
    states: InfluxdbStates,
    write: InfluxdbWrite & { readonly state: InfluxdbState },
  ) {
    const placements = onlyPlacements(write.collection);
    this.#of = of;
    this.#states = states;
    this.#write = write;
    this.#state = write.state;
    this.#isUncertain = write.isUncertain || write.state.isUnsettled;
    this.#pointsOf = compileSeriesPoints(placements);
    this.#linesOf = compileLinePoints(seriesLayout(placements));
  }

  async part(batch: RecordBatch, indexes: readonly number[]): Promise<void> {
    const kept = this.#mayHaveOlder(batch, indexes)
      ? await this.#removeOlder(batch, indexes)
      : indexes;
    const points: LinePoint[] = [];
    for (const index of kept) points.push(...this.#pointsOfRecord(batch, index));
    await this.#noteNeighbours(points);
    const lines: string[] = [];
    let isMoved = false;
    for (const point of points) {
      const place = this.#book.place(point);
      isMoved ||= place.isMoved;
      for (const text of point.longTexts) lines.push(textLine(longTag(text), text));
      lines.push(`${point.series} ${point.fields} ${place.nanoseconds}`);
    }
    this.#note(batch, indexes, points);
    // The next part is made while this one is written.
    await this.#writing;
    if (isMoved) await this.#unsettle();
    if (lines.length === 0) return;
    this.#writing = this.#send(lines);
    // Whoever waits for it is told.
    this.#writing.catch(() => undefined);
  }

  async #send(lines: readonly string[]): Promise<void> {
    const { server, scope, bucket } = this.#of;
    for (const text of joinedLines(lines)) await server.write(scope, bucket, text);
  }

  async end(): Promise<void> {
    await this.#writing;
    const { checkpoint } = this.#write;
    const reached = Math.max(this.#state.checkpoint, checkpoint ?? 0);
    await this.#states.write(this.#of.scope, {
      ...this.#state,
      checkpoint: reached,
      highest: Math.max(this.#state.highest, reached),
      isUnsettled: false,
    });
  }

  #pointsOfRecord(batch: RecordBatch, index: number): readonly LinePoint[] {
    if (batch.removed[index] === 1) return [];
    const id = batch.ids[index] ?? "";
    const observedAt = batch.observedAt[index] ?? Number.NaN;
    const points = this.#pointsOf({ id, fields: batchRecord(batch, index), observedAt });
    return this.#linesOf(id, batch.sequences[index] ?? 0, points);
  }

  #mayHaveOlder(batch: RecordBatch, indexes: readonly number[]): boolean {
    const { collection, checkpoint } = this.#write;
    if (checkpoint === undefined) return true;
    if (collection.isAppendOnly !== true && batch.isNew !== true) return true;
    // A repair may have written points ahead of the checkpoint, before this delivery.
    const { highest } = this.#write.state;
    return indexes.some(
      (index) => batch.removed[index] === 1 || (batch.sequences[index] ?? 0) <= highest,
    );
  }

  /** Deletes points of older versions; answers the records of which no newer one is stored. */
  async #removeOlder(batch: RecordBatch, indexes: readonly number[]): Promise<readonly number[]> {
    const versions = new Map(
      indexes.map((index) => [batch.ids[index] ?? "", batch.sequences[index] ?? 0]),
    );
    const isRepair = this.#write.checkpoint === undefined;
    const newer = new Set<string>();
    const asked = askedMarks(versions);
    const runs = new DeletionRuns(asked.value === undefined);
    // Parts before this one may hold the same ids.
    await this.#writing;
    const look = (row: MarkRow): void => {
      const { id, sequence } = row.mark;
      const version = versions.get(id);
      runs.add(row, version !== undefined && (isRepair || sequence < version));
      if (!isRepair && version !== undefined && sequence > version) newer.add(id);
    };
    for await (const rows of markRows(this.#of, [EVERY_INSTANT], asked)) rows.forEach(look);
    const { server, scope, bucket } = this.#of;
    const dialect = await server.dialect(scope);
    await dialect.deleteRanges(scope, bucket, runs.ranges);
    return indexes.filter((index) => !newer.has(batch.ids[index] ?? ""));
  }

  /** Looks up what is stored in the milliseconds that points are to be put into. */
  async #noteNeighbours(points: readonly LinePoint[]): Promise<void> {
    // What this delivery wrote itself is in the book.
    const { latestAt } = this.#write.state;
    const instants = new Set<number>();
    for (const { at } of points) if (this.#isUncertain || at <= latestAt) instants.add(at);
    if (instants.size === 0) return;
    const ranges = rangesAround([...instants].map((at) => BigInt(at) * 1_000_000n));
    const whole = ranges.map(({ from, to }) => ({ from, to: to + 999_999n }));
    const look = ({ series, nanoseconds, mark }: MarkRow): void => {
      if (instants.has(millisecondsOf(nanoseconds))) this.#book.note(series.key, nanoseconds, mark);
    };
    for await (const rows of markRows(this.#of, whole)) rows.forEach(look);
  }

  #note(batch: RecordBatch, indexes: readonly number[], points: readonly LinePoint[]): void {
    let { highest, latestAt } = this.#state;
    for (const index of indexes) highest = Math.max(highest, batch.sequences[index] ?? 0);
    for (const { at } of points) latestAt = Math.max(latestAt, at);
    this.#state = { ...this.#state, highest, latestAt };
  }

  /** Says that points lie where the same records would not find their place without looking. */
  async #unsettle(): Promise<void> {
    if (this.#state.isUnsettled) return;
    await this.#states.write(this.#of.scope, {
      ...this.#write.state,
      isUnsettled: true,
    });
    this.#state = { ...this.#state, isUnsettled: true };
  }
}

// The server takes 25 MB a request (max-body-size), where it has not been told otherwise.
const REQUEST_LENGTH_MAX = 5_000_000;

function* joinedLines(lines: readonly string[]): Generator<string> {
  let from = 0;
  let length = 0;
  for (const [index, line] of lines.entries()) {
    if (index > from && length + line.length > REQUEST_LENGTH_MAX) {
      yield lines.slice(from, index).join("\n");
      from = index;
      length = 0;
    }
    length += line.length;
  }
  yield lines.slice(from).join("\n");
}

// So few ids are looked for by the server; more are found faster by reading every mark.
const IDS_ASKED_MAX = 40;

function askedMarks(versions: ReadonlyMap<string, number>): { readonly value?: string } {
  if (versions.size > IDS_ASKED_MAX) return {};
  const ids = [...versions.keys()].map((id) =>
    encodedText(id).replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&"),
  );
  return { value: `/ (?:${ids.join("|")})$/` };
}

/** Joins points that are to be deleted, where they lie next to each other in their series. */
class DeletionRuns {
  readonly ranges: InfluxdbRange[] = [];
  readonly #seesAll: boolean;
  #series = "";
  #last = 0n;
  #isOpen = false;

  /** @param seesAll false where points that stay may lie between those that are added. */
  constructor(seesAll: boolean) {
    this.#seesAll = seesAll;
  }

  add({ series, nanoseconds }: MarkRow, isDying: boolean): void {
    const isNext = this.#seesAll && this.#isOpen;
    const goesOn = isNext && series.key === this.#series && nanoseconds > this.#last;
    this.#series = series.key;
    this.#last = nanoseconds;
    this.#isOpen = isDying;
    if (!isDying) return;
    const { measurement, tags } = series;
    const last = goesOn ? this.ranges.pop() : undefined;
    this.ranges.push({ measurement, tags, from: last?.from ?? nanoseconds, to: nanoseconds });
  }
}
