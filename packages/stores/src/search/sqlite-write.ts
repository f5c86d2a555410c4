import { batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import type { SearchMapping } from "./content.ts";
import type { SearchWriter } from "./sqlite-table.ts";

/** Which records of a batch are written. */
export interface WriteRules {
  /** Records at or below are skipped. */
  readonly checkpoint: number;
  /** True to write whatever version is stored. */
  readonly isForced: boolean;
}

/**
 * Writes batches into a collection, within the caller's transaction.
 *
 * @returns how many records were deleted, and how many texts were indexed.
 */
export function writeBatches(
  batches: readonly RecordBatch[],
  table: { readonly writer: SearchWriter; readonly mapping: SearchMapping },
  rules: WriteRules,
): { readonly removals: number; readonly indexed: number } {
  const removed = new Map<string, number>();
  let indexed = 0;
  for (const batch of batches) indexed += writeBatch(batch, table, rules, removed);
  return { removals: removed.size, indexed };
}

/**
 * The index is written at the end: an index entry out of ascending order would make FTS5 write a
 * segment of its own, so removals come first, in order, and a changed row gets a new number.
 */
function writeBatch(
  batch: RecordBatch,
  { writer, mapping }: { readonly writer: SearchWriter; readonly mapping: SearchMapping },
  { checkpoint, isForced }: WriteRules,
  removed: Map<string, number>,
): number {
  const stale: number[] = [];
  const fresh: { readonly n: number; readonly texts: readonly string[] }[] = [];
  let n = writer.last();
  const drop = (id: string, sequence: number): boolean => {
    const stored = writer.find(id);
    if (stored === undefined) return true;
    if (!isForced && stored.sequence >= sequence) return false;
    writer.deleteRow(stored);
    stale.push(stored.n);
    return true;
  };
  for (const [index, id] of batch.ids.entries()) {
    const sequence = batch.sequences[index] ?? 0;
    if (!isForced && sequence <= checkpoint) continue;
    if (batch.removed[index] === 1) {
      if (drop(id, sequence)) removed.set(id, sequence);
      continue;
    }
    if ((removed.get(id) ?? 0) > sequence) continue;
    const record = batchRecord(batch, index);
    const texts = mapping.texts(record);
    const row = { n: n + 1, id, sequence, filters: mapping.filters(record) };
    if (!writer.insertRow(row, texts)) {
      if (!drop(id, sequence)) continue;
      writer.insertRow(row, texts);
    }
    n += 1;
    fresh.push({ n, texts });
  }
  for (const number of stale.sort((left, right) => left - right)) writer.deleteTexts(number);
  for (const row of fresh) writer.insertTexts(row.n, row.texts);
  return fresh.length;
}
