import type { Custody } from "@custody/core/custody";

import { SCOPE, TYPE } from "./custody-scope.ts";
import { lineBatches, parsedLines } from "./record-lines.ts";
import type { LineBatch } from "./record-lines.ts";
import { BATCH_RECORDS } from "./run-request.ts";

// Commits in flight: while one is being made durable the next are checked, hashed and compressed.
const COMMITS_UNDER_WAY = 4;

/** Commits the input in order; answers how many records the receipts count. */
export function commitAll(target: Custody, input: string): Promise<number> {
  return commitBatches(target, lineBatches(input, BATCH_RECORDS));
}

/** Commits batches in order; answers how many records the receipts count. */
export async function commitBatches(
  target: Custody,
  batches: Iterable<LineBatch>,
): Promise<number> {
  const underWay: Promise<number>[] = [];
  let accepted = 0;
  for (const batch of batches) {
    const put = parsedLines(batch).map((fields) => ({ fields }));
    const receipt = target
      .commit(SCOPE, [{ type: TYPE, put }])
      .then(({ entries }) => entries.reduce((sum, entry) => sum + entry.accepted, 0));
    // Awaited in order below; a failure must not count as unhandled until then.
    receipt.catch(() => undefined);
    underWay.push(receipt);
    if (underWay.length >= COMMITS_UNDER_WAY) accepted += (await underWay.shift()) ?? 0;
  }
  for (const receipt of underWay) accepted += await receipt;
  return accepted;
}
