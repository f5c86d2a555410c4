import type { LbugValue } from "@ladybugdb/core";

import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";
import { LOCKED } from "./ladybug-protocol.ts";
import { mapFileError } from "./sqlite.ts";

/** Named values of a statement. */
export type LadybugParameters = Record<string, LbugValue>;

/** One row as the driver gives it: by column name. */
export type LadybugRow = Readonly<Record<string, unknown>>;

/** Runs statements on one connection, inside the transaction that it was given for. */
export interface LadybugSession {
  /** Runs a statement of ours, prepared once, and answers all of its rows. */
  run(statement: string, parameters?: LadybugParameters): Promise<readonly LadybugRow[]>;
  /**
   * Runs a statement of ours without preparing it: one that is never the same twice, or that calls a
   * procedure, whose answer a prepared statement would keep from its first run.
   */
  direct(statement: string): Promise<readonly LadybugRow[]>;
  /** Runs a statement of a user: prepared apart, read-only or refused, and at most `rowsMax` rows. */
  ask(question: LadybugQuestion): Promise<LadybugAnswer>;
}

export interface LadybugQuestion {
  readonly statement: string;
  readonly parameters: LadybugParameters;
  readonly rowsMax: number;
}

export interface LadybugAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly LadybugRow[];
  readonly isTruncated: boolean;
}

/**
 * A LadybugDB file, which is made where there is none: one writing connection and one reading one, each
 * used by one call at a time. It is opened by its first use, and again after its process ended.
 *
 * Every method throws StoreError `unavailable` when another process holds the file or LadybugDB's
 * process ends meanwhile, `read-only`, `full`, and `corrupt` where LadybugDB cannot work with it.
 */
export interface LadybugFile {
  /** Runs work in one transaction; a throw rolls back. Reads go on and see nothing of it until the end. */
  write<Result>(doing: string, work: (session: LadybugSession) => Promise<Result>): Promise<Result>;
  /** Runs work on one read-only snapshot, each statement for at most `timeMs`. */
  read<Result>(
    doing: string,
    timeMs: number,
    work: (session: LadybugSession) => Promise<Result>,
  ): Promise<Result>;
  /**
   * Changes tables; each statement commits by itself and does nothing when done already. The same array
   * again costs nothing, until the file is opened anew: a damaged log may have lost what was made.
   */
  define(statements: readonly string[]): Promise<void>;
  checkpoint(): Promise<void>;
}

/**
 * Maps LadybugDB's errors. It has no codes, only texts that begin with the kind of exception; these
 * were met by running (0.19.1), as its documentation has no table of them.
 */
export function mapLadybugError(doing: string, cause: unknown): unknown {
  // The library throws plain errors; a subclass is a StoreError already, or a fault of ours.
  if (!(cause instanceof Error) || cause.name !== "Error") return cause;
  if ("errno" in cause) return mapFileError(doing, cause);
  const isOfStatement = STATEMENT.test(cause.message);
  const [, code] = isOfStatement
    ? []
    : (MESSAGES.find(([pattern]) => pattern.test(cause.message)) ?? []);
  const reason = cause.message.slice(0, 500);
  return new StoreError(code ?? "refused", `LadybugDB could not ${doing}: ${reason}`, { cause });
}

// These name what the statement says, which may be anything: a label `Corrupt`.
const STATEMENT = /^(?:Binder|Catalog|Conversion|Overflow|Parser) exception/;

// What is not here is about the statement or its values: parser, binder, conversion, overflow.
const MESSAGES: readonly (readonly [RegExp, StoreErrorCode])[] = [
  [LOCKED, "unavailable"],
  // A write that a full disk cut short has no error number: "… numBytesWritten: 3947. Error: Success".
  [/No space left on device|Disk quota exceeded|File too large|numBytesWritten/i, "full"],
  [/Permission denied|Read-only file system|read-only mode/i, "read-only"],
  [
    /not a valid Lbug database|[Cc]orrupt|[Cc]hecksum|bad_alloc|Storage version|WAL record/,
    "corrupt",
  ],
  [/^Interrupted|Buffer manager exception|buffer pool is full/, "limit"],
  [/^IO exception/, "unavailable"],
];
