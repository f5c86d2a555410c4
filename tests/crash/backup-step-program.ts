// The program that is killed at a named step while it makes a backup, prunes, or restores. It checks first
// what those before it have left, and writes down what was done as it goes.
import { appendFileSync, existsSync, readFileSync, writeSync } from "node:fs";

import { listAll } from "@custody/core/backup/backup-repository";
import { BACKUP_LEASE_MS } from "@custody/core/backup/backup-lease";
import type { Custody } from "@custody/core/custody";
import type { BlobStore } from "@custody/stores/blob/port";
import { openPlace } from "@custody/server/open-place";

import { EVIDENCE, manyEvidence, RECORDS_PER_ROUND, scope } from "./evidence.ts";
import { KillingStores } from "./killing-stores.ts";
import type { Death } from "./killing-stores.ts";
import { openInstallation, withoutProjections } from "./open-installation.ts";
import type { Place } from "./open-installation.ts";
import { restoreKilled } from "./restore-killed.ts";
import type { RestoreKilledOptions } from "./restore-killed.ts";

/** What the program is told, as JSON in its first argument. */
export type BackupStepLabour = { readonly death?: Death } & (
  | ({ readonly what: "restore" } & RestoreKilledOptions)
  | {
      readonly what: "back-up";
      readonly source: Place;
      readonly repository: string;
      readonly keyBackup: string;
      /** The file in which the program writes down what it does. */
      readonly log: string;
      /** Which run this is: each adds evidence of its own. */
      readonly round: number;
    }
);

/** A line of the log: a backup that was acknowledged, or those that a prune which began is to keep. */
type Logged = { readonly created: string } | { readonly keeps: readonly string[] };

const KEPT = 2;
const FULL_EVERY = 3;

async function labourAway(labour: BackupStepLabour): Promise<void> {
  const killing = new KillingStores(labour.death, labour.what === "restore");
  if (labour.what === "restore") await restoreKilled(labour, killing);
  else await backUp(labour, killing);
  writeSync(1, `${JSON.stringify(Object.fromEntries(killing.counts))}\n`);
}

async function backUp(
  labour: Extract<BackupStepLabour, { what: "back-up" }>,
  killing: KillingStores,
): Promise<void> {
  const { source, repository, keyBackup, log, round } = labour;
  await using place = await openPlace(repository);
  const { custody } = await openInstallation(source, {
    // What a run that was killed held in the repository is over when the next begins.
    aheadMs: round * (BACKUP_LEASE_MS + 60_000),
    watch: (stores) => withoutProjections(killing.watch(stores)),
    openKeyBackup: async () => killing.watchPlace("keyBackup", await openPlace(keyBackup)),
  });
  await using _closing = custody;
  const verified = await custody.verify(scope, { allTenants: true });
  expectThat(verified.ok, "the source verifies", verified);
  await checkBackups(custody, place, requiredBy(log));
  const put = manyEvidence(round * RECORDS_PER_ROUND, RECORDS_PER_ROUND, 200);
  await custody.commit(scope, [{ type: EVIDENCE, put }]);
  // A file has a key of its own, so that the backup of the keys changes as well.
  await custody.blob.put(scope, `notes/${round}`, noteOf(round));
  killing.begin();
  const watched = killing.watchPlace("repository", place);
  const kind = round % FULL_EVERY === 0 ? "full" : "incremental";
  const { backupId } = await custody.backup.create(scope, watched, { kind });
  write(log, { created: backupId });
  const keeps = (await idsOf(custody, place)).slice(-KEPT);
  write(log, { keeps });
  await custody.backup.prune(scope, watched, { last: KEPT });
  expectThat(
    JSON.stringify(await idsOf(custody, place)) === JSON.stringify(keeps),
    "a prune leaves the newest backups",
    keeps,
  );
  await checkNothingUnreachable(custody, place, keeps);
}

async function* noteOf(round: number): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`note ${round}`);
}

/** Every backup that was acknowledged and not pruned is listed, and all that are listed are whole. */
async function checkBackups(
  custody: Custody,
  place: BlobStore,
  required: readonly string[],
): Promise<void> {
  // Nothing was ever acknowledged: there may be no repository yet.
  const listed = required.length === 0 ? [] : await custody.backup.list(scope, place);
  const faults = listed.filter((one) => "fault" in one);
  expectThat(faults.length === 0, "no backup is listed that cannot be read", faults);
  const ids = listed.map(({ backupId }) => backupId);
  const missing = required.filter((id) => !ids.includes(id));
  expectThat(missing.length === 0, "every acknowledged backup is listed", { missing, ids });
  for (const id of ids) {
    const report = await custody.backup.verify(scope, place, id);
    expectThat(report.ok, `backup ${id} is whole`, report);
  }
}

/** Nothing lies in the repository that a check of all its backups does not read, and nobody works on it. */
async function checkNothingUnreachable(
  custody: Custody,
  place: BlobStore,
  ids: readonly string[],
): Promise<void> {
  const keys = new Set<string>();
  const readings = new Proxy(place, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...args: readonly unknown[]): unknown => {
        if (name === "read" || name === "stream") keys.add(String(args[1]));
        return Reflect.apply(member, target, args);
      };
    },
  });
  for (const id of ids) await custody.backup.verify(scope, readings, id);
  const at = { blob: place, scope: { ...scope, tenant: "_system" } };
  const left: string[] = [];
  for await (const { key } of listAll(at, "")) if (!keys.has(key)) left.push(key);
  expectThat(left.length === 0, "no object is left that no backup needs", left);
}

async function idsOf(custody: Custody, place: BlobStore): Promise<readonly string[]> {
  return (await custody.backup.list(scope, place)).map(({ backupId }) => backupId);
}

function requiredBy(log: string): readonly string[] {
  if (!existsSync(log)) return [];
  let required: readonly string[] = [];
  for (const line of readFileSync(log, "utf8").split("\n").slice(0, -1)) {
    const logged = JSON.parse(line) as Logged;
    required = "keeps" in logged ? logged.keeps : [...required, logged.created];
  }
  return required;
}

function write(log: string, logged: Logged): void {
  appendFileSync(log, `${JSON.stringify(logged)}\n`);
}

function expectThat(isTrue: boolean, promise: string, found: unknown): void {
  if (isTrue) return;
  writeSync(1, `broken: ${promise}: ${JSON.stringify(found).slice(0, 2_000)}\n`);
  process.exit(1);
}

await labourAway(JSON.parse(process.argv[2] ?? "{}") as BackupStepLabour);
