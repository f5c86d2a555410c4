import type { KeyBackupOptions, KeysStatus, SyncKeysOptions } from "@custody/core/keys/key-backup";
import type { KeyBackupSecret } from "@custody/core/keys/key-backup-head";
import {
  recoverFromKeyBackup,
  restoreKeys as restoreFrom,
} from "@custody/core/keys/key-backup-restore";
import type { RestoredKeys } from "@custody/core/keys/key-backup-restore";
import type { KeyBackupCheck } from "@custody/core/keys/key-backup-verify";
import type { KeyBackupReport } from "@custody/core/keys/key-service";
import { readKeyBackupRecord } from "@custody/core/keys/key-backup-record";
import { keysDirectory } from "@custody/core/keys/root-key-file";
import { openLocalKeyService } from "@custody/core/keys/local-key-service";
import type { LocalKeys } from "@custody/core/keys/local-key-service";
import { CoreError } from "@custody/core/errors";
import type { Runtime } from "@custody/core/runtime";
import { openWrappingService } from "@custody/stores/wrapping/open-wrapping-service";
import type { WrappingService } from "@custody/stores/wrapping/port";
import { lockDirectory } from "@custody/stores/drivers/directory-lock";

import { ensureDataDirectory, requireDataDirectory } from "./data-directory.ts";
import { nodeRuntime } from "./node-runtime.ts";
import { isPlaceWithin, openPlace, placeUrl, withoutSecrets } from "./open-place.ts";

/** Whose keys are meant. */
export interface KeysOf {
  readonly dataDirectory: string;
  readonly keyFile: string;
  /** Where their backup is, by URL; default where it was when it was made. */
  readonly keyBackup?: string;
  /** The key service that wraps the root key as well, by URL; default none, or what has wrapped it. */
  readonly keyService?: string;
}

/** A typed secret, or the URL of a key service that is opened while it is needed. */
export type TypedSecret =
  | Exclude<KeyBackupSecret, { readonly kind: "key-service" }>
  | { readonly kind: "key-service"; readonly url: string };

/** How a key service reaches its backup on this machine. */
export function keyBackupOptions(
  { keyBackup: url, keyService }: Pick<KeysOf, "keyBackup" | "keyService">,
  { clock }: Pick<Runtime, "clock">,
): KeyBackupOptions {
  return {
    // Whoever asks later may be in another directory.
    ...(url === undefined ? {} : { url: placeUrl(url) }),
    open: (place) => openPlace(place),
    shown: withoutSecrets,
    ...(keyService === undefined ? {} : { openKeyService: () => openKeyService(keyService) }),
    clock,
  };
}

/** Makes a backup of the keys, or brings it up to date. */
export function backUpKeys(of: KeysOf, options: SyncKeysOptions): Promise<KeyBackupReport> {
  const { dataDirectory, keyBackup } = of;
  if (keyBackup !== undefined && isPlaceWithin(dataDirectory, keyBackup))
    throw new CoreError(
      "usage",
      `${keyBackup} lies in the data directory, and would be lost with it; choose another place`,
    );
  return withKeys(of, (keys) => keys.backup.sync(options));
}

/** Compares every key in the backup with the one here. */
export function verifyKeys(of: KeysOf): Promise<KeyBackupCheck> {
  return withKeys(of, (keys) => keys.backup.verify());
}

/** Says which keys there are and how their backup is. */
export function readKeysStatus(of: KeysOf): Promise<KeysStatus> {
  return withKeys(of, (keys) => keys.backup.status());
}

/**
 * Writes a key file and its keyring from a backup of keys, into a data directory that is made where
 * there is none.
 *
 * @param from.isCopy makes a second copy, for a drill say, that never writes into the backup.
 */
export async function restoreKeys(
  to: Pick<KeysOf, "dataDirectory" | "keyFile">,
  from: { readonly url: string; readonly secret: TypedSecret; readonly isCopy?: boolean },
): Promise<RestoredKeys> {
  const { clock, random } = nodeRuntime();
  const { dataDirectory: directory, keyFile } = to;
  await using store = await openPlace(from.url, { mustExist: true });
  ensureDataDirectory(directory, clock());
  using _lock = lockKeys(directory, clock);
  const url = placeUrl(from.url);
  const adopting = from.isCopy === true ? {} : { url, shownUrl: withoutSecrets(url) };
  return await withSecret(from.secret, (secret) =>
    restoreFrom({ directory, keyFile, store, secret, random, clock, ...adopting }),
  );
}

/** Writes a lost key file anew from the key backup, where the other keys are still in the data directory. */
export async function recoverKeys(
  to: KeysOf,
  secret: TypedSecret,
): Promise<{ readonly rootKey: string }> {
  const { clock, random } = nodeRuntime();
  const { dataDirectory: directory, keyFile, keyBackup } = to;
  requireDataDirectory(directory);
  const url = keyBackup ?? (await readKeyBackupRecord(keysDirectory(directory)))?.url;
  if (url === undefined)
    throw new CoreError("usage", "nothing says where the keys' backup is; give --key-backup");
  await using store = await openPlace(url, { mustExist: true });
  using _lock = lockKeys(directory, clock);
  return await withSecret(secret, (opened) =>
    recoverFromKeyBackup({ directory, keyFile, store, secret: opened, random }),
  );
}

async function withSecret<Answer>(
  secret: TypedSecret,
  work: (opened: KeyBackupSecret) => Promise<Answer>,
): Promise<Answer> {
  if (secret.kind !== "key-service") return await work(secret);
  await using service = await openKeyService(secret.url);
  return await work({ kind: "key-service", service });
}

function openKeyService(url: string): Promise<WrappingService> {
  return openWrappingService(url, process.env);
}

/** Opens keys for this process alone: two that wrote one backup would undo each other. */
async function withKeys<Answer>(
  of: KeysOf,
  work: (keys: LocalKeys) => Promise<Answer>,
): Promise<Answer> {
  const { dataDirectory, keyFile } = of;
  const runtime = nodeRuntime();
  requireDataDirectory(dataDirectory);
  using _lock = lockKeys(dataDirectory, runtime.clock);
  await using keys = await openLocalKeyService({
    directory: dataDirectory,
    keyFile,
    random: runtime.random,
    backup: keyBackupOptions(of, runtime),
  });
  return await work(keys);
}

function lockKeys(directory: string, clock: () => number): Disposable {
  return lockDirectory(directory, { pid: process.pid, since: clock(), command: "custody keys" });
}
