import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";
import { removeLeftBeside } from "./left-beside.ts";

/**
 * How a file is kept.
 *
 * - `journal`: WAL with `synchronous=FULL`; a commit survives power loss (sqlite.org/wal.html).
 * - `projection`: WAL with `synchronous=NORMAL`; power loss may take back the last transactions, with
 *   their checkpoint, and never corrupts the file.
 */
export type SqliteDurability = "journal" | "projection";

export interface SqliteFileOptions {
  /** Database file, or `:memory:`. Missing directories are made. */
  readonly path: string;
  readonly durability: SqliteDurability;
  /** Page cache in KiB; default 16 MiB. */
  readonly cacheKib?: number;
  /** Default 4096. */
  readonly pageBytes?: number;
  /** How long to wait for another connection's lock; default 5 s. */
  readonly busyMs?: number;
  /** The file grows to this at most, in whole pages; then `full`. Default none. */
  readonly bytesMax?: number;
}

/** Endings of the files that SQLite keeps beside a file: its log, and the log's index. */
export const SQLITE_ENDINGS: readonly string[] = ["-wal", "-shm"];

/**
 * Opens a SQLite file for one connection's use.
 *
 * @throws StoreError `unavailable`, `read-only`, `full` or `corrupt`.
 */
export function openSqliteFile(options: SqliteFileOptions): DatabaseSync {
  const { path, durability, cacheKib = 16 * 1024, pageBytes = 4096, busyMs = 5_000 } = options;
  return sqliteCall(`open ${path}`, () => {
    if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true });
    // A log whose file was set aside or removed would be replayed into the new one.
    if (durability === "projection") removeLeftBeside(path, SQLITE_ENDINGS);
    const database = new DatabaseSync(path, { timeout: busyMs });
    try {
      database.exec(`PRAGMA page_size=${pageBytes}; PRAGMA journal_mode=WAL;
        PRAGMA synchronous=${durability === "journal" ? "FULL" : "NORMAL"};
        PRAGMA cache_size=-${cacheKib}; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF`);
      if (options.bytesMax !== undefined) {
        database.exec(`PRAGMA max_page_count=${Math.floor(options.bytesMax / pageBytes)}`);
      }
    } catch (cause) {
      database.close();
      throw cause;
    }
    return database;
  });
}

/**
 * Runs a piece of work on SQLite and maps what it throws.
 *
 * @param doing what was tried, for the message: `open …`, `apply redteam/session_evidence`.
 */
export function sqliteCall<Result>(doing: string, work: () => Result): Result {
  try {
    return work();
  } catch (cause) {
    throw mapSqliteError(doing, cause);
  }
}

/** Runs work between BEGIN IMMEDIATE and COMMIT; a throw rolls back. Must not be nested. */
export function sqliteTransaction<Result>(
  database: DatabaseSync,
  doing: string,
  work: () => Result,
): Result {
  return sqliteCall(doing, () => {
    database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      database.exec("COMMIT");
      return result;
    } catch (cause) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw cause;
    }
  });
}

/** Maps SQLite's primary result codes (sqlite.org/rescode.html); what is a StoreError already stays. */
export function mapSqliteError(doing: string, cause: unknown): unknown {
  if (cause instanceof StoreError) return cause;
  const code = sqliteCode(cause);
  if (code === undefined) return mapFileError(doing, cause);
  const reason = cause instanceof Error ? cause.message : String(cause);
  const isDamage = code === SHORT_READ || LOST.test(reason);
  const store = isDamage ? "corrupt" : STORE_CODES[code & 0xff];
  return new StoreError(store ?? "refused", `SQLite could not ${doing}: ${reason}`, { cause });
}

function sqliteCode(cause: unknown): number | undefined {
  if (!(cause instanceof Error) || !("errcode" in cause)) return undefined;
  return typeof cause.errcode === "number" ? cause.errcode : undefined;
}

// SQLITE_IOERR_SHORT_READ: the file or its log is shorter than it says (sqlite.org/rescode.html).
const SHORT_READ = 522;
// Tables are named by us alone: one that is not there any more was lost with a part of the file.
const LOST = /^no such table: /;

const STORE_CODES: Readonly<Record<number, StoreErrorCode>> = {
  5: "unavailable", // SQLITE_BUSY
  6: "unavailable", // SQLITE_LOCKED
  8: "read-only", // SQLITE_READONLY
  10: "unavailable", // SQLITE_IOERR
  11: "corrupt", // SQLITE_CORRUPT
  13: "full", // SQLITE_FULL
  14: "unavailable", // SQLITE_CANTOPEN
  18: "limit", // SQLITE_TOOBIG
  19: "conflict", // SQLITE_CONSTRAINT
  20: "refused", // SQLITE_MISMATCH
  23: "read-only", // SQLITE_AUTH
  26: "corrupt", // SQLITE_NOTADB
};

/** Maps what the file system reports (errno(3)). */
export function mapFileError(doing: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !("code" in cause)) return cause;
  const code = FILE_CODES[String(cause.code)];
  return code === undefined
    ? cause
    : new StoreError(code, `could not ${doing}: ${cause.message}`, { cause });
}

const FILE_CODES: Readonly<Record<string, StoreErrorCode>> = {
  ENOSPC: "full",
  EDQUOT: "full",
  EROFS: "read-only",
  EACCES: "read-only",
  EPERM: "read-only",
  EMFILE: "unavailable",
  ENFILE: "unavailable",
  EBUSY: "unavailable",
  EIO: "unavailable",
};
