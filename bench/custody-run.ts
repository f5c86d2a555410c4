// A child process: the same evidence into Custody, with journal, encryption, proofs and projections on.
import { join } from "node:path";

import { initCustody, openCustody } from "@custody/server/compose";

import { commitAll } from "./commit-all.ts";
import { SCOPE } from "./custody-scope.ts";
import { answer, runRequest } from "./run-request.ts";

const { input, directory } = runRequest();
const place = { dataDirectory: join(directory, "data"), keyFile: join(directory, "root.key") };
await initCustody(place);
const custody = await openCustody(place);

const begun = performance.now();
const since = (start: number): number => (performance.now() - start) / 1_000;
const committed = await commitAll(custody, input);
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
