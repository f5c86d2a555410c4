import { createCustody, CUSTODY_SETTINGS } from "@custody/core/create-custody";
import type { Custody } from "@custody/core/custody";
import type { KeyBackupOptions } from "@custody/core/keys/key-backup";
import { openLocalKeyService } from "@custody/core/keys/local-key-service";
import type { Stores } from "@custody/core/stores";
import { PACKS } from "@custody/packs/catalogue";
import { detectFormat } from "@custody/packs/reading/detection";
import { openSource } from "@custody/packs/reading/source";
import { nodeRuntime } from "@custody/server/node-runtime";
import { openStores } from "@custody/server/open-stores";
import type { EngineUrls } from "@custody/server/open-stores";
import { lockDirectory } from "@custody/stores/drivers/directory-lock";
import { StoreError } from "@custody/stores/errors";

/** Where an installation lies. */
export interface Place {
  readonly dataDirectory: string;
  readonly keyFile: string;
  readonly engines: EngineUrls;
}

/** What a test puts between core and the world. */
export interface Between {
  /** How far the clock is ahead. */
  readonly aheadMs?: number;
  readonly watch?: (stores: Stores) => Stores;
  readonly onNotice?: (text: string) => void;
  /** Opens the backup of the keys; without it no backup is made. */
  readonly openKeyBackup?: KeyBackupOptions["open"];
}

/** Opens an installation as the server does, without its look at the disk's room and its breakers. */
export async function openInstallation(
  { dataDirectory: directory, keyFile, engines }: Place,
  { aheadMs = 0, watch = (stores) => stores, onNotice, openKeyBackup: open }: Between,
): Promise<{ readonly custody: Custody; readonly stores: Stores }> {
  const system = nodeRuntime();
  const runtime = { ...system, clock: () => system.clock() + aheadMs };
  const { random } = runtime;
  await using opening = new AsyncDisposableStack();
  opening.use(lockDirectory(directory, { pid: process.pid, since: system.clock(), command: "" }));
  const { clock } = runtime;
  const backup = open === undefined ? {} : { backup: { open, clock } };
  const keys = await openLocalKeyService({ directory, keyFile, random, ...backup });
  const stores = watch(opening.use(openStores({ dataDirectory: directory, engines, keys })));
  const closing: { stack?: AsyncDisposableStack } = {};
  const custody = await createCustody({
    packs: PACKS,
    stores: { ...stores, [Symbol.asyncDispose]: async () => closing.stack?.disposeAsync() },
    keys,
    runtime,
    reading: {
      importers: PACKS.flatMap(({ importers }) => importers),
      open: openSource,
      detect: detectFormat,
    },
    settings: CUSTODY_SETTINGS,
    identity: { installation: "a crash test's", version: "0.0.0" },
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  closing.stack = opening.move();
  return { custody, stores };
}

/** Stores of which only the journal and the blobs answer, as no other is needed for a backup. */
export function withoutProjections(stores: Stores): Stores {
  const projected = (): Promise<never> =>
    Promise.reject(new StoreError("unavailable", "the store is down while backups are made"));
  return { ...stores, projected };
}
