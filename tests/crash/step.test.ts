import type { Death } from "./killing-stores.ts";
import { describeSteps } from "./step-suite.ts";

// Those at which something is acknowledged, switched or removed. CUSTODY_CRASH=all kills at every step,
// twice on both sides, and at random for as long.
const DEATHS: readonly Death[] = [
  { step: "journal.commit", side: "after", call: 4 },
  { step: "blob.put", side: "after", call: 1 },
  { step: "document.apply", side: "after", call: 3 },
  { step: "document.discard", side: "before", call: 2 },
  { step: "journal.relocate", side: "after", call: 1 },
  { step: "journal.takeExpiredIntents", side: "after", call: 1 },
];
const isAll = process.env["CUSTODY_CRASH"] === "all";

describeSteps({
  makeEngines: () => ({}),
  deaths: isAll ? "all" : DEATHS,
  randomKills: isAll ? 24 : 3,
  seed: Number(process.env["CUSTODY_CRASH_SEED"] ?? 1),
});
