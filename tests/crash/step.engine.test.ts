import { onTestFinished } from "vitest";

import { describeOnServer } from "@custody/stores/testing/engine-server";

import type { Death } from "./killing-stores.ts";
import { freshDatabase, onPostgresql } from "./postgresql-installation.ts";
import { describeSteps } from "./step-suite.ts";

// What PostgreSQL does at these; the embedded engines are killed at every step by CUSTODY_CRASH=all.
const DEATHS: readonly Death[] = [
  { step: "journal.begin", side: "after", call: 5 },
  { step: "journal.append", side: "after", call: 4 },
  { step: "journal.commit", side: "before", call: 5 },
  { step: "journal.commit", side: "after", call: 5 },
  { step: "blob.put", side: "after", call: 2 },
  { step: "journal.renewIntents", side: "before", call: 1 },
  { step: "relational.apply", side: "after", call: 2 },
  { step: "series.apply", side: "before", call: 1 },
  { step: "journal.relocate", side: "before", call: 1 },
  { step: "journal.relocate", side: "after", call: 1 },
  { step: "journal.putState", side: "after", call: 30 },
];

describeOnServer("postgresql", (server) => {
  describeSteps({
    makeEngines: async () => onPostgresql((await freshDatabase(server, onTestFinished)).url()),
    deaths: process.env["CUSTODY_CRASH"] === "all" ? "all" : DEATHS,
    randomKills: 8,
    seed: Number(process.env["CUSTODY_CRASH_SEED"] ?? 1),
  });
});
