import { parseJson } from "@custody/contract/json";

/**
 * Records of one type on their way into a store, in journal order.
 *
 * The fields lie as JSON text in one buffer, which may be shared memory: handing a batch to another
 * thread copies only its small arrays. A record occurs once in a batch, in its latest version.
 */
export interface RecordBatch {
  /** `pack/name`. */
  readonly type: string;
  /** UTF-8 JSON objects (the fields), one after another. */
  readonly text: Uint8Array;
  /** Where each begins; one more at the end, so that record `i` is `offsets[i]` to `offsets[i + 1]`. */
  readonly offsets: Uint32Array;
  readonly ids: readonly string[];
  /** The sequence of the entry each record came in: its version. */
  readonly sequences: Float64Array;
  /** Epoch milliseconds; NaN where the record has no observed time. */
  readonly observedAt: Float64Array;
  /** 1 where the record is deleted; its text is empty then. */
  readonly removed: Uint8Array;
  /**
   * True when the journal holds no earlier version of any of its records: an engine may append without
   * looking for an older row, unless rows of these sequences were repaired before. Leaving it out is
   * always right, and slower.
   */
  readonly isNew?: boolean;
  /**
   * The fields as they stood before this batch, for records that are changed or deleted; empty text
   * where there was none. Present for types whose records can change, where a store needs it to
   * take back what the old version contributed (graphs and summaries).
   */
  readonly previous?: {
    readonly text: Uint8Array;
    readonly offsets: Uint32Array;
    /** The version each had. A graph needs it to tell which of several sayings is taken back. */
    readonly sequences?: Float64Array;
  };
}

/** What one `apply` writes: batches in order, and how far the journal is read after them. */
export interface Delivery {
  readonly batches: readonly RecordBatch[];
  /** Every entry of the projection's types up to and including this sequence is in the batches or before. */
  readonly checkpoint: number;
  /**
   * The checkpoint from which it was read. Every store refuses with `conflict` what was read from beyond
   * where it stands, as what lies between would be missing for ever: a delivery that comes late may meet
   * a store that came back older. What was read from before is taken by a store with a row for each
   * record, and its known part changes nothing; where rows are made of several records (summaries,
   * graphs) it is refused too, unless records never change, as `previous` would not be what the store
   * holds. Left out: it is read from where the store stands.
   */
  readonly after?: number;
}

/**
 * The fields of record `index`, parsed anew at each call; `undefined` where it is removed.
 *
 * Take what you need of one record before you ask for the next: a thousand parsed records at a time
 * cost more in garbage collection than parsing them (measured: 60 % of a thread's time).
 */
export function batchRecord({ text, offsets }: RecordBatch, index: number): unknown {
  return parseSlice(text, offsets, index);
}

/** The earlier fields of record `index`, `undefined` where there were none. */
export function batchPreviousRecord({ previous }: RecordBatch, index: number): unknown {
  return previous === undefined ? undefined : parseSlice(previous.text, previous.offsets, index);
}

/** The UTF-8 JSON text of record `index`, without a copy. */
export function recordText(batch: RecordBatch, index: number): Uint8Array {
  return batch.text.subarray(batch.offsets[index], batch.offsets[index + 1]);
}

function parseSlice(text: Uint8Array, offsets: Uint32Array, index: number): unknown {
  const start = offsets[index] ?? 0;
  const end = offsets[index + 1] ?? start;
  if (end === start) return undefined;
  // A Buffer view decodes shared memory, which TextDecoder refuses; the journal holds only valid UTF-8.
  const view = Buffer.from(text.buffer, text.byteOffset + start, end - start);
  return parseJson(view.toString("utf8"));
}

/** Builds a batch from records in memory; for tests, small commits and repairs. */
export function makeBatch(
  type: string,
  records: readonly {
    readonly id: string;
    readonly sequence: number;
    /** JSON text of the fields; left out for a deletion. */
    readonly text?: string;
    readonly previousText?: string;
    readonly previousSequence?: number;
    readonly observedAt?: number;
  }[],
): RecordBatch {
  const { text, offsets } = joinTexts(records.map((record) => record.text ?? ""));
  const hasPrevious = records.some((record) => record.previousText !== undefined);
  const hasSequences = records.some((record) => record.previousSequence !== undefined);
  const previousSequences = Float64Array.from(records, (one) => one.previousSequence ?? 0);
  return {
    type,
    text,
    offsets,
    ids: records.map((record) => record.id),
    sequences: Float64Array.from(records, (record) => record.sequence),
    observedAt: Float64Array.from(records, (record) => record.observedAt ?? Number.NaN),
    removed: Uint8Array.from(records, (record) => (record.text === undefined ? 1 : 0)),
    ...(hasPrevious
      ? {
          previous: {
            ...joinTexts(records.map((record) => record.previousText ?? "")),
            ...(hasSequences ? { sequences: previousSequences } : {}),
          },
        }
      : {}),
  };
}

function joinTexts(texts: readonly string[]): { text: Uint8Array; offsets: Uint32Array } {
  const parts = texts.map((text) => new TextEncoder().encode(text));
  const offsets = new Uint32Array(parts.length + 1);
  let length = 0;
  for (const [index, part] of parts.entries()) offsets[index + 1] = length += part.byteLength;
  const text = new Uint8Array(new SharedArrayBuffer(length));
  for (const [index, part] of parts.entries()) text.set(part, offsets[index]);
  return { text, offsets };
}
