import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { DuckDBInstance } from "@duckdb/node-api";
import type { DuckDBConnection } from "@duckdb/node-api";

import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";
import { removeLeftBeside } from "./left-beside.ts";
import { mapFileError } from "./sqlite.ts";

/** How one DuckDB file is opened. Every bound is always set: DuckDB's own defaults take the machine. */
export interface DuckdbFileOptions {
  /** The database file; missing directories are made. */
  readonly path: string;
  /** Buffer memory in MiB. What functions allocate for strings comes on top (duckdb.org/docs/stable/configuration/pragmas). */
  readonly memoryMib: number;
  readonly threads: number;
  /** Where operators spill to, and how many MiB at most. */
  readonly temporaryDirectory: string;
  readonly temporaryMib: number;
  /** How long to wait for another process that still holds the file. */
  readonly lockWaitMs: number;
}

/** The catalogue name under which the file is attached, so that no schema of a tenant can be confused with it. */
export const STORE_CATALOG = "_store";

/** An open DuckDB file. */
export interface DuckdbFile {
  /** A new connection whose default catalogue is the file. */
  connect(): Promise<DuckDBConnection>;
  close(): void;
}

/** Endings of the files that DuckDB keeps beside a file: its log. */
export const DUCKDB_ENDINGS: readonly string[] = [".wal"];

const LOCK_RETRY_MS = 25;

/**
 * Opens a file in an instance of its own that can reach nothing else: no extension, file, network or
 * secret, and no setting can be changed afterwards (duckdb.org/docs/stable/operations_manual/securing_duckdb).
 *
 * @throws StoreError `unavailable` while another process holds the file, `read-only`, `full`, `corrupt`.
 */
export async function openDuckdbFile(options: DuckdbFileOptions): Promise<DuckdbFile> {
  const doing = `open ${options.path}`;
  const instance = await duckdbCall(doing, () => createInstance(options));
  try {
    const connection = await instance.connect();
    await attach(connection, options);
    await duckdbCall(doing, () => lockDown(connection));
    connection.closeSync();
  } catch (cause) {
    instance.closeSync();
    throw cause;
  }
  return {
    async connect() {
      const connection = await instance.connect();
      await connection.run(`USE ${quoteName(STORE_CATALOG)}`);
      return connection;
    },
    close: () => instance.closeSync(),
  };
}

async function createInstance(options: DuckdbFileOptions): Promise<DuckDBInstance> {
  makeDirectory(dirname(options.path));
  removeLeftBeside(options.path, DUCKDB_ENDINGS);
  // DuckDB makes only the last of missing directories, and a spill it cannot write invalidates the database.
  removeDirectory(options.temporaryDirectory);
  makeDirectory(options.temporaryDirectory);
  return await DuckDBInstance.create(":memory:", {
    memory_limit: `${options.memoryMib}MiB`,
    threads: String(options.threads),
    temp_directory: options.temporaryDirectory,
    max_temp_directory_size: `${options.temporaryMib}MiB`,
    // Rows come back in the order they were written, which the series digest relies on.
    preserve_insertion_order: "true",
    // The write-ahead log is folded into the file at this size, so that a restart replays little.
    checkpoint_threshold: "16MiB",
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
    allow_community_extensions: "false",
    allow_persistent_secrets: "false",
  });
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (cause) {
    throw mapFileError(`make the directory ${path}`, cause);
  }
}

// What a killed process spilled is of no use to the next.
function removeDirectory(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (cause) {
    throw mapFileError(`remove the directory ${path}`, cause);
  }
}

async function attach(connection: DuckDBConnection, options: DuckdbFileOptions): Promise<void> {
  const giveUpAt = performance.now() + options.lockWaitMs;
  for (;;) {
    try {
      await connection.run(`ATTACH ${quoteText(options.path)} AS ${quoteName(STORE_CATALOG)}`);
      return;
    } catch (cause) {
      const isLocked = cause instanceof Error && LOCKED.test(cause.message);
      if (!isLocked || performance.now() >= giveUpAt) {
        throw mapDuckdbError(`open ${options.path}`, cause);
      }
      await delay(LOCK_RETRY_MS);
    }
  }
}

async function lockDown(connection: DuckDBConnection): Promise<void> {
  await connection.run("SET enable_external_access=false");
  await connection.run("SET lock_configuration=true");
}

/**
 * Runs a piece of work on DuckDB and maps what it throws.
 *
 * @param doing what was tried, for the message.
 */
export async function duckdbCall<Result>(
  doing: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw mapDuckdbError(doing, cause);
  }
}

// After such an error DuckDB answers nothing more until its files are opened again.
const BROKEN = /has been invalidated|^FATAL Error|^INTERNAL Error/;
const LOCKED = /Could not set lock|Conflicting lock/;

// What DuckDB finds wrong with a file, met by damaging one (1.4): what a user's statement can make it
// say begins with another kind of error.
const DAMAGED =
  /^(?:IO|FATAL|INTERNAL) Error: .*(?:Corrupt (?:database|WAL)|not a valid DuckDB database|checksum|Could not read enough bytes|Failure while replaying WAL)|^Serialization Error/is;

// DuckDB's JavaScript errors carry no code: the kind is the message's first words (ExceptionType in
// duckdb's src/common/exception.cpp), and an IO error tells by its text (errno(3)).
const KINDS: readonly (readonly [RegExp, StoreErrorCode])[] = [
  [LOCKED, "unavailable"],
  [/No space left|Disk quota|File too large|max_temp_directory_size|failed to offload/i, "full"],
  [DAMAGED, "corrupt"],
  [/Permission denied|Read-only file system|read-only mode/i, "read-only"],
  [/^Out of Memory Error/, "limit"],
  [/^INTERRUPT Error/, "limit"],
  [/^(?:IO|Connection|TransactionContext) Error/, "unavailable"],
  [BROKEN, "unavailable"],
  [/^Constraint Error/, "conflict"],
];

/** Maps what DuckDB reports; what is a StoreError already stays, and what is no DuckDB error too. */
export function mapDuckdbError(doing: string, cause: unknown): unknown {
  if (cause instanceof StoreError || !(cause instanceof Error)) return cause;
  const reason = cause.message;
  const known = KINDS.find(([pattern]) => pattern.test(reason));
  if (known === undefined && !/^[\w ]+ Error: /.test(reason)) return cause;
  return new StoreError(
    known?.[1] ?? "refused",
    `DuckDB could not ${doing}: ${firstLine(reason)}`,
    {
      cause,
    },
  );
}

/** True where DuckDB ran out of its memory or temporary space, which other queries may have used up. */
export function isOutOfRoom(cause: unknown): boolean {
  return (
    cause instanceof Error &&
    /Out of Memory Error|max_temp_directory_size|failed to offload/i.test(cause.message)
  );
}

/** True where the open database cannot be used any further: its process is to be started again. */
export function isBroken(cause: unknown): boolean {
  return cause instanceof Error && BROKEN.test(cause.message);
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? text;
}

/** A name as an SQL identifier. DuckDB knows no empty names and no NUL in them. */
export function quoteName(name: string): string {
  if (name === "" || name.includes("\0")) {
    throw new StoreError("refused", "DuckDB takes no empty name and no NUL in a name");
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as an SQL literal, for statements that take no parameters. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The start of the bucket that epoch milliseconds lie in, aligned to the epoch on both of its sides. */
export function bucketSql(ms: string, bucketMs: number): string {
  return `(${ms} - ((${ms} % ${bucketMs}) + ${bucketMs}) % ${bucketMs})`;
}
