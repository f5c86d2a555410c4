import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Pack } from "@custody/contract/importer";
import { openDuckdbAnalytics } from "@custody/stores/analytics/duckdb";
import { openFileBlobStore } from "@custody/stores/blob/files";
import { embeddedEngine } from "@custody/stores/catalogue";
import { openSqliteDocumentStore } from "@custody/stores/document/sqlite";
import { openLadybugGraph } from "@custody/stores/graph/ladybug";
import { openSqliteJournal } from "@custody/stores/relational/sqlite-journal";
import { openSqliteRelational } from "@custody/stores/relational/sqlite";
import type { Scope } from "@custody/stores/scope";
import { openSqliteSearchStore } from "@custody/stores/search/sqlite";
import { openDuckdbSeries } from "@custody/stores/series/duckdb";

import { createCustody, CUSTODY_SETTINGS } from "../create-custody.ts";
import type { CustodySettings } from "../create-custody.ts";
import type { Custody } from "../custody.ts";
import type { SourceReading } from "../import/source-reading.ts";
import { zstdCodec } from "../journal/format/codec.ts";
import { openLocalKeyService } from "../keys/local-key-service.ts";
import { createKeyFile } from "../keys/root-key-file.ts";
import type { Runtime } from "../runtime.ts";
import type { Stores } from "../stores.ts";
import { samplePack } from "./sample-types.ts";

/** A real installation in this thread: the embedded engines, a clock that the test owns. */
export interface Installation extends AsyncDisposable {
  readonly custody: Custody;
  readonly stores: Stores;
  readonly directory: string;
  readonly keyFile: string;
  readonly clock: { nowMs: number };
  /** Closes it and opens the same directory again. */
  readonly reopen: (changes?: InstallationChanges) => Promise<Installation>;
}

export interface InstallationChanges {
  readonly packs?: readonly Pack[];
  readonly settings?: Partial<CustodySettings>;
  readonly reading?: SourceReading;
  /** Lets a test put something between core and a store. */
  readonly wrapStores?: (stores: Stores) => Stores;
  /** What the disks say; without it nobody can tell. */
  readonly space?: Runtime["space"];
  readonly onNotice?: (text: string) => void;
  /** A directory for the keys' backup, which is brought up to date; and with it a name, so that it can be backed up. */
  readonly keyBackup?: string;
}

/** The scope tests work in. */
export const scope: Scope = {
  tenant: "acme",
  actor: "user:test",
  deadline: Number.POSITIVE_INFINITY,
};

const NO_READING: SourceReading = {
  importers: [],
  open: () => Promise.reject(new Error("this installation reads no files")),
  detect: () => {
    throw new Error("this installation reads no files");
  },
};

/** Makes a new installation in a temporary directory. */
export async function openInstallation(changes: InstallationChanges = {}): Promise<Installation> {
  const root = mkdtempSync(join(tmpdir(), "custody-core-"));
  const [directory, keyFile] = [join(root, "data"), join(root, "root.key")];
  await createKeyFile({ directory, keyFile }, randomBytes);
  return open({ root, directory, keyFile }, changes, { nowMs: Date.parse("2026-04-01T00:00:00Z") });
}

/** Opens an installation where its files are already: its data, its keys and its root key. */
export function openInstallationAt(
  place: Place,
  nowMs: number,
  changes: InstallationChanges = {},
): Promise<Installation> {
  return open(place, changes, { nowMs });
}

interface Place {
  readonly root: string;
  readonly directory: string;
  readonly keyFile: string;
}

async function open(
  place: Place,
  changes: InstallationChanges,
  clock: { nowMs: number },
): Promise<Installation> {
  const { directory, keyFile } = place;
  const runtime: Runtime = {
    clock: () => clock.nowMs,
    random: randomBytes,
    sleep: () => new Promise((resolve) => setImmediate(resolve)),
    codec: zstdCodec,
    user: "os:test",
    ...(changes.space === undefined ? {} : { space: changes.space }),
  };
  const { keyBackup } = changes;
  const keys = await openLocalKeyService({
    directory,
    keyFile,
    random: randomBytes,
    ...(keyBackup === undefined
      ? {}
      : {
          backup: {
            url: keyBackup,
            open: (url) => openFileBlobStore({ directory: url }),
            shown: (url) => url,
            clock: () => clock.nowMs,
          },
        }),
  });
  if (keyBackup !== undefined) await keys.backup.sync();
  const real = embedded(directory, runtime, await keys.ownerSalt());
  const stores = changes.wrapStores?.(real) ?? real;
  const custody = await createCustody({
    packs: changes.packs ?? [samplePack],
    stores,
    keys,
    runtime,
    reading: changes.reading ?? NO_READING,
    settings: { ...CUSTODY_SETTINGS, isHeadAwaited: true, ...changes.settings },
    ...(keyBackup === undefined
      ? {}
      : { identity: { installation: place.root, version: "0.0.0-test" } }),
    ...(changes.onNotice === undefined ? {} : { onNotice: changes.onNotice }),
  });
  let isOpen = true;
  const close = async (): Promise<void> => {
    if (isOpen) await custody[Symbol.asyncDispose]();
    isOpen = false;
  };
  return {
    custody,
    stores,
    directory,
    keyFile,
    clock,
    reopen: async (again = {}) => {
      await close();
      return open(place, again, clock);
    },
    async [Symbol.asyncDispose]() {
      await close();
      rmSync(place.root, { recursive: true, force: true });
    },
  };
}

function embedded(directory: string, { clock }: Runtime, ownerSalt: Uint8Array): Stores {
  const opened = new Map<string, Promise<AsyncDisposable>>();
  const once = <Store extends AsyncDisposable>(
    name: string,
    make: () => Promise<Store>,
  ): Promise<Store> => {
    const known = opened.get(name) ?? make();
    opened.set(name, known);
    return known as Promise<Store>;
  };
  const makers = {
    document: () => openSqliteDocumentStore({ directory, ownerSalt }),
    search: () => openSqliteSearchStore({ directory, ownerSalt }),
    relational: () => openSqliteRelational({ directory, ownerSalt }),
    analytics: () => openDuckdbAnalytics({ directory, ownerSalt }),
    series: () => openDuckdbSeries({ directory, ownerSalt }),
    graph: () => openLadybugGraph({ directory, ownerSalt }),
  };
  return {
    engine: embeddedEngine,
    health: () => Promise.resolve(undefined),
    journal: () =>
      once("journal", () => openSqliteJournal({ path: join(directory, "journal.sqlite"), clock })),
    blob: () => once("blob", () => openFileBlobStore({ directory })),
    cache: () =>
      once("cache", async () =>
        (await import("@custody/stores/cache/memory")).openMemoryCache({
          clock,
          bytesMax: 1024 * 1024,
        }),
      ),
    queue: () =>
      once("queue", async () =>
        (await import("@custody/stores/queue/sqlite")).openSqliteQueue({ directory, clock }),
      ),
    stream: (source) =>
      once("stream", async () =>
        (await import("@custody/stores/stream/journal-cursor")).openJournalStream({
          directory,
          source,
        }),
      ),
    projected: (role) => once<never>(role, makers[role] as () => Promise<never>),
    async [Symbol.asyncDispose]() {
      for (const store of [...opened.values()].toReversed())
        await (await store)[Symbol.asyncDispose]();
    },
  };
}
