import { describeOnServer } from "@custody/stores/testing/engine-server";

import { describeBackupSteps } from "./backup-step-suite.ts";
import { freshDatabase, onPostgresql } from "./postgresql-installation.ts";

// The journal that is backed up and the one that is restored into lie on the server.
describeOnServer("postgresql", (server) => {
  describeBackupSteps({
    makeEngines: async (onEnd) => onPostgresql((await freshDatabase(server, onEnd)).url()),
    isAll: process.env["CUSTODY_CRASH"] === "all",
    seed: Number(process.env["CUSTODY_CRASH_SEED"] ?? 1),
  });
});
