import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openBackupRepository } from "@custody/core/backup/backup-repository";
import type { BackupRepository } from "@custody/core/backup/backup-repository";
import type { DrillPlace } from "@custody/core/backup/drill";
import { openBackup, openNewestBeside } from "@custody/core/backup/open-backup";
import { restoreBackup } from "@custody/core/backup/restore";
import type { RestoreOptions, RestoreProgress, RestoreReport } from "@custody/core/backup/restore";
import type { RestoreTarget } from "@custody/core/backup/restored-journal";
import type { RestorePoint } from "@custody/core/backup/restore-cut";
import type { Custody } from "@custody/core/custody";
import { CoreError } from "@custody/core/errors";
import { readKeyBackupRecord } from "@custody/core/keys/key-backup-record";
import { keysDirectory, readKeyFile } from "@custody/core/keys/root-key-file";
import { openLocalKeyService } from "@custody/core/keys/local-key-service";
import type { LocalKeys } from "@custody/core/keys/local-key-service";
import { TypeRegistry } from "@custody/core/records/type-registry";
import type { Stores } from "@custody/core/stores";
import { PACKS } from "@custody/packs/catalogue";
import { lockDirectory } from "@custody/stores/drivers/directory-lock";
import type { DirectoryLock } from "@custody/stores/drivers/directory-lock";

import { ensureDataDirectory, noteRestoreBegun, requireDataDirectory } from "./data-directory.ts";
import { keyBackupOptions, restoreKeys } from "./key-operations.ts";
import type { TypedSecret } from "./key-operations.ts";
import { nodeRuntime } from "./node-runtime.ts";
import { openPlace } from "./open-place.ts";
import { openStores } from "./open-stores.ts";
import type { EngineUrls } from "./open-stores.ts";
import { requireOwnStores } from "./own-stores.ts";

/** Where an installation's files, key and servers are. */
export interface InstallationPlace {
  readonly dataDirectory: string;
  readonly keyFile: string;
  readonly engines: EngineUrls;
}

/** What is restored from where into what. */
export interface RestoreInstallationOptions {
  /** The repository of backups, by URL. */
  readonly from: string;
  /** Or `latest`. */
  readonly backupId: string;
  readonly to: RestorePoint;
  /** This tenant's journal alone. */
  readonly tenant?: string;
  readonly into: InstallationPlace;
  /** Where the keys come from; absent when they are in the new place already. */
  readonly keys?: KeysToRestore;
  /** The installation that is left, where it can still be read: it knows the latest holds and erasures. */
  readonly live?: InstallationPlace;
  readonly onProgress?: (progress: RestoreProgress) => void;
  readonly signal?: AbortSignal;
}

/** A backup of keys and what opens it. */
export interface KeysToRestore {
  readonly url: string;
  readonly secret: TypedSecret;
  /** True where the old installation goes on: the copy never writes into its key backup. */
  readonly isCopy: boolean;
}

/**
 * Restores a backup into a new data directory, on the engines that its URLs choose. Stores are filled from
 * the journal when it is opened. Interrupted, it goes on when it is called again alike.
 *
 * @throws CoreError `conflict` when the place holds anything, `not-found` without such a backup, `damaged`
 *   with the reason when it is not whole, `no-key` when the keys do not open it.
 */
export async function restoreInstallation(
  options: RestoreInstallationOptions,
): Promise<RestoreReport> {
  const { from, backupId, into, keys: keysFrom, live } = options;
  if (keysFrom !== undefined) {
    const { url, secret, isCopy } = keysFrom;
    ensureDataDirectory(into.dataDirectory, nodeRuntime().clock(), `backup ${backupId}`);
    await restoreKeys(into, { url, secret, isCopy });
  }
  await using target = await openParts(into);
  await using place = await openPlace(from, { mustExist: true });
  const { keys, stores } = target;
  const runtime = nodeRuntime();
  const repository = await openBackupRepository({ blob: place, keys, runtime });
  const source = await openBackup(repository, backupId);
  await using left = live === undefined ? undefined : await openParts(live);
  const alive = left && { journal: await left.stores.journal(), blob: await left.stores.blob() };
  return await restoreBackup(source, await targetOf({ keys, stores }), {
    ...chosen(options),
    onBegun: () => noteRestoreBegun(into.dataDirectory),
    ...(await newestOf(repository, source.manifest.backupId)),
    ...(alive === undefined ? {} : { live: alive }),
  });
}

