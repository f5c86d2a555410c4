import type { RecordBatch } from "../record-batch.ts";

/** The newest version of each record, where batches could hold several. */
export function latestSequences(
  batches: readonly RecordBatch[],
): ReadonlyMap<string, number> | undefined {
  if (batches.length < 2) return undefined;
  const latest = new Map<string, number>();
  for (const { ids, sequences } of batches) {
    for (const [index, id] of ids.entries()) {
      const sequence = sequences[index] ?? 0;
      if (sequence > (latest.get(id) ?? -1)) latest.set(id, sequence);
    }
  }
  return latest;
}

/** The records of a batch that are to be written: behind the checkpoint, and the newest of their id. */
export function wantedIndexes(
  { ids, sequences }: RecordBatch,
  after: number,
  latest: ReadonlyMap<string, number> | undefined,
): readonly number[] {
  const wanted: number[] = [];
  for (const [index, id] of ids.entries()) {
    const sequence = sequences[index] ?? 0;
    if (sequence > after && sequence >= (latest?.get(id) ?? sequence)) wanted.push(index);
  }
  return wanted;
}

// Text of the records of a part: with few long records a part is full before it has as many as it may.
const PART_BYTES_MAX = 8 * 1024 * 1024;

/** Cuts records into parts, each written at once. */
export function* cutIndexes(
  { offsets }: RecordBatch,
  indexes: readonly number[],
  recordsMax: number,
): Generator<readonly number[]> {
  let part: number[] = [];
  let bytes = 0;
  for (const index of indexes) {
    const length = (offsets[index + 1] ?? 0) - (offsets[index] ?? 0);
    if (part.length === recordsMax || (part.length > 0 && bytes + length > PART_BYTES_MAX)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(index);
    bytes += length;
  }
  if (part.length > 0) yield part;
}
