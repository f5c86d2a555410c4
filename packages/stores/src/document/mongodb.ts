import type { DocumentPlacement } from "@custody/contract/placement";

import { openMongoDriver, rowConcern } from "../drivers/mongodb.ts";
import type { MongoCall, MongoDriver } from "../drivers/mongodb.ts";
import { TurnQueue } from "../drivers/turn-queue.ts";
import type { Collection, StoreStatistics } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import type { ServerEngine } from "../server-engine.ts";
import {
  dropCollection,
  dropRemains,
  heldCollection,
  notedCollections,
  preparedCollection,
} from "./mongodb-collection.ts";
import { digestRows, listRows } from "./mongodb-digest.ts";
import {
  PAGE_MAX,
  countDocuments,
  countVisible,
  explainQuery,
  findDocuments,
} from "./mongodb-find.ts";
import { DEPTH_MAX } from "./mongodb-record.ts";
import { DOCUMENT_BYTES_MAX, GONE, applyDelivery, repairRows } from "./mongodb-write.ts";
import type { DocumentStore } from "./port.ts";

export interface MongodbDocumentStoreOptions {
  /**
   * `mongodb://user:password@host:27017,host/installation?replica-set=rs0&auth-source=admin`. The path names
   * the installation (default `custody`): each tenant has a database `<installation>_<tenant>`. Options
   * besides those of every server: `auth-source`, `auth-mechanism` (SCRAM-SHA-256, MONGODB-X509), `replica-set`,
   * `direct`. `mongodb+srv://` is TLS.
   */
  readonly url: string;
  /** Secret under which an owner's name becomes a database's; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
}

/** Deleted rows are kept so long against older versions that come late. */
const GONE_KEPT_MS = 60 * 60 * 1000;

/**
 * Document store on MongoDB 5.0 or newer, or another server of its protocol.
 *
 * @throws StoreError `refused` for a URL that cannot be used, `unsupported` without the client library.
 */
export async function openMongodbDocumentStore(
  options: MongodbDocumentStoreOptions,
): Promise<DocumentStore & ServerEngine> {
  const driver = await openMongoDriver(options);
  return { ...writing(driver), ...reading(driver) };
}

type DocumentCollection = Collection<DocumentPlacement>;
type Writing = Pick<
  DocumentStore & ServerEngine,
  | "role"
  | "engine"
  | "limits"
  | "prepare"
  | "apply"
  | "repair"
  | "discard"
  | "settle"
  | "digest"
  | "health"
  | typeof Symbol.asyncDispose
>;

function writing(driver: MongoDriver): Writing {
  const turns = new Map<string, { readonly queue: TurnQueue; users: number }>();
  /** One at a time in this process: what is digested is then that of one instant. */
  const inTurn = async <Result>(
    scope: Scope,
    collection: DocumentCollection,
    work: () => Promise<Result>,
  ): Promise<Result> => {
    const key = `${scope.tenant}\0${scope.owner ?? ""}\0${collection.name}\0${collection.generation}`;
    const turn = turns.get(key) ?? { queue: new TurnQueue(() => Date.now()), users: 0 };
    turns.set(key, turn);
    turn.users += 1;
    try {
      const end = await turn.queue.take(scope.deadline);
      try {
        return await work();
      } finally {
        end();
      }
    } finally {
      turn.users -= 1;
      if (turn.users === 0) turns.delete(key);
    }
  };
  return {
    role: "document",
    engine: "mongodb",
    limits: { documentBytesMax: DOCUMENT_BYTES_MAX, pageMax: PAGE_MAX, depthMax: DEPTH_MAX },
    prepare: (scope, collection) =>
      inTurn(scope, collection, () =>
        driver.call(scope, `prepare ${collection.name}`, async (call) => {
          await preparedCollection(call, collection);
        }),
      ),
    apply: (scope, collection, delivery) =>
      inTurn(scope, collection, () =>
        driver.call(scope, `apply to ${collection.name}`, (call) =>
          applyDelivery(call, collection, delivery),
        ),
      ),
    repair: (scope, collection, batch) =>
      inTurn(scope, collection, () =>
        driver.call(scope, `repair ${collection.name}`, (call) =>
          repairRows(call, collection, batch),
        ),
      ),
    discard: (scope, collection) =>
      inTurn(scope, collection, () =>
        driver.call(scope, `discard ${collection.name}`, (call) =>
          dropCollection(call, collection),
        ),
      ),
    digest: (scope, collection, bucketSize) =>
      inTurn(scope, collection, () =>
        driver.call(
          scope,
          `digest ${collection.name}`,
          (call) => digestRows(call, collection, bucketSize),
          { isStream: true },
        ),
      ),
    settle: (scope) => driver.call(scope, "settle documents", tidyUp),
    health: () => driver.health(),
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

function reading(driver: MongoDriver): Omit<DocumentStore, keyof Writing> {
  return {
    checkpoint: (scope, collection) =>
      driver.call(scope, `read ${collection.name}`, async (call) => {
        return (await heldCollection(call, collection))?.checkpoint ?? 0;
      }),
    find: (scope, collection, query) =>
      driver.call(scope, `find in ${collection.name}`, (call) =>
        findDocuments(call, collection, query),
      ),
    count: (scope, collection, filter) =>
      driver.call(scope, `count in ${collection.name}`, (call) =>
        countDocuments(call, collection, filter),
      ),
    explain: (scope, collection, query) =>
      driver.call(scope, `explain ${collection.name}`, (call) =>
        explainQuery(call, collection, query),
      ),
    list: (scope, collection, range) =>
      driver.call(scope, `list ${collection.name}`, (call) => listRows(call, collection, range)),
    statistics: (scope) => driver.call(scope, "count documents", collectStatistics),
  };
}

async function collectStatistics(call: MongoCall): Promise<StoreStatistics> {
  const collections: { name: string; generation: number; records: number }[] = [];
  for (const held of await notedCollections(call)) {
    const { name, generation } = held;
    collections.push({ name, generation, records: await countVisible(call, held) });
  }
  const stats = await call.database.command({ dbStats: 1 }, call.timed);
  const size = (name: string): number => Number(stats[name] ?? 0);
  return {
    collections,
    bytes: Math.max(size("storageSize"), size("dataSize")) + size("indexSize"),
  };
}

async function tidyUp(call: MongoCall): Promise<void> {
  const before = Date.now() - GONE_KEPT_MS;
  for (const { rows, checkpoint } of await notedCollections(call)) {
    const old = { at: { $lt: before }, first: GONE, sequence: { $lte: checkpoint } };
    await rows.deleteMany(old, { ...rowConcern(call.server), ...call.timed });
  }
  await dropRemains(call);
}
