import { StoreError } from "../errors.ts";
import { batchPreviousRecord, batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import type { SummaryFold } from "./summary-fold.ts";

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
