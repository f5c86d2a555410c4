import { join } from "node:path";

import { STORE_ROLES } from "@custody/contract/placement";
import type { StoreRole } from "@custody/contract/placement";
import { CoreError } from "@custody/core/errors";
import type { KeyService } from "@custody/core/keys/key-service";
import type { ProjectedRole, ProjectedStoresByRole, Stores } from "@custody/core/stores";
import { keepBlocksInFiles } from "@custody/stores/blob/block-files";
import type { BlobStore } from "@custody/stores/blob/port";
import type { Cache } from "@custody/stores/cache/port";
import { embeddedEngine, ENGINES, serverEngine } from "@custody/stores/catalogue";
import type { EngineEntry, EngineModule } from "@custody/stores/catalogue";
import { StoreThread } from "@custody/stores/hosting/store-thread";
import type { Queue } from "@custody/stores/queue/port";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { ServerEngine } from "@custody/stores/server-engine";
import type { EventStream } from "@custody/stores/stream/port";

import type { StoreGuards } from "./guard/store-guards.ts";

/** The URL of the server that plays a role; a role without one is played by its embedded engine. */
export type EngineUrls = Readonly<Partial<Record<StoreRole, string>>>;

export interface OpenStoresOptions {
  readonly dataDirectory: string;
  readonly engines: EngineUrls;
  readonly keys: Pick<KeyService, "ownerSalt">;
  /** What stores that are servers are put behind. */
  readonly guards?: StoreGuards;
}

/** Which thread a store works in: stores that are filled from the same records share one. */
const THREADS = {
  document: "documents",
  relational: "documents",
  search: "search",
  analytics: "columns",
  series: "columns",
  graph: "columns",
} as const satisfies Record<ProjectedRole, string>;

const HEAP_MB = 128;
// A DuckDB process takes up to some 150 MB, and with a file per owner there may be any number of files.
const DUCKDB_PROCESSES_MAX = 3;
const CACHE_BYTES = 16 * 1024 * 1024;

/**
 * The engine of a role and the URL it is reached by.
 *
 * @throws CoreError `usage` for a URL that no engine of the role understands.
 */
export function chooseEngine(
  role: StoreRole,
  engines: EngineUrls,
): { readonly entry: EngineEntry; readonly url?: string } {
  const url = engines[role];
  if (url === undefined) return { entry: embeddedEngine(role) };
  const entry = serverEngine(role, url);
  if (entry !== undefined) return { entry, url };
  throw new CoreError(
    "usage",
    `no engine of the ${role} role is reached by that URL; ${known(role)}`,
  );
}

/** Opens each role's store when it is first asked for, on the engine that its URL chooses. */
export function openStores(options: OpenStoresOptions): Stores {
  const { dataDirectory: directory, engines, keys, guards } = options;
  for (const role of STORE_ROLES) chooseEngine(role, engines);
  const opening = new Opening(guards);
  const ownerSalt = once(() => keys.ownerSalt());
  const openProjected = async (role: ProjectedRole): Promise<AsyncDisposable> => {
    const { entry, url } = chooseEngine(role, engines);
    const thread = THREADS[role];
    const salt = { ownerSalt: await ownerSalt() };
    if (url !== undefined)
      return opening.server(role, entry, () => opening.hosted(thread, entry, { url, ...salt }));
    const bounds = thread === "columns" ? { processesMax: DUCKDB_PROCESSES_MAX } : {};
    return opening.hosted(thread, entry, { directory, ...salt, ...bounds });
  };
  const stores: Stores = {
    engine: (role) => chooseEngine(role, engines).entry,
    health: async (role) => {
      if (engines[role] === undefined) return undefined;
      const store = await (role === "stream" ? opening.opened("stream") : storeOf(stores, role));
      return isServer(store) ? store.health() : undefined;
    },
    journal: once(async () => {
      const { entry, url } = chooseEngine("relational", engines);
      if (entry.journal === undefined) throw new Error(`${entry.engine} keeps no journal`);
      const { journal: module } = entry;
      if (url === undefined)
        return opening.hosted<JournalStore>("journal", module, {
          path: join(directory, "journal.sqlite"),
        });
      return opening.server("journal", entry, () =>
        opening.hosted<JournalStore>("journal", module, { url }),
      );
    }),
    blob: once(async () => {
      const { entry, url } = chooseEngine("blob", engines);
      if (url === undefined) return opening.here<BlobStore>(entry, { directory });
      // Blocks that are kept here are read also while the server is away.
      const distant = await opening.server("blob", entry, () =>
        opening.here<BlobStore>(entry, { url }),
      );
      return keepBlocksInFiles(distant, { directory: join(directory, "block-cache") });
    }),
    cache: once(() => {
      const { entry, url } = chooseEngine("cache", engines);
      const path = join(directory, "cache.sqlite");
      const embedded = { path, bytesMax: CACHE_BYTES, clock: () => Date.now() };
      if (url === undefined) return opening.here<Cache>(entry, embedded);
      return opening.server("cache", entry, () => opening.here<Cache>(entry, { url }));
    }),
    queue: once(() => {
      const { entry, url } = chooseEngine("queue", engines);
      return url === undefined
        ? opening.hosted<Queue>("documents", entry, { directory })
        : opening.server("queue", entry, () => opening.here<Queue>(entry, { url }));
    }),
    stream: (source) =>
      opening.keep("stream", () => {
        const { entry, url } = chooseEngine("stream", engines);
        if (url === undefined) return opening.here<EventStream>(entry, { directory, source });
        return opening.server("stream", entry, () => opening.here<EventStream>(entry, { url }));
      }),
    projected: <Role extends ProjectedRole>(role: Role): Promise<ProjectedStoresByRole[Role]> =>
      opening.keep(role, () => openProjected(role)) as Promise<ProjectedStoresByRole[Role]>,
    ...(guards === undefined ? {} : { breakers: () => guards.reports() }),
    [Symbol.asyncDispose]: () => opening.close(),
  };
  return stores;
}

