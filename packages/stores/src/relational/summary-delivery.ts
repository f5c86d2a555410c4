import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { batchPreviousRecord, batchRecord } from "../record-batch.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import type { SummaryFold } from "./summary-fold.ts";

/**
 * Refuses what was read from elsewhere: its `previous` is not what the rows are made of. Records that
 * never change have none, so of them only a gap is refused.
 *
 * @throws StoreError `conflict` naming where the summary stands.
 */
export function checkStart(
  { isAppendOnly = false }: Collection<unknown>,
  { after }: Delivery,
  checkpoint: number,
): void {
  if (after === undefined || after === checkpoint) return;
  if (isAppendOnly && after < checkpoint) return;
  throw new StoreError(
    "conflict",
    `this delivery was read after ${after}, and the summary stands at ${checkpoint}: read from there`,
  );
}

/** Adds a batch's records above the checkpoint to a fold, and takes back what they were before. */
export function foldBatch(fold: SummaryFold, batch: RecordBatch, checkpoint: number): void {
  for (const [index, sequence] of batch.sequences.entries()) {
    if (sequence <= checkpoint) continue;
    const previous = batchPreviousRecord(batch, index);
    if (previous !== undefined) fold.retract(previous);
    if (batch.removed[index] !== 1) fold.add(batchRecord(batch, index));
  }
}

/** The error for a delivery that takes back what a summary never had. */
export function lackingGroup(): StoreError {
  return new StoreError(
    "corrupt",
    "a summary is to take back records it does not have: rebuild it",
  );
}

/** The error for a repair of a summary. */
export function madeOfSeveral(): StoreError {
  return new StoreError(
    "unsupported",
    "the groups of a summary are made of many records: rebuild it",
  );
}
