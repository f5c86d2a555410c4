import { join } from "node:path";

import type { Pack } from "@custody/contract/importer";
import { createCustody, CUSTODY_SETTINGS } from "@custody/core/create-custody";
import type { CustodySettings } from "@custody/core/create-custody";
import type { Custody } from "@custody/core/custody";
import { createKeyFile, recoverKeyFile as recoverRootKey } from "@custody/core/keys/root-key-file";
import type { KeyService } from "@custody/core/keys/key-service";
import { openLocalKeyService } from "@custody/core/keys/local-key-service";
import type { Projection } from "@custody/core/projection/projections";
import type { ProjectedRole, ProjectedStoresByRole, Stores } from "@custody/core/stores";
import { PACKS } from "@custody/packs/catalogue";
import { detectFormat } from "@custody/packs/reading/detection";
import { openSource } from "@custody/packs/reading/source";
import { openFileBlobStore } from "@custody/stores/blob/files";
import { lockDirectory } from "@custody/stores/drivers/directory-lock";
import type { DirectoryLock } from "@custody/stores/drivers/directory-lock";
import { StoreThread } from "@custody/stores/hosting/store-thread";
import type { JournalStore } from "@custody/stores/relational/journal";

import type { EventStream } from "@custody/stores/stream/port";

import { createDataDirectory, requireDataDirectory } from "./data-directory.ts";
import { nodeRuntime } from "./node-runtime.ts";

/** Where an installation lives and how it behaves. */
export interface OpenCustodyOptions {
  /** Made by {@link initCustody}. */
  readonly dataDirectory: string;
  /** The root key's file, outside the data directory. */
  readonly keyFile: string;
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
 * Opens a data directory for this process alone, on the embedded engines.
 *
 * @throws StoreError `unavailable` naming the process that has it open; CoreError `usage`, `no-key`.
 */
export async function openCustody(options: OpenCustodyOptions): Promise<Custody> {
  const {
    dataDirectory,
    keyFile,
    packs = PACKS,
    acceptLoss = false,
    onProjected,
    onNotice,
  } = options;
  requireDataDirectory(dataDirectory);
  const runtime = nodeRuntime();
  const command = process.argv
    .slice(1, 3)
    .map((part) => part.split("/").at(-1))
    .join(" ");
  const lock = lockDirectory(dataDirectory, { pid: process.pid, since: runtime.clock(), command });
  try {
    const keys = await openLocalKeyService({
      directory: dataDirectory,
      keyFile,
      random: runtime.random,
    });
    return await createCustody({
      packs,
      stores: embeddedStores(dataDirectory, lock, keys),
      keys,
      runtime,
      reading: {
        importers: packs.flatMap(({ importers }) => importers),
        open: openSource,
        detect: detectFormat,
      },
      settings: { ...CUSTODY_SETTINGS, acceptLoss, ...options.settings },
      ...(onProjected === undefined ? {} : { onProjected }),
      ...(onNotice === undefined ? {} : { onNotice }),
    });
  } catch (cause) {
    lock[Symbol.dispose]();
    throw cause;
  }
}

/** Which thread an embedded store works in: stores that are filled from the same records share one. */
const PLACES = {
  document: { thread: "documents", module: "document/sqlite", open: "openSqliteDocumentStore" },
  relational: { thread: "documents", module: "relational/sqlite", open: "openSqliteRelational" },
  search: { thread: "search", module: "search/sqlite", open: "openSqliteSearchStore" },
  analytics: { thread: "columns", module: "analytics/duckdb", open: "openDuckdbAnalytics" },
  series: { thread: "columns", module: "series/duckdb", open: "openDuckdbSeries" },
  graph: { thread: "columns", module: "graph/ladybug", open: "openLadybugGraph" },
} as const satisfies Record<ProjectedRole, { thread: string; module: string; open: string }>;

const HEAP_MB = 128;
// A DuckDB process takes up to some 150 MB, and with a file per owner there may be any number of files.
const DUCKDB_PROCESSES_MAX = 3;
const CACHE_BYTES = 16 * 1024 * 1024;

/** The embedded engines, each opened when it is first asked for. */
function embeddedStores(directory: string, lock: DirectoryLock, keys: KeyService): Stores {
  const threads = new Map<string, StoreThread>();
  const opened: AsyncDisposable[] = [];
  const thread = (name: string): StoreThread => {
    const known = threads.get(name) ?? new StoreThread(name, { heapMb: HEAP_MB });
    threads.set(name, known);
    return known;
  };
  const hosted = async <Store extends AsyncDisposable>(
    name: string,
    spec: { module: string; open: string; options: Record<string, unknown> },
  ): Promise<Store> => {
    const module = import.meta.resolve(`@custody/stores/${spec.module}`);
    const store = await thread(name).open<Store>({ ...spec, module });
    opened.push(store);
    return store;
  };
  const ownerSalt = once(() => keys.ownerSalt());
  const openProjected = async (role: ProjectedRole): Promise<AsyncDisposable> => {
    const { thread: name, ...place } = PLACES[role];
    const bounds = name === "columns" ? { processesMax: DUCKDB_PROCESSES_MAX } : {};
    const options = { directory, ownerSalt: await ownerSalt(), ...bounds };
    return hosted(name, { ...place, options });
  };
  const keep = async <Store extends AsyncDisposable>(opening: Promise<Store>): Promise<Store> => {
    const store = await opening;
    opened.push(store);
    return store;
  };
  let stream: Promise<EventStream> | undefined;
  const projected = new Map<ProjectedRole, Promise<AsyncDisposable>>();
  return {
    journal: once(() =>
      hosted<JournalStore>("journal", {
        module: "relational/sqlite-journal",
        open: "openSqliteJournal",
        options: { path: join(directory, "journal.sqlite") },
      }),
    ),
    blob: once(() => keep(openFileBlobStore({ directory }))),
    cache: once(async () => {
      const { openMemoryCache } = await import("@custody/stores/cache/memory");
      const path = join(directory, "cache.sqlite");
      return keep(openMemoryCache({ path, clock: () => Date.now(), bytesMax: CACHE_BYTES }));
    }),
    queue: once(() =>
      hosted("documents", {
        module: "queue/sqlite",
        open: "openSqliteQueue",
        options: { directory },
      }),
    ),
    stream: async (source) => {
      const { openJournalStream } = await import("@custody/stores/stream/journal-cursor");
      return (stream ??= keep(openJournalStream({ directory, source })));
    },
    projected: <Role extends ProjectedRole>(role: Role): Promise<ProjectedStoresByRole[Role]> => {
      const known = projected.get(role) ?? openProjected(role);
      projected.set(role, known);
      return known as Promise<ProjectedStoresByRole[Role]>;
    },
    async [Symbol.asyncDispose]() {
      for (const store of opened.toReversed()) await store[Symbol.asyncDispose]();
      for (const one of threads.values()) await one[Symbol.asyncDispose]();
      lock[Symbol.dispose]();
    },
  };
}

/** Opens on the first call and answers the same ever after. */
function once<Value>(open: () => Promise<Value>): () => Promise<Value> {
  let value: Promise<Value> | undefined;
  return () => (value ??= open());
}
