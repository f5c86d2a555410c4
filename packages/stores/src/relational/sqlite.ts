import { sqliteCall } from "../drivers/sqlite.ts";
import { asideCalls, fileCalls } from "../drivers/sqlite-calls.ts";
import type { UseFile } from "../drivers/sqlite-calls.ts";
import { sqliteFileBytes, sqliteSnapshot } from "../drivers/sqlite-rows.ts";
import { digestRows, pageOfRows } from "../row-pages.ts";
import { TenantFiles } from "../drivers/tenant-files.ts";
import { StoreError } from "../errors.ts";
import type { RelationalLimits, RelationalStore, TablePlacement, TableQuery } from "./port.ts";
import { RelationalFile } from "./sqlite-file.ts";
import { fingerprintRelation } from "./sqlite-fingerprint.ts";
import { explainRows, selectRows } from "./sqlite-select.ts";

/** Where the embedded relational tables lie, and how much memory they may take. */
export interface SqliteRelationalOptions {
  /** The data directory. */
  readonly directory: string;
  /** Secret under which an owner's name becomes a file name; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Files kept open; each holds a page cache of up to 8 MiB. Default 8. */
  readonly openMax?: number;
}

const LIMITS: RelationalLimits = { pageMax: 10_000 };

/** Opens the embedded relational tables and summaries: SQLite, one file a tenant. */
export async function openSqliteRelational(
  options: SqliteRelationalOptions,
): Promise<RelationalStore> {
  const { directory, ownerSalt, openMax = 8 } = options;
  const files = new TenantFiles<RelationalFile>({
    directory,
    file: "relational.sqlite",
    ...(ownerSalt === undefined ? {} : { ownerSalt }),
    openMax,
    open: async (path) => RelationalFile.open(path),
    close: async (file) => file.close(),
  });
  const use: UseFile<RelationalFile> = async (scope, doing, work) =>
    await files.use(scope, (file) => sqliteCall(doing, () => work(file)));

  return {
    role: "relational",
    engine: "sqlite",
    limits: LIMITS,

    ...fileCalls<TablePlacement, RelationalFile>(use),
    ...comparing(use),
    hasFingerprints: true,
    fingerprint: async (scope, collection, bucketSize) =>
      await files.use(scope, (file) => fingerprintRelation(file, collection, bucketSize)),
    ...asideCalls(files),

    statistics: async (scope) =>
      await use(scope, "count rows", (file) => ({
        collections: file.counts(),
        bytes: sqliteFileBytes(files.path(scope)),
      })),

    settle: async (scope) =>
      await use(scope, "empty the log", (file) => {
        file.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      }),

    select: async (scope, collection, query) => {
      checkPage(query);
      return await use(scope, `select from ${collection.name}`, (file) =>
        file.isPrepared(collection)
          ? sqliteSnapshot(file.database, () => ({
              ...selectRows(file.database, file.table(collection).query, query),
              checkpoint: file.checkpoint(collection),
            }))
          : { rows: [], checkpoint: 0 },
      );
    },

    explain: async (scope, collection, query) => {
      checkPage(query);
      return await use(scope, `explain a selection from ${collection.name}`, (file) =>
        file.isPrepared(collection)
          ? explainRows(file.database, file.table(collection).query, query)
          : [],
      );
    },

    [Symbol.asyncDispose]: async () => await files.closeAll(),
  };
}

function checkPage({ limit }: TableQuery): void {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= LIMITS.pageMax) return;
  throw new StoreError("limit", `a page holds 1 to ${LIMITS.pageMax} rows`);
}

function comparing(use: UseFile<RelationalFile>): Pick<RelationalStore, "digest" | "list"> {
  return {
    digest: async (scope, collection, bucketSize) =>
      await use(scope, `digest ${collection.name}`, (file) =>
        file.isPrepared(collection)
          ? sqliteSnapshot(file.database, () =>
              digestRows(file.table(collection).contents(), bucketSize),
            )
          : [],
      ),

    list: async (scope, collection, range) =>
      await use(scope, `list ${collection.name}`, (file) =>
        file.isPrepared(collection)
          ? sqliteSnapshot(file.database, () =>
              pageOfRows(file.table(collection).contents(range), range.limit),
            )
          : { rows: [] },
      ),
  };
}
