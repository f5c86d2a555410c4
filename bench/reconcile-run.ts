// A child process: a journal of evidence compared with its stores, for the first time, again, each store
// alone, with hidden changes, and deep.
import { join } from "node:path";

import { PROJECTED_ROLES } from "@custody/core/stores";
import { initCustody, openCustody } from "@custody/server/compose";

import { commitAll } from "./commit-all.ts";
import { SCOPE } from "./custody-scope.ts";
import { hideChanges } from "./hidden-changes.ts";
import { TreeSampler } from "./process-tree.ts";
import { answer, reconcileParts, runRequest } from "./run-request.ts";

const { input, directory } = runRequest();
const parts = reconcileParts();
const place = { dataDirectory: join(directory, "data"), keyFile: join(directory, "root.key") };
await initCustody(place);
let custody = await openCustody(place);
const committed = await commitAll(custody, input);
await custody.catchUp(SCOPE);
process.send?.({ phase: "caught up" });

/** What one comparison took of this process and its children, and what it found. */
async function compare(
  name: string,
  options: Parameters<typeof custody.reconcile>[1] = {},
): Promise<Readonly<Record<string, number>>> {
  const sampler = new TreeSampler(process.pid);
  const cpuBefore = sampler.usage().cpuSeconds;
  const begun = performance.now();
  const { projections } = await custody.reconcile(SCOPE, options);
  const seconds = (performance.now() - begun) / 1_000;
  sampler.stop();
  const { cpuSeconds, peakBytes, peakSharedOnceBytes } = sampler.usage();
  const compared = {
    seconds,
    cpuSeconds: cpuSeconds - cpuBefore,
    peakBytes,
    peakSharedOnceBytes,
    differences: projections.reduce((sum, one) => sum + one.differences, 0),
    repaired: projections.reduce((sum, one) => sum + one.repaired, 0),
  };
  process.send?.({ phase: name, ...compared });
  return compared;
}

const compared: Record<string, Readonly<Record<string, number>>> = {};
const measure = async (
  name: string,
  options: Parameters<typeof custody.reconcile>[1] = {},
): Promise<void> => {
  compared[name] = await compare(name, options);
};

await measure("first");
await measure("again, nothing changed");
if (parts.includes("roles"))
  for (const role of PROJECTED_ROLES) await measure(`again, ${role} alone`, { roles: [role] });
if (parts.includes("hidden")) {
  await custody[Symbol.asyncDispose]();
  await hideChanges(place.dataDirectory);
  custody = await openCustody(place);
  await measure("with 17 hidden changes");
  await measure("repaired", { repair: true });
  await measure("after the repair");
}
if (parts.includes("deep")) await measure("deep", { deep: true });
await custody[Symbol.asyncDispose]();
answer({ records: committed, compared });
