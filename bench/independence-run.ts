// A child process: the same evidence into Custody, of which one store may be stopped while it is committed.
import { join } from "node:path";
import { setTimeout as elapse } from "node:timers/promises";

import { StoreError } from "@custody/stores/errors";
import { openStoppable } from "@custody/server/testing/stoppable-installation";

import { commitAll } from "./commit-all.ts";
import { SCOPE } from "./custody-scope.ts";
import { answer, runRequest } from "./run-request.ts";

const { input, directory, stopped } = runRequest();
/** When the store in question was given records, and how many. */
const deliveries: { readonly at: number; readonly records: number }[] = [];
const installation = await openStoppable({
  dataDirectory: join(directory, "data"),
  keyFile: join(directory, "root.key"),
  role: stopped?.role ?? "search",
  onProjected: ({ projection, records }) => {
    if (projection.role === stopped?.role) deliveries.push({ at: performance.now(), records });
  },
});
const { custody } = installation;
if (stopped !== undefined) installation.stop(stopped.how);

const begun = performance.now();
const since = (start: number): number => (performance.now() - start) / 1_000;
const committed = await commitAll(custody, input);
const acknowledgedSeconds = since(begun);
process.send?.({ phase: "acknowledged", acknowledgedSeconds });
const roles = (
  ["document", "search", "relational", "series", "analytics", "graph"] as const
).filter((role) => role !== stopped?.role);
await custody.catchUp(SCOPE, roles);
const othersSeconds = since(begun);
const callsWhileStopped = installation.callsWhileStopped();
deliveries.length = 0;
installation.start();
const back = performance.now();
await caughtUp();
process.send?.({ phase: "caught up", seconds: since(begun) });
const [first, ...rest] = deliveries;
const { ok } = await custody.reconcile(SCOPE);
await installation[Symbol.asyncDispose]();

answer({
  records: committed,
  acknowledgedSeconds,
  othersSeconds,
  callsWhileStopped,
  isReconciled: ok,
  // From the first delivery on: before it the projector slept and the breaker was open.
  waitedSeconds: first === undefined ? 0 : (first.at - back) / 1_000,
  caughtUpRecords: rest.reduce((sum, { records }) => sum + records, 0),
  caughtUpSeconds: first === undefined ? 0 : ((rest.at(-1)?.at ?? first.at) - first.at) / 1_000,
});

/** Catches up; while the breaker is open those who ask are told so, and ask again. */
async function caughtUp(): Promise<void> {
  for (;;) {
    try {
      return await custody.catchUp(SCOPE);
    } catch (cause) {
      if (!(cause instanceof StoreError) || !cause.retryable) throw cause;
      await elapse(100);
    }
  }
}
