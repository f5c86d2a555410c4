// A child process: a backup restored into an empty place on embedded engines, and its stores filled.
import { join } from "node:path";

import { readKeyFile } from "@custody/core/keys/root-key-file";
import { openCustody, restoreInstallation } from "@custody/server/compose";

import { placeIn, timed } from "./backup-installation.ts";
import { SCOPE } from "./custody-scope.ts";
import { answer, backupRequest } from "./run-request.ts";

const { directory, repository } = backupRequest();
const { dataDirectory, keyFile, keyBackup } = placeIn(directory);
const root = await readKeyFile({ directory: dataDirectory, keyFile });
const restored = join(directory, "restored");
const into = { ...placeIn(restored), engines: {} };

const begun = performance.now();
const since = (): number => (performance.now() - begun) / 1_000;
const report = await restoreInstallation({
  from: repository,
  backupId: "latest",
  to: "latest",
  into,
  keys: { url: keyBackup, secret: { kind: "root", root }, isCopy: true },
});
const journalSeconds = since();
process.send?.({ phase: "journal restored", journalSeconds });
const custody = await openCustody(into);
await custody.catchUp(SCOPE);
const caughtUpSeconds = since();
const reconciled = await timed(() => custody.reconcile(SCOPE));
await custody[Symbol.asyncDispose]();

const own = report.tenants.find(({ tenant }) => tenant === SCOPE.tenant);
answer({
  records: own?.records ?? 0,
  journalSeconds,
  caughtUpSeconds,
  isReconciled: reconciled.answer.ok,
});
