// A child process: the same evidence into Custody on servers, as many of its roles as are wanted.
import { join } from "node:path";

import { initCustody, openCustody } from "@custody/server/compose";

import { commitAll } from "./commit-all.ts";
import { SCOPE, TYPE } from "./custody-scope.ts";
import { evidenceRecords } from "./generate.ts";
import { answer, serverRequest } from "./run-request.ts";
import { enginesOf, packOf } from "./server-pack.ts";

const request = serverRequest();
const { input, directory, targets } = request;
const place = { dataDirectory: join(directory, "data"), keyFile: join(directory, "root.key") };
await initCustody(place);
const reached = new Map<string, number>();
const begun = performance.now();
let writing = begun;
const since = (start: number): number => (performance.now() - start) / 1_000;
const custody = await openCustody({
  ...place,
  engines: enginesOf(request),
  packs: [packOf(targets)],
  onNotice: (text) => process.stderr.write(`${text}\n`),
  onProjected: ({ projection: { role } }) => reached.set(role, since(writing)),
});
await warmUp();
const openSeconds = since(begun);

writing = performance.now();
const records = await commitAll(custody, input);
const acknowledgedSeconds = since(writing);
await custody.catchUp(SCOPE);
const seconds = since(writing);
// What follows commits records of its own, of what was done.
const reachedSeconds = Object.fromEntries(reached);
process.send?.({ phase: "caught up", seconds });

const isWhole = targets.includes("journal") && targets.length > 1;
const checking = performance.now();
const reconciled = isWhole ? await custody.reconcile(SCOPE) : undefined;
const reconcileSeconds = since(checking);
const verifying = performance.now();
const verified = await custody.verify(SCOPE);
const verifySeconds = since(verifying);
const quarantined = await custody.quarantine.list(SCOPE);
await custody[Symbol.asyncDispose]();
answer({
  records,
  openSeconds,
  acknowledgedSeconds,
  seconds,
  reachedSeconds,
  isVerified: verified.ok,
  verifySeconds,
  quarantined: quarantined.length,
  ...(reconciled === undefined
    ? {}
    : {
        reconcileSeconds,
        differences: reconciled.projections.reduce((sum, one) => sum + one.differences, 0),
      }),
});

/** Opens the stores, which are opened when they are first needed, as the raw clients' are before the clock starts. */
async function warmUp(): Promise<void> {
  const scope = { ...SCOPE, tenant: "warm" };
  const fields: Readonly<Record<string, unknown>> = { ...evidenceRecords(0).next().value };
  await custody.commit(scope, [{ type: TYPE, put: [{ fields }] }]);
  await custody.catchUp(scope);
  reached.clear();
}
