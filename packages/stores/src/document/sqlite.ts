import type { DocumentPlacement } from "@custody/contract/placement";

import { sqliteCall, sqliteTransaction } from "../drivers/sqlite.ts";
import type { SqliteFileOptions } from "../drivers/sqlite.ts";
import { asideCalls } from "../drivers/sqlite-calls.ts";
import { sqliteFileBytes, sqliteSnapshot } from "../drivers/sqlite-rows.ts";
import { TenantFiles } from "../drivers/tenant-files.ts";
import type { Collection } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import type { DocumentStore } from "./port.ts";
import { dropTables, isPrepared, tableName } from "./sqlite-collection.ts";
import { digestRows, fingerprintRows, listRows } from "./sqlite-digest.ts";
import { openDocumentFile } from "./sqlite-file.ts";
import type { DocumentFile } from "./sqlite-file.ts";
import { PAGE_MAX, countDocuments, explainQuery, findDocuments } from "./sqlite-find.ts";
import {
  DOCUMENT_BYTES_MAX,
  applyDelivery,
  prepareCollection,
  readCheckpoint,
  repairRows,
} from "./sqlite-write.ts";

export interface SqliteDocumentStoreOptions extends Pick<SqliteFileOptions, "busyMs" | "bytesMax"> {
  /** The data directory; each tenant's file lies in `tenants/<tenant>/document.sqlite`. */
  readonly directory: string;
  /** Secret under which an owner's name becomes a directory name; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Open files kept at most, each with a page cache of 16 MiB; default 8. */
  readonly openMax?: number;
}

/**
 * Embedded document store: JSONB in SQLite, a file per tenant or owner, a table per collection
 * generation, link tables for array paths.
 */
export async function openSqliteDocumentStore(
  options: SqliteDocumentStoreOptions,
): Promise<DocumentStore> {
  const { busyMs, bytesMax } = options;
  const limits = {
    ...(busyMs === undefined ? {} : { busyMs }),
    ...(bytesMax === undefined ? {} : { bytesMax }),
  };
  const files = new TenantFiles<DocumentFile>({
    directory: options.directory,
    file: "document.sqlite",
    openMax: options.openMax ?? 8,
    ...(options.ownerSalt === undefined ? {} : { ownerSalt: options.ownerSalt }),
    open: async (path) => openDocumentFile(path, limits),
    close: async (file) => file.close(),
  });
  return { ...writing(files), ...reading(files), ...asideCalls(files) };
}

type Files = TenantFiles<DocumentFile>;
type DocumentCollection = Collection<DocumentPlacement>;
type Writing = Pick<DocumentStore, "role" | "engine" | "limits" | "prepare" | "apply" | "repair"> &
  Pick<DocumentStore, "discard" | "settle" | typeof Symbol.asyncDispose>;

function writing(files: Files): Writing {
  return {
    role: "document",
    engine: "sqlite",
    limits: { documentBytesMax: DOCUMENT_BYTES_MAX, pageMax: PAGE_MAX, depthMax: DEPTH_MAX },
    prepare: (scope, collection) =>
      files.use(scope, (file) =>
        sqliteCall(`prepare ${collection.name}`, () => prepareCollection(file, collection)),
      ),
    apply: (scope, collection, delivery) =>
      files.use(scope, (file) =>
        sqliteCall(`apply to ${collection.name}`, () => applyDelivery(file, collection, delivery)),
      ),
    repair: (scope, collection, batch) =>
      files.use(scope, (file) =>
        sqliteCall(`repair ${collection.name}`, () => repairRows(file, collection, batch)),
      ),
    discard: (scope, { name, generation }) =>
      files.use(scope, (file) =>
        sqliteTransaction(file.database, `discard ${name}`, () =>
          dropTables(file, name, generation),
        ),
      ),
    settle: (scope) =>
      files.use(scope, (file) =>
        sqliteCall("settle documents", () =>
          file.database.exec("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA optimize"),
        ),
      ),
    [Symbol.asyncDispose]: () => files.closeAll(),
  };
}

// SQLite's JSON parser takes a thousand levels (JSON_MAX_DEPTH, sqlite.org/json1.html).
const DEPTH_MAX = 1_000;

function reading(files: Files): Omit<DocumentStore, keyof Writing | "hasDamage" | "setAside"> {
  /** Runs a read in one snapshot; a collection that was never prepared is empty. */
  const read = <Result>(
    scope: Scope,
    collection: DocumentCollection,
    { empty, work }: { readonly empty: Result; readonly work: (file: DocumentFile) => Result },
  ): Promise<Result> =>
    files.use(scope, (file) =>
      sqliteCall(`read ${collection.name}`, () =>
        sqliteSnapshot(file.database, () => (isPrepared(file, collection) ? work(file) : empty)),
      ),
    );
  return {
    checkpoint: (scope, { name, generation }) =>
      files.use(scope, (file) =>
        sqliteCall(`read ${name}`, () => readCheckpoint(file, name, generation)),
      ),
    find: (scope, collection, query) =>
      read(scope, collection, {
        empty: { documents: [], checkpoint: 0 },
        work: (file) => findDocuments(file, collection, query),
      }),
    count: (scope, collection, filter) =>
      read(scope, collection, {
        empty: 0,
        work: (file) => countDocuments(file, collection, filter),
      }),
    explain: (scope, collection, query) =>
      read<readonly string[]>(scope, collection, {
        empty: [],
        work: (file) => explainQuery(file, collection, query),
      }),
    digest: (scope, collection, bucketSize) =>
      files.use(scope, (file) => digestRows(file, collection, bucketSize)),
    hasFingerprints: true,
    fingerprint: (scope, collection, bucketSize) =>
      files.use(scope, (file) => fingerprintRows(file, collection, bucketSize)),
    list: (scope, collection, range) =>
      read(scope, collection, {
        empty: { rows: [] },
        work: (file) => listRows(file, collection, range),
      }),
    statistics: (scope) =>
      files.use(scope, (file) =>
        sqliteCall("count documents", () => ({
          collections: collectionStatistics(file),
          bytes: sqliteFileBytes(file.path),
        })),
      ),
  };
}

function collectionStatistics(
  file: DocumentFile,
): readonly { name: string; generation: number; records: number }[] {
  return file
    .statement("SELECT name, generation FROM collection ORDER BY name, generation")
    .all()
    .map((row) => {
      const name = String(row["name"]);
      const generation = Number(row["generation"]);
      const counted = file
        .statement(`SELECT count(*) AS records FROM ${tableName(name, generation)}`)
        .get();
      return { name, generation, records: Number(counted?.["records"] ?? 0) };
    });
}
