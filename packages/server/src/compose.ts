import type { Pack } from "@custody/contract/importer";
import { requireRestored } from "@custody/core/backup/restore-marker";
import { createCustody, CUSTODY_SETTINGS } from "@custody/core/create-custody";
import type { CustodySettings } from "@custody/core/create-custody";
import type { Custody } from "@custody/core/custody";
import { createKeyFile, recoverKeyFile as recoverRootKey } from "@custody/core/keys/root-key-file";
import { openLocalKeyService } from "@custody/core/keys/local-key-service";
import type { Projection } from "@custody/core/projection/projections";
import { PACKS } from "@custody/packs/catalogue";
import { detectFormat } from "@custody/packs/reading/detection";
import { openSource } from "@custody/packs/reading/source";
import { lockDirectory } from "@custody/stores/drivers/directory-lock";

export { makeScratchPlace, restoreInstallation } from "./backup-composition.ts";
import {
  createDataDirectory,
  requireDataDirectory,
  requireNotRestoring,
} from "./data-directory.ts";
import { StoreGuards } from "./guard/store-guards.ts";
import { keyBackupOptions } from "./key-operations.ts";
import { nodeRuntime } from "./node-runtime.ts";
import { requireOwnStores } from "./own-stores.ts";
import { packageVersion } from "./package-version.ts";
import { openStores } from "./open-stores.ts";
import type { EngineUrls } from "./open-stores.ts";

/** Where an installation lives and how it behaves. */
export interface OpenCustodyOptions {
  /** Made by {@link initCustody}. */
  readonly dataDirectory: string;
  /** The root key's file, outside the data directory. */
  readonly keyFile: string;
  /** Where the backup of the keys is, by URL; default where it was when it was made. */
  readonly keyBackup?: string;
  /** The key service that wraps the root key in that backup as well, by URL. */
  readonly keyService?: string;
  /** The server that plays a role, by URL; roles without one are played by embedded engines. */
  readonly engines?: EngineUrls;
  /** Default: all packs that come with Custody. */
  readonly packs?: readonly Pack[];
  readonly settings?: Partial<CustodySettings>;
  /** Lets changed types lose fields. */
  readonly acceptLoss?: boolean;
  readonly onNotice?: (text: string) => void;
  readonly onProjected?: (applied: {
    readonly projection: Projection;
    readonly records: number;
  }) => void;
}

/** Makes a data directory and its root key; the recovery key is shown once and kept nowhere. */
export async function initCustody(options: {
  readonly dataDirectory: string;
  readonly keyFile: string;
}): Promise<{ readonly recoveryKey: string }> {
  const runtime = nodeRuntime();
  const { dataDirectory, keyFile } = options;
  createDataDirectory(dataDirectory, runtime.clock());
  const recoveryKey = await createKeyFile({ directory: dataDirectory, keyFile }, runtime.random);
  return { recoveryKey };
}

/** Writes a lost root key file anew from the recovery key. */
export async function recoverKeyFile(options: {
  readonly dataDirectory: string;
  readonly keyFile: string;
  readonly recoveryKey: string;
}): Promise<void> {
  const { dataDirectory, keyFile, recoveryKey } = options;
  requireDataDirectory(dataDirectory);
  await recoverRootKey(recoveryKey, { directory: dataDirectory, keyFile }, nodeRuntime().random);
}

/**
 * Opens a data directory for this process alone, on the engines that its URLs choose.
 *
 * @throws StoreError `unavailable` naming the process that has it open; CoreError `usage`, `no-key`.
 */
export async function openCustody(options: OpenCustodyOptions): Promise<Custody> {
  const {
    dataDirectory,
    keyFile,
    packs = PACKS,
    acceptLoss = false,
    engines = {},
    onProjected,
    onNotice,
  } = options;
  requireNotRestoring(requireDataDirectory(dataDirectory));
  const runtime = nodeRuntime(dataDirectory);
  const command = process.argv
    .slice(1, 3)
    .map((part) => part.split("/").at(-1))
    .join(" ");
  // What was opened is closed in reverse, whether opening fails half way or the library is closed.
  await using opened = new AsyncDisposableStack();
  opened.use(lockDirectory(dataDirectory, { pid: process.pid, since: runtime.clock(), command }));
  const { random } = runtime;
  const backup = keyBackupOptions(options, runtime);
  const keys = await openLocalKeyService({ directory: dataDirectory, keyFile, random, backup });
  const guards = new StoreGuards({
    clock: runtime.clock,
    random,
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  const stores = openStores({ dataDirectory, engines, keys, guards });
  opened.use(stores);
  await requireOwnStores(dataDirectory, { stores, engines, random });
  await requireRestored(await stores.journal());
  const { installation } = requireDataDirectory(dataDirectory);
  const closing: { stack?: AsyncDisposableStack } = {};
  const custody = await createCustody({
    packs,
    stores: { ...stores, [Symbol.asyncDispose]: async () => closing.stack?.disposeAsync() },
    keys,
    runtime,
    reading: {
      importers: packs.flatMap(({ importers }) => importers),
      open: openSource,
      detect: detectFormat,
    },
    settings: { ...CUSTODY_SETTINGS, acceptLoss, ...options.settings },
    ...(installation === undefined
      ? {}
      : { identity: { installation, version: packageVersion() } }),
    ...(onProjected === undefined ? {} : { onProjected }),
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  closing.stack = opened.move();
  return custody;
}
