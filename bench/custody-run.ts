// A child process: the same evidence into Custody, with journal, encryption, proofs and projections on.
import { join } from "node:path";

import { initCustody, openCustody } from "@custody/server/compose";
import type { Custody } from "@custody/core/custody";

import { SCOPE, TYPE } from "./custody-scope.ts";
import { lineBatches, parsedLines } from "./record-lines.ts";
import { answer, BATCH_RECORDS, runRequest } from "./run-request.ts";

// Commits in flight: while one is being made durable the next are checked, hashed and compressed.
const COMMITS_UNDER_WAY = 4;

const { input, directory } = runRequest();
const place = { dataDirectory: join(directory, "data"), keyFile: join(directory, "root.key") };
await initCustody(place);
const custody = await openCustody(place);

const begun = performance.now();
const since = (start: number): number => (performance.now() - start) / 1_000;
const committed = await commitAll(custody);
const acknowledgedSeconds = since(begun);
process.send?.({ phase: "acknowledged", acknowledgedSeconds });
await custody.catchUp(SCOPE);
const caughtUpSeconds = since(begun);
process.send?.({ phase: "caught up", seconds: caughtUpSeconds });

const checking = performance.now();
const reconciled = await custody.reconcile(SCOPE);
const reconcileSeconds = since(checking);
const verifying = performance.now();
const verified = await custody.verify(SCOPE);
const verifySeconds = since(verifying);
const quarantined = await custody.quarantine.list(SCOPE);
const closing = performance.now();
await custody[Symbol.asyncDispose]();

answer({
  records: committed,
  acknowledgedSeconds,
  seconds: caughtUpSeconds,
  reconcileSeconds,
  verifySeconds,
  closeSeconds: since(closing),
  isVerified: verified.ok,
  differences: reconciled.projections.reduce((sum, { differences }) => sum + differences, 0),
  reconciled: reconciled.projections
    .filter(({ records }) => records > 0)
    .map(({ role, name, records, differences }) => ({ role, name, records, differences })),
  quarantined: quarantined.length,
});

/** Commits the input in order; answers how many records the receipts count. */
async function commitAll(target: Custody): Promise<number> {
  const underWay: Promise<number>[] = [];
  let accepted = 0;
  for (const batch of lineBatches(input, BATCH_RECORDS)) {
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
