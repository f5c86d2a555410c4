import { StoreError } from "../errors.ts";
import { batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import type { OpensearchCollection } from "./opensearch-index.ts";
import { encodeRow } from "./opensearch-row.ts";
import type { PlannedRow } from "./opensearch-write.ts";

// The server takes requests of up to 100 MB (http.max_content_length), of which a record's texts may
// make as much as the record itself for each field that takes all of it.
const RECORD_BYTES_MAX = 32 * 1024 * 1024;

/**
 * The rows that batches make, beyond a checkpoint, each id once in its latest version.
 *
 * @throws StoreError `refused` for a record of another type or beyond the server's limit, before the
 *   first row is made.
 */
export function planRows(
  held: OpensearchCollection,
  batches: readonly RecordBatch[],
  checkpoint: number,
): Iterable<PlannedRow> {
  for (const batch of batches) checkBatch(held, batch);
  const latest = batches.length > 1 ? latestOf(batches) : undefined;
  return rowsOf(held, batches, { checkpoint, latest });
}

function checkBatch(
  { name, type }: OpensearchCollection,
  { type: other, offsets, ids }: RecordBatch,
): void {
  if (other !== type) throw new StoreError("refused", `${name} holds no ${other}`);
  for (const index of ids.keys()) {
    const bytes = (offsets[index + 1] ?? 0) - (offsets[index] ?? 0);
    if (bytes > RECORD_BYTES_MAX) {
      throw new StoreError(
        "refused",
        `a record of ${name} has ${bytes} bytes; search takes ${RECORD_BYTES_MAX}`,
      );
    }
  }
}

/** The highest sequence of each id; a record occurs once in a batch, and may occur in several. */
function latestOf(batches: readonly RecordBatch[]): ReadonlyMap<string, number> {
  const latest = new Map<string, number>();
  for (const { ids, sequences } of batches) {
    for (const [index, id] of ids.entries()) {
      const sequence = sequences[index] ?? 0;
      if (sequence > (latest.get(id) ?? -1)) latest.set(id, sequence);
    }
  }
  return latest;
}

function* rowsOf(
  { mapping }: OpensearchCollection,
  batches: readonly RecordBatch[],
  from: {
    readonly checkpoint: number;
    readonly latest: ReadonlyMap<string, number> | undefined;
  },
): Generator<PlannedRow> {
  const done = new Set<string>();
  for (const batch of batches) {
    for (const [index, id] of batch.ids.entries()) {
      const sequence = batch.sequences[index] ?? 0;
      const isOlder = (from.latest?.get(id) ?? sequence) > sequence;
      if (sequence <= from.checkpoint || isOlder || done.has(id)) continue;
      if (from.latest !== undefined) done.add(id);
      if (batch.removed[index] === 1) yield { id, sequence };
      else {
        const document = encodeRow(mapping, { id, sequence }, batchRecord(batch, index));
        yield { id, sequence, document: JSON.stringify(document) };
      }
    }
  }
}
