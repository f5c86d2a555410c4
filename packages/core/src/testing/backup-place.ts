import { randomBytes } from "node:crypto";
import { join } from "node:path";

import type { BlobStore } from "@custody/stores/blob/port";
import { openFileBlobStore } from "@custody/stores/blob/files";

import { openBackupRepository } from "../backup/backup-repository.ts";
import type { BackupRepository } from "../backup/backup-repository.ts";
import type { CreateBackupParts } from "../backup/create-backup.ts";
import { zstdCodec } from "../journal/format/codec.ts";
import { openLocalKeyService } from "../keys/local-key-service.ts";
import type { Runtime } from "../runtime.ts";
import type { Installation } from "./installation.ts";

/** A repository of backups of a test's installation, in files beside it unless another place is given. */
export interface BackupPlace extends AsyncDisposable {
  readonly repository: BackupRepository;
  readonly parts: CreateBackupParts;
  /** How often the key backup was asked for and brought up to date. */
  readonly keyBackups: { required: number; synced: number };
}

/** The directory in which the backups of a test's installation lie. */
export function backupDirectory({ directory }: Installation): string {
  return join(directory, "..", "backups");
}

/** Opens the place where a test keeps backups. */
export async function openBackupPlace(
  installation: Installation,
  wrap: (blob: BlobStore) => BlobStore = (blob) => blob,
  place?: BlobStore,
): Promise<BackupPlace> {
  const { directory, keyFile, clock, stores } = installation;
  const keys = await openLocalKeyService({ directory, keyFile, random: randomBytes });
  const blob = wrap(
    place ?? (await openFileBlobStore({ directory: backupDirectory(installation) })),
  );
  const runtime: Runtime = {
    clock: () => clock.nowMs,
    random: randomBytes,
    sleep: () => new Promise((resolve) => setImmediate(resolve)),
    codec: zstdCodec,
    user: "os:test",
  };
  const repository = await openBackupRepository({
    blob,
    keys,
    runtime,
    installation: "installation-1",
  });
  const keyBackups = { required: 0, synced: 0 };
  const keyBackup = {
    require: async () => void (keyBackups.required += 1),
    sync: async () => void (keyBackups.synced += 1),
  };
  const journal = await stores.journal();
  const parts = { repository, journal, blob: await stores.blob(), version: "0.1.0", keyBackup };
  return {
    repository,
    parts,
    keyBackups,
    [Symbol.asyncDispose]: () => keys[Symbol.asyncDispose](),
  };
}
