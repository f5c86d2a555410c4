import type { PgSession } from "../drivers/postgresql-session.ts";
import {
  bigintArray,
  doubleArray,
  originalText,
  prepared,
  sql,
  storedText,
  textArray,
} from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import { compileSeriesPoints } from "./content.ts";
import type { SeriesPoint } from "./content.ts";
import { layoutWidth } from "./measurement-layout.ts";
import type { SeriesLayout } from "./measurement-layout.ts";
import type { SeriesPlacements } from "./port.ts";
import { slots } from "./postgresql-tables.ts";
import type { HeldSeries } from "./postgresql-tables.ts";
import { cutIndexes, latestSequences, wantedIndexes } from "./wanted-records.ts";

/** Points of some records, by column. */
export interface PointRows {
  readonly batch: RecordBatch;
  /** The records they are of. */
  readonly indexes: readonly number[];
  readonly ids: readonly string[];
  readonly sequences: readonly number[];
  readonly ordinals: readonly number[];
  readonly points: readonly SeriesPoint[];
}

// Records of one statement: their arrays and the server's copy of them stay small.
const RECORDS_MAX = 5_000;

/** Makes the points of records behind a checkpoint, in parts that are written at once. */
export function pointRows(
  placements: SeriesPlacements,
  batches: readonly RecordBatch[],
  after: number,
): readonly PointRows[] {
  const pointsOf = compileSeriesPoints(placements);
  const latest = latestSequences(batches);
  const parts: PointRows[] = [];
  for (const batch of batches) {
    for (const indexes of cutIndexes(batch, wantedIndexes(batch, after, latest), RECORDS_MAX)) {
      parts.push(rowsOf(pointsOf, batch, indexes));
    }
  }
  return parts;
}

function rowsOf(
  pointsOf: ReturnType<typeof compileSeriesPoints>,
  batch: RecordBatch,
  indexes: readonly number[],
): PointRows {
  const ids: string[] = [];
  const sequences: number[] = [];
  const ordinals: number[] = [];
  const points: SeriesPoint[] = [];
  for (const index of indexes) {
    if (batch.removed[index] === 1) continue;
    const id = batch.ids[index] ?? "";
    const observedAt = batch.observedAt[index] ?? Number.NaN;
    const made = pointsOf({ id, fields: batchRecord(batch, index), observedAt });
    for (const [ordinal, point] of made.entries()) {
      ids.push(id);
      sequences.push(batch.sequences[index] ?? 0);
      ordinals.push(ordinal);
      points.push(point);
    }
  }
  return { batch, indexes, ids, sequences, ordinals, points };
}

/** What is known of the records that are written. */
export interface PointWriting {
  readonly held: HeldSeries;
  readonly space: string;
  readonly isAppendOnly: boolean;
  /** True to write whatever version is stored. */
  readonly isRepair: boolean;
}

/** Writes a part within the caller's transaction. */
export async function writePoints(
  session: PgSession,
  writing: PointWriting,
  rows: PointRows,
): Promise<void> {
  const newer = mayHaveOlder(writing, rows)
    ? await removeOlder(session, writing, rows)
    : new Set<string>();
  const kept = newer.size === 0 ? rows : without(rows, newer);
  if (kept.points.length > 0) await session.run(insertion(writing, kept));
}

function mayHaveOlder({ held, isAppendOnly, isRepair }: PointWriting, rows: PointRows): boolean {
  const { batch, indexes } = rows;
  if (isRepair || (!isAppendOnly && batch.isNew !== true)) return true;
  // A repair may have written rows ahead of the checkpoint.
  return indexes.some(
    (index) => batch.removed[index] === 1 || (batch.sequences[index] ?? 0) <= held.highest,
  );
}

