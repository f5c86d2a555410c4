import type { RecordBatch } from "@custody/stores/record-batch";

/** The decoded records of one journal entry, in line order. */
export interface EntryRecords {
  readonly type: string;
  readonly sequence: number;
  readonly batch: RecordBatch;
}

/**
 * Joins the records of several entries of one type, oldest entry first, into one batch.
 *
 * A record that occurs more than once is kept in its latest version alone.
 */
export function joinEntries(entries: readonly EntryRecords[]): RecordBatch {
  const [first] = entries;
  if (first !== undefined && entries.length === 1) return first.batch;
  const picks = latestVersions(entries);
  let bytes = 0;
  for (const { batch, index } of picks) bytes += sliceLength(batch, index);
  const text: Uint8Array = Buffer.allocUnsafeSlow(bytes);
  const offsets = new Uint32Array(picks.length + 1);
  let at = 0;
  for (const [position, { batch, index }] of picks.entries()) {
    text.set(batch.text.subarray(batch.offsets[index], batch.offsets[index + 1]), at);
    at += sliceLength(batch, index);
    offsets[position + 1] = at;
  }
  return {
    type: first?.type ?? "",
    text,
    offsets,
    ids: picks.map(({ batch, index }) => batch.ids[index] ?? ""),
    sequences: Float64Array.from(picks, ({ batch, index }) => batch.sequences[index] ?? 0),
    observedAt: Float64Array.from(
      picks,
      ({ batch, index }) => batch.observedAt[index] ?? Number.NaN,
    ),
    removed: Uint8Array.from(picks, ({ batch, index }) => batch.removed[index] ?? 0),
  };
}

interface Pick {
  readonly batch: RecordBatch;
  readonly index: number;
}

function latestVersions(entries: readonly EntryRecords[]): readonly Pick[] {
  const byId = new Map<string, Pick>();
  for (const { batch } of entries) {
    for (const [index, id] of batch.ids.entries()) {
      byId.delete(id);
      byId.set(id, { batch, index });
    }
  }
  return [...byId.values()];
}

function sliceLength(batch: RecordBatch, index: number): number {
  return (batch.offsets[index + 1] ?? 0) - (batch.offsets[index] ?? 0);
}

/** Some records of a batch as a batch of their own, in the given order. */
export function pickRecords(batch: RecordBatch, indexes: readonly number[]): RecordBatch {
  const { previous } = batch;
  const picked = { ...batch, ...pickTexts(batch.text, batch.offsets, indexes) };
  return {
    ...picked,
    ids: indexes.map((index) => batch.ids[index] ?? ""),
    sequences: Float64Array.from(indexes, (index) => batch.sequences[index] ?? 0),
    observedAt: Float64Array.from(indexes, (index) => batch.observedAt[index] ?? Number.NaN),
    removed: Uint8Array.from(indexes, (index) => batch.removed[index] ?? 0),
    ...(previous === undefined ? {} : { previous: pickPrevious(previous, indexes) }),
  };
}

function pickPrevious(
  { text, offsets, sequences }: NonNullable<RecordBatch["previous"]>,
  indexes: readonly number[],
): NonNullable<RecordBatch["previous"]> {
  const texts = pickTexts(text, offsets, indexes);
  if (sequences === undefined) return texts;
  return { ...texts, sequences: Float64Array.from(indexes, (index) => sequences[index] ?? 0) };
}

function pickTexts(
  text: Uint8Array,
  offsets: Uint32Array,
  indexes: readonly number[],
): { text: Uint8Array; offsets: Uint32Array } {
  return joinBytes(indexes.map((index) => text.subarray(offsets[index], offsets[index + 1])));
}

/** Puts byte strings one after another, with where each begins; parts that lie so already are not copied. */
export function joinBytes(parts: readonly Uint8Array[]): {
  text: Uint8Array;
  offsets: Uint32Array;
} {
  const offsets = new Uint32Array(parts.length + 1);
  let length = 0;
  for (const [index, part] of parts.entries()) offsets[index + 1] = length += part.byteLength;
  const [first] = parts;
  if (first !== undefined && liesInOneRun(parts, first)) {
    return { text: new Uint8Array(first.buffer, first.byteOffset, length), offsets };
  }
  const text: Uint8Array = Buffer.allocUnsafeSlow(length);
  for (const [index, part] of parts.entries()) text.set(part, offsets[index]);
  return { text, offsets };
}

function liesInOneRun(parts: readonly Uint8Array[], first: Uint8Array): boolean {
  let end = first.byteOffset;
  for (const { buffer, byteOffset, byteLength } of parts) {
    if (buffer !== first.buffer || byteOffset !== end) return false;
    end += byteLength;
  }
  return true;
}

/** Writes texts as UTF-8 one after another, with where each begins. */
export function joinTexts(texts: readonly string[]): { text: Uint8Array; offsets: Uint32Array } {
  const offsets = new Uint32Array(texts.length + 1);
  let length = 0;
  for (const [index, text] of texts.entries()) {
    offsets[index + 1] = length += Buffer.byteLength(text);
  }
  const buffer = Buffer.allocUnsafeSlow(length);
  for (const [index, text] of texts.entries()) buffer.write(text, offsets[index] ?? 0, "utf8");
  return { text: buffer, offsets };
}
