// A child process: a journal of evidence compared with its stores, for the first time, again, each store
// alone, with hidden changes, and deep.
import { join } from "node:path";

import { PROJECTED_ROLES } from "@custody/core/stores";
import { initCustody, openCustody } from "@custody/server/compose";

import { commitAll } from "./commit-all.ts";
import { SCOPE } from "./custody-scope.ts";
import { answer, runRequest } from "./run-request.ts";

const { input, directory } = runRequest();
const place = { dataDirectory: join(directory, "data"), keyFile: join(directory, "root.key") };
await initCustody(place);
const custody = await openCustody(place);
const committed = await commitAll(custody, input);
await custody.catchUp(SCOPE);
process.send?.({ phase: "caught up" });

/** Seconds, processor seconds (without those of child processes) and differences of one comparison. */
async function compare(options: Parameters<typeof custody.reconcile>[1] = {}): Promise<{
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly differences: number;
}> {
  const cpuBefore = process.cpuUsage();
  const begun = performance.now();
  const { projections } = await custody.reconcile(SCOPE, options);
  const seconds = (performance.now() - begun) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const cpuSeconds = (user + system) / 1_000_000;
  return {
    seconds,
    cpuSeconds,
    differences: projections.reduce((sum, one) => sum + one.differences, 0),
  };
}

const first = await compare();
process.send?.({ phase: "compared first", ...first });
const again = await compare();
process.send?.({ phase: "compared again", ...again });
const byRole: Record<string, number> = {};
for (const role of PROJECTED_ROLES) {
  const { seconds } = await compare({ roles: [role] });
  byRole[role] = seconds;
  process.send?.({ phase: `compared ${role}`, seconds });
}
const deep = await compare({ deep: true });
process.send?.({ phase: "compared deep", ...deep });
await custody[Symbol.asyncDispose]();
answer({ records: committed, first, again, byRole, deep });