/** What a drill restores beside. */
export interface ScratchOptions {
  readonly dataDirectory: string;
  readonly keyFile: string;
  /** Where the keys' backup is; default where it was when it was made. */
  readonly keyBackup?: string;
  /** The directory that scratch directories are made in; default that of temporary files. */
  readonly scratch?: string;
  /** Opens what was restored. */
  readonly open: (restored: InstallationPlace) => Promise<Custody>;
}

/**
 * Makes a scratch directory with a copy of the keys from their backup, for a drill on embedded engines.
 * Disposing it removes all of it.
 *
 * @throws CoreError `usage` where there is no backup of the keys.
 */
export async function makeScratchPlace(options: ScratchOptions): Promise<DrillPlace> {
  const { dataDirectory: directory, keyFile, keyBackup, scratch = tmpdir() } = options;
  const url = keyBackup ?? (await readKeyBackupRecord(keysDirectory(directory)))?.url;
  if (url === undefined)
    throw new CoreError("usage", "a drill needs a backup of the keys; see `custody keys backup`");
  await using opened = new AsyncDisposableStack();
  const root = await mkdtemp(join(scratch, "custody-drill-"));
  opened.defer(() => rm(root, { recursive: true, force: true }));
  const into = { dataDirectory: join(root, "data"), keyFile: join(root, "key"), engines: {} };
  const secret = { kind: "root", root: await readKeyFile({ directory, keyFile }) } as const;
  await restoreKeys(into, { url, secret, isCopy: true });
  const { keys, stores, close } = closable(opened, await openParts(into));
  const target = await targetOf({ keys, stores });
  const closing = opened.move();
  return {
    target,
    open: async () => {
      await close();
      return options.open(into);
    },
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

/** Parts that are closed once, early or with all that was opened. */
function closable(
  opened: AsyncDisposableStack,
  parts: OpenedParts,
): Pick<OpenedParts, "keys" | "stores"> & { readonly close: () => Promise<void> } {
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= Promise.resolve(parts[Symbol.asyncDispose]()));
  opened.defer(close);
  return { keys: parts.keys, stores: parts.stores, close };
}

async function targetOf({
  keys,
  stores,
}: Pick<OpenedParts, "keys" | "stores">): Promise<RestoreTarget> {
  return {
    journal: await stores.journal(),
    blob: await stores.blob(),
    keys,
    registry: new TypeRegistry(PACKS),
    runtime: nodeRuntime(),
    isSealed: true,
  };
}

function chosen({
  to,
  tenant,
  onProgress,
  signal,
}: RestoreInstallationOptions): Pick<RestoreOptions, "to" | "tenant" | "onProgress" | "signal"> {
  return {
    to,
    ...(tenant === undefined ? {} : { tenant }),
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** The newest backup that can be read, when it is another one: it knows of holds and erasures since. */
async function newestOf(
  repository: BackupRepository,
  restored: string,
): Promise<Pick<RestoreOptions, "newest">> {
  const newest = await openNewestBeside(repository, restored);
  return newest === undefined ? {} : { newest };
}

interface OpenedParts extends AsyncDisposable {
  readonly keys: LocalKeys;
  readonly stores: Stores;
}

/** Opens keys and stores of an installation, without the library over them. */
async function openParts({
  dataDirectory,
  keyFile,
  engines,
}: InstallationPlace): Promise<OpenedParts> {
  requireDataDirectory(dataDirectory);
  const runtime = nodeRuntime();
  const { random, clock } = runtime;
  await using opened = new AsyncDisposableStack();
  opened.use(lockFor(dataDirectory, clock()));
  const backup = keyBackupOptions({}, runtime);
  const keys = opened.use(
    await openLocalKeyService({ directory: dataDirectory, keyFile, random, backup }),
  );
  const stores = opened.use(openStores({ dataDirectory, engines, keys }));
  await requireOwnStores(dataDirectory, { stores, engines, random });
  const closing = opened.move();
  return { keys, stores, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}

function lockFor(directory: string, since: number): DirectoryLock {
  return lockDirectory(directory, { pid: process.pid, since, command: "custody backup restore" });
}