/** Deletes rows of older versions; answers the records of which there is another. */
async function removeOlder(
  session: PgSession,
  { held, space, isRepair }: PointWriting,
  { batch, indexes }: PointRows,
): Promise<ReadonlySet<string>> {
  const points = verbatim(held.points);
  const ids = indexes.map((index) => storedText(batch.ids[index] ?? ""));
  const sequences = indexes.map((index) => batch.sequences[index] ?? 0);
  if (isRepair) {
    await session.run(prepared`DELETE FROM ${points}
      WHERE _space = ${space} AND _id = ANY(${textArray(ids)})`);
    return new Set();
  }
  const [, found] = await session.runAll([
    prepared`DELETE FROM ${points} AS old
      USING unnest(${textArray(ids)}, ${bigintArray(sequences)}) AS fresh (id, sequence)
      WHERE old._space = ${space} AND old._id = fresh.id AND old._sequence < fresh.sequence`,
    prepared`SELECT DISTINCT _id FROM ${points}
      WHERE _space = ${space} AND _id = ANY(${textArray(ids)})`,
  ]);
  return new Set((found?.rows ?? []).map((row) => originalText(String(row["_id"]))));
}

function without(rows: PointRows, ids: ReadonlySet<string>): PointRows {
  const kept = rows.ids.map((id) => !ids.has(id));
  const pick = <Item>(items: readonly Item[]): readonly Item[] =>
    items.filter((_, index) => kept[index] === true);
  return {
    ...rows,
    ids: pick(rows.ids),
    sequences: pick(rows.sequences),
    ordinals: pick(rows.ordinals),
    points: pick(rows.points),
  };
}

function insertion({ held, space }: PointWriting, rows: PointRows): PgFragment {
  const { layout } = held;
  const width = layoutWidth(layout);
  const numbers = new Map(layout.measurements.map(({ name }, number) => [name, number]));
  const numberOf = rows.points.map(({ measurement }) => numbers.get(measurement) ?? 0);
  const arrays: readonly PgFragment[] = [
    textArray(rows.ids.map(storedText)),
    bigintArray(rows.sequences),
    bigintArray(rows.ordinals),
    bigintArray(numberOf),
    bigintArray(rows.points.map(({ at }) => at)),
    ...slots(width.tags, String).map((_, slot) => tagArray(layout, { rows, numberOf, slot })),
    ...slots(width.fields, String).map((_, slot) => fieldArray(layout, { rows, numberOf, slot })),
  ];
  const columns = [
    "_id",
    "_sequence",
    "_ordinal",
    "_measurement",
    "_at",
    ...slots(width.tags, (slot) => `tag_${slot}`),
    ...slots(width.fields, (slot) => `field_${slot}`),
  ].join(", ");
  const joined = arrays.reduce((list, array) => sql`${list}, ${array}`);
  return {
    ...sql`INSERT INTO ${verbatim(held.points)} (_space, ${verbatim(columns)})
      SELECT ${space}, fresh.* FROM unnest(${joined}) AS fresh`,
    isPrepared: true,
  };
}

interface SlotOfRows {
  readonly rows: PointRows;
  /** The measurement's number of each row. */
  readonly numberOf: readonly number[];
  readonly slot: number;
}

function tagArray(
  { measurements }: SeriesLayout,
  { rows, numberOf, slot }: SlotOfRows,
): PgFragment {
  const names = measurements.map(({ tags }) => tags[slot]);
  return textArray(
    rows.points.map(({ tags }, row) => {
      const name = names[numberOf[row] ?? 0];
      const text = name === undefined ? undefined : tags.get(name);
      return text === undefined ? null : storedText(text);
    }),
  );
}

function fieldArray(
  { measurements }: SeriesLayout,
  { rows, numberOf, slot }: SlotOfRows,
): PgFragment {
  const names = measurements.map(({ fields }) => fields[slot]);
  return doubleArray(
    rows.points.map(({ fields }, row) => {
      const name = names[numberOf[row] ?? 0];
      return name === undefined ? null : (fields.get(name) ?? null);
    }),
  );
}
