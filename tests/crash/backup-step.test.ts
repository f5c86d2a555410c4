import { describeBackupSteps } from "./backup-step-suite.ts";

describeBackupSteps({
  makeEngines: () => ({}),
  isAll: process.env["CUSTODY_CRASH"] === "all",
  seed: Number(process.env["CUSTODY_CRASH_SEED"] ?? 1),
});