/** Opens engines by the catalogue's word, and closes what it opened. */
class Opening {
  readonly #threads = new Map<string, StoreThread>();
  readonly #disposables: AsyncDisposable[] = [];
  readonly #kept = new Map<string, Promise<AsyncDisposable>>();
  readonly #guards: StoreGuards | undefined;

  constructor(guards: StoreGuards | undefined) {
    this.#guards = guards;
  }

  /** Opens a store that is a server, behind its guard. */
  server<Store extends object>(
    name: StoreRole | "journal",
    { product }: EngineEntry,
    open: () => Promise<Store>,
  ): Promise<Store> {
    return this.#guards?.open({ name, product }, open) ?? open();
  }

  /** Opens a store in a thread of that name. */
  async hosted<Store extends AsyncDisposable>(
    name: string,
    { module, open }: EngineModule,
    options: Readonly<Record<string, unknown>>,
  ): Promise<Store> {
    const known = this.#threads.get(name) ?? new StoreThread(name, { heapMb: HEAP_MB });
    this.#threads.set(name, known);
    const url = import.meta.resolve(`@custody/stores/${module}`);
    return this.#remember(await known.open<Store>({ module: url, open, options }));
  }

  /** Opens a store in this thread; its options may hold functions. */
  async here<Store extends AsyncDisposable>(
    { module, open }: EngineModule,
    options: Readonly<Record<string, unknown>>,
  ): Promise<Store> {
    const loaded = (await import(import.meta.resolve(`@custody/stores/${module}`))) as Record<
      string,
      ((options: Readonly<Record<string, unknown>>) => Promise<Store>) | undefined
    >;
    const make = loaded[open];
    if (make === undefined) throw new Error(`${module} has no ${open}`);
    return this.#remember(await make(options));
  }

  /** The store of that name, opened the first time. */
  keep<Store extends AsyncDisposable>(name: string, open: () => Promise<Store>): Promise<Store> {
    const known = this.#kept.get(name);
    if (known !== undefined) return known as Promise<Store>;
    const opened = open();
    this.#kept.set(name, opened);
    // What could not be opened is opened anew when it is asked for again.
    opened.catch(() => this.#kept.delete(name));
    return opened;
  }

  /** The store kept under a name, where it was opened. */
  async opened(name: string): Promise<AsyncDisposable | undefined> {
    return this.#kept.get(name);
  }

  async close(): Promise<void> {
    for (const store of this.#disposables.toReversed()) await store[Symbol.asyncDispose]();
    for (const thread of this.#threads.values()) await thread[Symbol.asyncDispose]();
  }

  #remember<Store extends AsyncDisposable>(store: Store): Store {
    this.#disposables.push(store);
    return store;
  }
}

function storeOf(stores: Stores, role: Exclude<StoreRole, "stream">): Promise<AsyncDisposable> {
  switch (role) {
    case "blob":
      return stores.blob();
    case "cache":
      return stores.cache();
    case "queue":
      return stores.queue();
    default:
      return stores.projected(role);
  }
}

function isServer(store: AsyncDisposable | undefined): store is AsyncDisposable & ServerEngine {
  // A store in another thread has the methods it is asked for, and does not list them.
  return store !== undefined && typeof Reflect.get(store, "health") === "function";
}

/** Opens on the first call and answers the same ever after; what fails is tried again. */
function once<Value>(open: () => Promise<Value>): () => Promise<Value> {
  let value: Promise<Value> | undefined;
  return () => {
    if (value !== undefined) return value;
    const opened = open();
    value = opened;
    opened.catch(() => {
      value = undefined;
    });
    return opened;
  };
}

/** What URLs a role knows, for a message. */
function known(role: StoreRole): string {
  const servers = ENGINES.filter((one) => one.role === role && one.schemes.length > 0);
  const schemes = servers.map(({ product, schemes: [scheme] }) => `${scheme}://… for ${product}`);
  return `it knows ${schemes.join(", ")}`;
}
