import { existsSync } from "node:fs";

import { openBackupRepository } from "@custody/core/backup/backup-repository";
import { openBackup } from "@custody/core/backup/open-backup";
import { restoreBackup } from "@custody/core/backup/restore";
import { restoreKeys } from "@custody/core/keys/key-backup-restore";
import { openLocalKeyService } from "@custody/core/keys/local-key-service";
import { TypeRegistry } from "@custody/core/records/type-registry";
import { PACKS } from "@custody/packs/catalogue";
import { ensureDataDirectory, noteRestoreBegun } from "@custody/server/data-directory";
import { nodeRuntime } from "@custody/server/node-runtime";
import { openPlace } from "@custody/server/open-place";
import { openStores } from "@custody/server/open-stores";
import { requireOwnStores } from "@custody/server/own-stores";
import { lockDirectory } from "@custody/stores/drivers/directory-lock";

import { READING_STEPS } from "./killing-stores.ts";
import type { KillingStores } from "./killing-stores.ts";
import type { Place } from "./open-installation.ts";

/** What is restored into an empty place. */
export interface RestoreKilledOptions {
  readonly into: Place;
  readonly repository: string;
  readonly keyBackup: string;
  readonly recoveryKey: string;
}

/** Restores the latest backup as the server does, with every store watched; the same again goes on. */
export async function restoreKilled(
  { into, repository: from, keyBackup, recoveryKey }: RestoreKilledOptions,
  killing: KillingStores,
): Promise<void> {
  const { dataDirectory: directory, keyFile, engines } = into;
  const runtime = nodeRuntime();
  const { random, clock } = runtime;
  ensureDataDirectory(directory, clock(), "backup latest");
  using _lock = lockDirectory(directory, { pid: process.pid, since: clock(), command: "" });
  if (!existsSync(keyFile)) {
    await using place = await openPlace(keyBackup, { mustExist: true });
    // Each key is written to a file once it was read.
    const store = killing.watchPlace("keyBackup", place, READING_STEPS);
    const secret = { kind: "recovery", typed: recoveryKey } as const;
    await restoreKeys({ directory, keyFile, store, secret, random, clock });
  }
  await using keys = await openLocalKeyService({ directory, keyFile, random });
  await using opened = openStores({ dataDirectory: directory, engines, keys });
  const stores = killing.watch(opened);
  await requireOwnStores(directory, { stores, engines, random });
  await using place = await openPlace(from, { mustExist: true });
  const blob = killing.watchPlace("repository", place);
  const repository = await openBackupRepository({ blob, keys, runtime });
  const target = {
    journal: await stores.journal(),
    blob: await stores.blob(),
    keys,
    registry: new TypeRegistry(PACKS),
    runtime,
    isSealed: true,
  };
  await restoreBackup(await openBackup(repository, "latest"), target, {
    to: "latest",
    onBegun: () => noteRestoreBegun(directory),
  });
}
