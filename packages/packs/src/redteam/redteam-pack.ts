import type { Pack } from "@custody/contract/importer";

import { garak } from "./importers/garak/garak.ts";
import { sessionSummaries } from "./summaries/session-summaries.ts";
import { evaluations } from "./types/evaluations.ts";
import { hits } from "./types/hits.ts";
import { sessionEntries } from "./types/session-entries.ts";
import { sessionEvidence } from "./types/session-evidence.ts";
import { testSessions } from "./types/test-sessions.ts";
import { vulnerabilityTaxonomies } from "./types/vulnerability-taxonomies.ts";

/** Red-team evidence: what was asked of a model, what it answered, and how that was judged. */
export const redteamPack: Pack = {
  name: "redteam",
  types: [
    sessionEvidence,
    testSessions,
    sessionEntries,
    evaluations,
    hits,
    vulnerabilityTaxonomies,
  ],
  importers: [garak],
  summaries: [sessionSummaries],
};
