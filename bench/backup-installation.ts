import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import type { Custody } from "@custody/core/custody";
import type { CreatedBackup } from "@custody/core/operations/backup-operations";
import type { BackupKind } from "@custody/core/backup/backup-manifest";
import { initCustody, openCustody } from "@custody/server/compose";
import { backUpKeys } from "@custody/server/key-operations";
import { openPlace } from "@custody/server/open-place";

import { SCOPE } from "./custody-scope.ts";

/** The installation below a directory, and where the backup of its keys is. */
export interface BackedUpPlace {
  readonly dataDirectory: string;
  readonly keyFile: string;
  readonly keyBackup: string;
}

/** Says where the installation of a run is. */
export function placeIn(directory: string): BackedUpPlace {
  return {
    dataDirectory: join(directory, "data"),
    keyFile: join(directory, "root.key"),
    keyBackup: join(directory, "key-backup"),
  };
}

/** Makes an installation whose keys are backed up, without which no data is, and opens it. */
export async function makeInstallation(directory: string): Promise<Custody> {
  const place = placeIn(directory);
  await initCustody(place);
  await backUpKeys(place, {});
  return openCustody(place);
}

/** Makes one backup into a repository in a directory. */
export async function backUp(
  custody: Custody,
  repository: string,
  kind: BackupKind,
): Promise<CreatedBackup> {
  mkdirSync(repository, { recursive: true });
  await using place = await openPlace(repository);
  return await custody.backup.create(SCOPE, place, { kind });
}

/** The files below a directory and their bytes. */
export function filesBelow(directory: string): {
  readonly paths: readonly string[];
  readonly bytes: number;
} {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true });
  const paths = files
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  return { paths, bytes: paths.reduce((sum, path) => sum + statSync(path).size, 0) };
}

/** Seconds that work takes, beside what it answers. */
export async function timed<Answer>(
  work: () => Promise<Answer>,
): Promise<{ readonly seconds: number; readonly answer: Answer }> {
  const begun = performance.now();
  const done = await work();
  return { seconds: (performance.now() - begun) / 1_000, answer: done };
}
