import { randomBytes } from "node:crypto";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { Pack } from "@custody/contract/importer";
import type { BlobStore } from "@custody/stores/blob/port";
import { openFileBlobStore } from "@custody/stores/blob/files";
import type { JournalStore } from "@custody/stores/relational/journal";
import { openSqliteJournal } from "@custody/stores/relational/sqlite-journal";
import { makeMemoryDirectory } from "@custody/stores/testing/temporary-directory";

import type { RestoreTarget } from "../backup/restored-journal.ts";
import { zstdCodec } from "../journal/format/codec.ts";
import type { KeyService } from "../keys/key-service.ts";
import { openLocalKeyService } from "../keys/local-key-service.ts";
import { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";
import { openInstallationAt } from "./installation.ts";
import type { Installation, InstallationChanges } from "./installation.ts";
import { samplePack } from "./sample-types.ts";

/** An empty place with the keys of an installation, to restore into. */
export interface RestorePlace extends AsyncDisposable {
  readonly target: RestoreTarget;
  /** Opens what was restored as an installation; the target is closed before. */
  readonly open: (changes?: InstallationChanges) => Promise<Installation>;
}

export interface RestorePlaceOptions {
  readonly packs?: readonly Pack[];
  /** Lets a test put something before the stores. */
  readonly wrap?: (stores: { journal: JournalStore; blob: BlobStore }) => {
    journal: JournalStore;
    blob: BlobStore;
  };
}

/** Opens the keys of an installation a second time, as a restore has them. */
export function keysOf({
  directory,
  keyFile,
}: Pick<Installation, "directory" | "keyFile">): Promise<KeyService> {
  return openLocalKeyService({ directory, keyFile, random: randomBytes });
}

/** Makes an empty place; it gets the installation's keys as they are now. */
export async function openRestorePlace(
  from: Pick<Installation, "directory" | "keyFile" | "clock">,
  options: RestorePlaceOptions = {},
): Promise<RestorePlace> {
  const root = makeMemoryDirectory("custody-restored-");
  const [directory, keyFile] = [join(root, "data"), join(root, "root.key")];
  cpSync(join(from.directory, "keys"), join(directory, "keys"), { recursive: true });
  cpSync(from.keyFile, keyFile);
  const clock = (): number => from.clock.nowMs;
  const runtime: Runtime = {
    clock,
    random: randomBytes,
    sleep: () => Promise.resolve(),
    codec: zstdCodec,
    user: "os:restorer",
  };
  const keys = await keysOf({ directory, keyFile });
  const real = {
    journal: await openSqliteJournal({ path: join(directory, "journal.sqlite"), clock }),
    blob: await openFileBlobStore({ directory }),
  };
  const { packs = [samplePack], wrap = (stores) => stores } = options;
  let isOpen = true;
  const close = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    for (const one of [real.journal, real.blob, keys]) await one[Symbol.asyncDispose]();
  };
  return {
    target: { ...wrap(real), keys, registry: new TypeRegistry(packs), runtime, isSealed: true },
    open: async (changes = {}) => {
      await close();
      return openInstallationAt({ root, directory, keyFile }, clock(), { packs, ...changes });
    },
    async [Symbol.asyncDispose]() {
      await close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
