// The program that backs up or restores until a crash test kills it.
import { writeSync } from "node:fs";

import { openCustody, restoreInstallation } from "@custody/server/compose";
import type { RestoreInstallationOptions } from "@custody/server/backup-composition";
import { openPlace } from "@custody/server/open-place";

import { EVIDENCE, manyEvidence, scope } from "./evidence.ts";

/** What the program is told, as JSON in its first argument. */
export type BackupLabour =
  | {
      readonly what: "create";
      readonly dataDirectory: string;
      readonly keyFile: string;
      readonly to: string;
      /** Records that are committed while the backup is made. */
      readonly from: number;
    }
  | ({ readonly what: "restore" } & RestoreInstallationOptions);

async function labourAway(labour: BackupLabour): Promise<void> {
  if (labour.what === "restore") {
    writeSync(1, "begun\n");
    await restoreInstallation(labour);
    return;
  }
  await using custody = await openCustody(labour);
  await using place = await openPlace(labour.to);
  writeSync(1, "begun\n");
  const put = manyEvidence(labour.from, 200, 500);
  await Promise.all([
    custody.backup.create(scope, place, { kind: "incremental" }),
    custody.commit(scope, [{ type: EVIDENCE, put }]),
  ]);
}

await labourAway(JSON.parse(process.argv[2] ?? "{}") as BackupLabour);
writeSync(1, "done\n");
