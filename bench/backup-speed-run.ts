// A child process: full backups, checks of them and plain copies of the same files in turns; then what an
// incremental backup writes.
import { createHash } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";

import type { BackupKind } from "@custody/core/backup/backup-manifest";
import { openCustody } from "@custody/server/compose";
import { openPlace } from "@custody/server/open-place";

import { backUp, filesBelow, placeIn, timed } from "./backup-installation.ts";
import { commitBatches } from "./commit-all.ts";
import { SCOPE } from "./custody-scope.ts";
import { lineBatches } from "./record-lines.ts";
import { answer, backupRequest, BATCH_RECORDS } from "./run-request.ts";

/** Of each round. */
interface SpeedRound {
  readonly fullSeconds: number;
  readonly verifySeconds: number;
  readonly copySeconds: number;
  readonly hashSeconds: number;
  /** Bytes in the repository, and files. */
  readonly bytes: number;
  readonly files: number;
  readonly isVerified: boolean;
}

// The input is what is committed between the full and the incremental backup.
const { input, directory, rounds: count, repository } = backupRequest();
const custody = await openCustody(placeIn(directory));
const rounds: SpeedRound[] = [];
for (let round = 1; round <= count; round += 1) {
  rmSync(repository, { recursive: true, force: true });
  rounds.push(await measureRound());
}
const unchanged = await addBackup("incremental");
await commitBatches(custody, lineBatches(input, BATCH_RECORDS));
await custody.catchUp(SCOPE);
const changed = await addBackup("incremental");
const again = await addBackup("full");
await custody[Symbol.asyncDispose]();
answer({ rounds, unchanged, changed, again });

async function measureRound(): Promise<SpeedRound> {
  const full = await timed(() => backUp(custody, repository, "full"));
  const { paths, bytes } = filesBelow(repository);
  const copy = await timed(() => copyFiles(paths, join(directory, "copy")));
  const verified = await timed(async () => {
    await using place = await openPlace(repository);
    return await custody.backup.verify(SCOPE, place, "latest");
  });
  const hashed = await timed(() => hashFiles(paths));
  return {
    fullSeconds: full.seconds,
    verifySeconds: verified.seconds,
    copySeconds: copy.seconds,
    hashSeconds: hashed.seconds,
    bytes,
    files: paths.length,
    isVerified: verified.answer.ok,
  };
}

/** Makes a backup beside those that are there; tells what it added. */
async function addBackup(kind: BackupKind): Promise<Readonly<Record<string, number>>> {
  const before = filesBelow(repository);
  const made = await timed(() => backUp(custody, repository, kind));
  const after = filesBelow(repository);
  return {
    seconds: made.seconds,
    bytes: after.bytes - before.bytes,
    files: after.paths.length - before.paths.length,
  };
}

/** Reads, writes and syncs each file, one after another: the least that any copy does. */
async function copyFiles(paths: readonly string[], into: string): Promise<void> {
  mkdirSync(into);
  for (const [index, path] of paths.entries()) {
    await using file = await open(join(into, String(index)), "w");
    await file.write(await readFile(path));
    await file.datasync();
  }
  rmSync(into, { recursive: true });
}

/** Reads and hashes each file: the least that any check does. */
async function hashFiles(paths: readonly string[]): Promise<void> {
  for (const path of paths)
    createHash("sha256")
      .update(await readFile(path))
      .digest();
}
