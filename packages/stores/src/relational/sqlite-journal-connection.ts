import type { DatabaseSync } from "node:sqlite";

import { openSqliteFile, sqliteCall } from "../drivers/sqlite.ts";
import type { SqliteFileOptions } from "../drivers/sqlite.ts";
import { cacheStatements } from "../drivers/statement-cache.ts";
import type { StatementCache } from "../drivers/statement-cache.ts";
import { StoreError } from "../errors.ts";
import {
  JOURNAL_APPLICATION_ID,
  JOURNAL_LAYOUT,
  JOURNAL_SCHEMA,
  JOURNAL_UPGRADES,
} from "./sqlite-journal-schema.ts";

/** One connection to the journal's file, with the numbers of tenants and types it has seen. */
export interface JournalConnection {
  readonly database: DatabaseSync;
  readonly statement: StatementCache;
  /** The number of a tenant or type; `undefined` for one never written. */
  numberOf(kind: NumberedKind, name: string): number | undefined;
  /** The number of a tenant or type, given now if need be; on the writing connection. */
  makeNumber(kind: NumberedKind, name: string): number;
  /** The name of a type's number. */
  typeName(typeNo: number): string;
  /** Forgets numbers that a rollback has taken back. */
  forget(): void;
}

/** What has numbers in the journal's tables. */
export type NumberedKind = "tenant" | "type";

// Most writes are at the end of a few trees; 16 MiB hold their right edges and much of the id index.
const WRITER_CACHE_KIB = 16 * 1024;
const READER_CACHE_KIB = 8 * 1024;
const STATEMENTS_MAX = 128;
// A name is about 50 bytes: a bound on what many tenants' names may take.
const NAMES_MAX = 10_000;

/** Opens the writing connection, making the tables in a new file. @throws StoreError as `openSqliteFile`. */
export function openJournalWriter(
  options: Pick<SqliteFileOptions, "path" | "busyMs" | "bytesMax">,
): JournalConnection {
  try {
    return openWriter(options);
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== "corrupt") throw cause;
    throw new StoreError(
      "corrupt",
      `${cause.message}; ${options.path} is the journal itself, of which nothing is set aside or rebuilt: restore it from a backup`,
      { cause },
    );
  }
}

function openWriter(
  options: Pick<SqliteFileOptions, "path" | "busyMs" | "bytesMax">,
): JournalConnection {
  const { path, busyMs, bytesMax } = options;
  const database = openSqliteFile({
    path,
    durability: "journal",
    cacheKib: WRITER_CACHE_KIB,
    ...(busyMs === undefined ? {} : { busyMs }),
    ...(bytesMax === undefined ? {} : { bytesMax }),
  });
  try {
    sqliteCall(`open journal ${path}`, () => {
      database.exec("BEGIN IMMEDIATE");
      const isNew = database.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
      if (isNew) {
        database.exec(`${JOURNAL_SCHEMA} PRAGMA application_id=${JOURNAL_APPLICATION_ID};
          PRAGMA user_version=${JOURNAL_LAYOUT}`);
      } else {
        upgrade(database);
      }
      database.exec("COMMIT");
      checkJournal(database);
    });
  } catch (cause) {
    database.close();
    throw cause;
  }
  return connectionOf(database);
}

/** Brings a journal that an earlier version made to the present layout. */
function upgrade(database: DatabaseSync): void {
  if (pragma(database, "application_id") !== JOURNAL_APPLICATION_ID) return;
  const layout = pragma(database, "user_version");
  if (layout > JOURNAL_LAYOUT) {
    throw new StoreError(
      "unsupported",
      `the journal has layout ${layout}, and this version knows layouts up to ${JOURNAL_LAYOUT}: use the version that made it, or a later one`,
    );
  }
  if (layout === JOURNAL_LAYOUT) return;
  database.exec(JOURNAL_UPGRADES.slice(layout).join("\n"));
  database.exec(`PRAGMA user_version=${JOURNAL_LAYOUT}`);
}

function pragma(database: DatabaseSync, name: "application_id" | "user_version"): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}

/** Opens a connection that sees only what is committed and writes nothing. */
export function openJournalReader(path: string): JournalConnection {
  const database = openSqliteFile({ path, durability: "journal", cacheKib: READER_CACHE_KIB });
  database.exec("PRAGMA query_only=ON");
  return connectionOf(database);
}

/** Reads the file's mark and the first rows of its tables. @throws StoreError `corrupt`. */
export function checkJournal(database: DatabaseSync): void {
  sqliteCall("check the journal", () => {
    if (pragma(database, "application_id") !== JOURNAL_APPLICATION_ID) {
      throw new StoreError("corrupt", "the journal's file holds something else");
    }
    for (const table of ["tenant", "head", "entry", "record_id", "segment", "tree_head"]) {
      database.prepare(`SELECT * FROM ${table} LIMIT 1`).get();
    }
    // The newest entry is where a torn write would show.
    database.prepare("SELECT * FROM entry ORDER BY tenant_no DESC, sequence DESC LIMIT 1").get();
  });
}

function connectionOf(database: DatabaseSync): JournalConnection {
  const statement = cacheStatements(database, STATEMENTS_MAX);
  const numbers = new Map<string, number>();
  const names = new Map<number, string>();
  const numberOf = (kind: NumberedKind, name: string): number | undefined => {
    const key = `${kind}:${name}`;
    const known = numbers.get(key);
    if (known !== undefined) return known;
    const row = statement(`SELECT ${kind}_no AS no FROM ${kind} WHERE name = ?`).get(name);
    if (row === undefined) return undefined;
    if (numbers.size >= NAMES_MAX) numbers.clear();
    numbers.set(key, Number(row["no"]));
    return Number(row["no"]);
  };
  return {
    database,
    statement,
    numberOf,
    makeNumber(kind, name) {
      const known = numberOf(kind, name);
      if (known !== undefined) return known;
      const { lastInsertRowid } = statement(`INSERT INTO ${kind} (name) VALUES (?)`).run(name);
      return Number(lastInsertRowid);
    },
    typeName(typeNo) {
      const known = names.get(typeNo);
      if (known !== undefined) return known;
      const row = statement("SELECT name FROM type WHERE type_no = ?").get(typeNo);
      if (row === undefined) throw new StoreError("corrupt", `the journal names no type ${typeNo}`);
      if (names.size >= NAMES_MAX) names.clear();
      names.set(typeNo, String(row["name"]));
      return String(row["name"]);
    },
    forget() {
      numbers.clear();
      names.clear();
    },
  };
}
