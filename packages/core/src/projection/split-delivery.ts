import { parseJson } from "@custody/contract/json";
import { recordText } from "@custody/stores/record-batch";
import type { RecordBatch } from "@custody/stores/record-batch";

import { joinBytes } from "../journal/entry-records.ts";
import type { EntryRecords } from "../journal/entry-records.ts";
import { compileOwner } from "./owner-scope.ts";
import type { ProjectionPlan } from "./projections.ts";

/** Reads a record's owner. */
export type OwnerOf = (fields: unknown) => string | undefined;

/** What becomes of record `index` of a batch in one owner's file. */
interface Pick {
  readonly index: number;
  readonly isRemoval: boolean;
  /** False where the owner's file has never had the record. */
  readonly hasPrevious: boolean;
}

/**
 * Splits batches by the owners of their records.
 *
 * A deleted record is deleted where it was, a record with a new owner is deleted from the old owner's
 * file and put into the new one's: `previous` tells where it was. A record that names no owner lies
 * nowhere.
 */
export function splitByOwner(
  batches: readonly RecordBatch[],
  ownerOf: OwnerOf,
): ReadonlyMap<string, readonly RecordBatch[]> {
  const split = new Map<string, RecordBatch[]>();
  for (const batch of batches) {
    for (const [owner, picks] of picksByOwner(batch, ownerOf)) {
      const part = pickBatch(batch, picks);
      const list = split.get(owner);
      if (list === undefined) split.set(owner, [part]);
      else list.push(part);
    }
  }
  return split;
}

/** A batch that puts the records of one owner and removes all others, for repairing one owner's file. */
export function onlyOfOwner(
  batch: RecordBatch,
  owner: string | undefined,
  ownerOf: OwnerOf,
): RecordBatch {
  const picks = batch.ids.map((_, index): Pick => {
    const isOwn = owner !== undefined && ownerAt(batch, index, ownerOf) === owner;
    return { index, isRemoval: !isOwn, hasPrevious: false };
  });
  return pickBatch(batch, picks);
}

/**
 * The entries of a projection kept per owner that may be told in one delivery: up to where a record
 * comes again with another owner, or comes again at all where its contributions are counted.
 *
 * Joined with what comes later, an earlier version is told to nobody. Another process that has read
 * less far tells it, and its owner's file must then be told what became of it.
 */
export function untilRecordsMove(
  entries: readonly EntryRecords[],
  { owner, isCounted }: ProjectionPlan,
): readonly EntryRecords[] {
  if (owner === undefined || entries.length < 2) return entries;
  const ownerOf = compileOwner(owner);
  const seen = new Map<string, { readonly batch: RecordBatch; readonly index: number }>();
  for (const [position, { batch }] of entries.entries()) {
    const moves = batch.ids.some((id, index) => {
      const before = seen.get(id);
      if (before === undefined) return false;
      if (isCounted) return true;
      return ownerAt(before.batch, before.index, ownerOf) !== ownerAt(batch, index, ownerOf);
    });
    if (moves) return entries.slice(0, position);
    for (const [index, id] of batch.ids.entries()) seen.set(id, { batch, index });
  }
  return entries;
}

function picksByOwner(batch: RecordBatch, ownerOf: OwnerOf): ReadonlyMap<string, readonly Pick[]> {
  const byOwner = new Map<string, Pick[]>();
  const add = (owner: string, pick: Pick): void => {
    const list = byOwner.get(owner);
    if (list === undefined) byOwner.set(owner, [pick]);
    else list.push(pick);
  };
  for (const index of batch.ids.keys()) {
    const owner = ownerAt(batch, index, ownerOf);
    const before = ownerBefore(batch, index, ownerOf);
    if (before !== undefined && before !== owner)
      add(before, { index, isRemoval: true, hasPrevious: true });
    if (owner !== undefined) add(owner, { index, isRemoval: false, hasPrevious: before === owner });
  }
  return byOwner;
}

/** Parsed and forgotten at once: what is kept with a batch lives as long as the batch does. */
function ownerAt(batch: RecordBatch, index: number, ownerOf: OwnerOf): string | undefined {
  if (batch.removed[index] === 1) return undefined;
  return ownerOf(parse(recordText(batch, index)));
}

function ownerBefore(batch: RecordBatch, index: number, ownerOf: OwnerOf): string | undefined {
  const text = previousText(batch, index);
  return text.byteLength === 0 ? undefined : ownerOf(parse(text));
}

function parse(text: Uint8Array): unknown {
  // A Buffer view decodes shared memory, which TextDecoder refuses.
  return parseJson(Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString("utf8"));
}

function previousText({ previous }: RecordBatch, index: number): Uint8Array {
  if (previous === undefined) return NO_TEXT;
  return previous.text.subarray(previous.offsets[index], previous.offsets[index + 1]);
}

const NO_TEXT = new Uint8Array(0);

function pickBatch(batch: RecordBatch, picks: readonly Pick[]): RecordBatch {
  if (isWhole(batch, picks)) return batch;
  const { previous } = batch;
  const texts = picks.map(({ index, isRemoval }) =>
    isRemoval ? NO_TEXT : recordText(batch, index),
  );
  return {
    type: batch.type,
    ...joinBytes(texts),
    ids: picks.map(({ index }) => batch.ids[index] ?? ""),
    sequences: Float64Array.from(picks, ({ index }) => batch.sequences[index] ?? 0),
    observedAt: Float64Array.from(picks, ({ index }) => batch.observedAt[index] ?? Number.NaN),
    removed: Uint8Array.from(picks, ({ isRemoval }) => (isRemoval ? 1 : 0)),
    ...(batch.isNew === undefined ? {} : { isNew: batch.isNew }),
    ...(previous === undefined ? {} : { previous: pickPrevious(batch, previous, picks) }),
  };
}

function pickPrevious(
  batch: RecordBatch,
  { sequences }: NonNullable<RecordBatch["previous"]>,
  picks: readonly Pick[],
): NonNullable<RecordBatch["previous"]> {
  const texts = picks.map(({ index, hasPrevious }) =>
    hasPrevious ? previousText(batch, index) : NO_TEXT,
  );
  if (sequences === undefined) return joinBytes(texts);
  return {
    ...joinBytes(texts),
    sequences: Float64Array.from(picks, ({ index }) => sequences[index] ?? 0),
  };
}

/** Whether the picks are the batch as it is, which then need not be copied. */
function isWhole({ ids, previous, removed }: RecordBatch, picks: readonly Pick[]): boolean {
  return (
    picks.length === ids.length &&
    picks.every(
      ({ index, isRemoval, hasPrevious }) =>
        isRemoval === (removed[index] === 1) && (previous === undefined || hasPrevious),
    )
  );
}
