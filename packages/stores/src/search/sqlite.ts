import { setImmediate as nextTurn } from "node:timers/promises";

import type { SearchPlacement } from "@custody/contract/placement";

import { sqliteCall } from "../drivers/sqlite.ts";
import { asideCalls, fileCalls } from "../drivers/sqlite-calls.ts";
import type { UseFile } from "../drivers/sqlite-calls.ts";
import { sqliteFileBytes, sqliteSnapshot } from "../drivers/sqlite-rows.ts";
import { digestRows, pageOfRows } from "../row-pages.ts";
import { TenantFiles } from "../drivers/tenant-files.ts";
import type { HighlightRequest, SearchLimits, SearchStore } from "./port.ts";
import { SearchFile } from "./sqlite-file.ts";
import { fingerprintFile } from "./sqlite-fingerprint.ts";
import type { SearchTable } from "./sqlite-file.ts";
import { compileMarks, compileMatch } from "./sqlite-match.ts";
import type { MatchContext } from "./sqlite-match.ts";
import { checkQuery, emptyPage } from "./search-page.ts";
import { explainPage, queryPage } from "./sqlite-query.ts";
import { SqliteTokens } from "./sqlite-tokens.ts";
import { orderedTexts, shownTexts } from "./text-marks.ts";

/** Where the embedded search keeps its files, and how much memory it may take. */
export interface SqliteSearchOptions {
  /** The data directory. */
  readonly directory: string;
  /** Secret under which an owner's name becomes a file name; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Files kept open; each holds a page cache of up to 8 MiB. Default 8. */
  readonly openMax?: number;
}

const LIMITS: SearchLimits = { pageMax: 1_000, facetsMax: 32, facetValuesMax: 100 };

/**
 * Opens the embedded search: SQLite FTS5, one file a tenant.
 *
 * The index holds words, not texts: a text can neither be read back nor compared. What `digest` and
 * `list` hash are the id, the sequence, the filter values and the hash of each text, noted when it was
 * indexed; that the index has each row is checked against FTS5's own list, and that the index is whole by
 * FTS5's integrity check, which `digest` runs (17 to 27 µs a record).
 */
export async function openSqliteSearchStore(options: SqliteSearchOptions): Promise<SearchStore> {
  const { directory, ownerSalt, openMax = 8 } = options;
  const tokens = new SqliteTokens();
  const files = new TenantFiles<SearchFile>({
    directory,
    file: "search.sqlite",
    ...(ownerSalt === undefined ? {} : { ownerSalt }),
    openMax,
    open: async (path) => SearchFile.open(path),
    close: async (file) => file.close(),
  });
  const use: UseFile<SearchFile> = async (scope, doing, work) =>
    await files.use(scope, (file) => sqliteCall(doing, () => work(file)));

  return {
    role: "search",
    engine: "sqlite",
    ...fileCalls<SearchPlacement, SearchFile>(use),
    ...comparing(files, use),
    ...asideCalls(files),
    ...reading(use, tokens),

    statistics: async (scope) =>
      await use(scope, "count records", (file) => ({
        collections: file.counts(),
        bytes: sqliteFileBytes(files.path(scope)),
      })),

    settle: async (scope) =>
      await files.use(scope, async (file) => {
        while (sqliteCall("settle the search index", () => file.settleStep())) await nextTurn();
      }),

    [Symbol.asyncDispose]: async () => {
      await files.closeAll();
      tokens[Symbol.dispose]();
    },
  };
}

function comparing(
  files: TenantFiles<SearchFile>,
  use: UseFile<SearchFile>,
): Pick<SearchStore, "digest" | "hasFingerprints" | "fingerprint" | "list"> {
  return {
    digest: async (scope, collection, bucketSize) =>
      await use(scope, `digest ${collection.name}`, (file) => {
        file.checkIndex(collection);
        return digestRows(file.contents(collection), bucketSize);
      }),

    hasFingerprints: true,
    fingerprint: async (scope, collection, bucketSize) =>
      await files.use(scope, (file) => fingerprintFile(file, collection, bucketSize)),

    list: async (scope, collection, range) =>
      await use(scope, `list ${collection.name}`, (file) =>
        pageOfRows(file.contents(collection, range), range.limit),
      ),
  };
}

function reading(
  use: UseFile<SearchFile>,
  tokens: SqliteTokens,
): Pick<SearchStore, "capabilities" | "limits" | "search" | "explain" | "highlight"> {
  return {
    capabilities: { isFuzzy: true, readsTextBack: false },
    limits: LIMITS,

    search: async (scope, collection, query) =>
      await use(scope, `search ${collection.name}`, (file) =>
        sqliteSnapshot(file.database, () => {
          if (!file.isPrepared(collection)) return emptyPage(query);
          const table = file.table(collection);
          const found = compileMatch(query.expression, file.matchContext(table, tokens));
          checkQuery(table.mapping, query, LIMITS);
          const page = queryPage({ ...table, database: file.database }, query, found, LIMITS);
          return { ...page, checkpoint: file.checkpoint(collection) };
        }),
      ),

    explain: async (scope, collection, query) =>
      await use(scope, `explain a search of ${collection.name}`, (file) => {
        if (!file.isPrepared(collection)) return [];
        const table = file.table(collection);
        const found = compileMatch(query.expression, file.matchContext(table, tokens));
        checkQuery(table.mapping, query, LIMITS);
        return explainPage({ ...table, database: file.database }, query, found);
      }),

    highlight: async (scope, collection, request) =>
      await use(scope, `mark hits of ${collection.name}`, (file) => {
        const table = file.table(collection);
        return highlightTexts(table, request, { tokens, match: file.matchContext(table, tokens) });
      }),
  };
}

function highlightTexts(
  { mapping: { fieldNames } }: SearchTable,
  request: HighlightRequest,
  context: { readonly tokens: SqliteTokens; readonly match: MatchContext },
): readonly Readonly<Record<string, string>>[] {
  const match = compileMarks(request.expression, context.match);
  const rows = orderedTexts(request.texts, fieldNames);
  const marked = match === undefined ? rows : context.tokens.mark(fieldNames.length, rows, match);
  return shownTexts(request, fieldNames, marked);
}
