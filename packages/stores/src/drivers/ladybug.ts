import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

import type ladybug from "@ladybugdb/core";
import type {
  Connection,
  Database,
  LbugValue,
  PreparedStatement,
  QueryResult,
} from "@ladybugdb/core";

import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";
import { mapFileError } from "./sqlite.ts";

export interface LadybugFileOptions {
  readonly path: string;
  /** Resident page cache of the file, in bytes. */
  readonly bufferPoolBytes: number;
  /** Address space reserved for the file and its largest size, in bytes; a power of two. */
  readonly sizeMax: number;
}

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

/** An open LadybugDB file: one writing connection and one reading one, each used by one call at a time. */
export interface LadybugFile {
  /** Runs work in one transaction; a throw rolls back. Reads go on and see nothing of it until the end. */
  write<Result>(doing: string, work: (session: LadybugSession) => Promise<Result>): Promise<Result>;
  /** Runs work on one read-only snapshot, each statement for at most `timeMs`. */
  read<Result>(
    doing: string,
    timeMs: number,
    work: (session: LadybugSession) => Promise<Result>,
  ): Promise<Result>;
  /** Changes tables; each statement commits by itself. */
  define(statements: readonly string[]): Promise<void>;
  checkpoint(): Promise<void>;
  close(): Promise<void>;
}

// Pages wait in the write-ahead log up to this much before they are moved into the file.
const CHECKPOINT_BYTES = 16 * 1024 * 1024;
const PREPARED_MAX = 64;
// Rows are taken from the driver synchronously (2 µs against 10 µs); the event loop breathes between.
const ROWS_PER_TURN = 500;

/**
 * Opens a LadybugDB file; makes it, and missing directories, where there is none.
 *
 * Never delete a file and open the same path again in one process: LadybugDB keeps state by path.
 *
 * @throws StoreError `unavailable` when another process has it open, `read-only`, `full`, `corrupt`.
 */
export async function openLadybugFile(options: LadybugFileOptions): Promise<LadybugFile> {
  const { path, bufferPoolBytes, sizeMax } = options;
  const library = await loadLibrary();
  const doing = `open ${path}`;
  return await call(doing, async () => {
    await mkdir(dirname(path), { recursive: true });
    const database = new library.Database(
      path,
      bufferPoolBytes,
      true,
      false,
      sizeMax,
      true,
      CHECKPOINT_BYTES,
      // A log torn by a crash is replayed up to its last whole transaction, with that one's checkpoint;
      // the projector goes on from there.
      false,
    );
    await database.init();
    // One thread each: records of one batch are few, and the machine's cores belong to all stores.
    const writer = new Session(new library.Connection(database, 1));
    const reader = new Session(new library.Connection(database, 1));
    return ladybugFile(database, writer, reader);
  });
}

function ladybugFile(database: Database, writer: Session, reader: Session): LadybugFile {
  return {
    write: (doing, work) =>
      writer.exclusive(doing, () => inTransaction(writer, "BEGIN TRANSACTION", work)),
    read: (doing, timeMs, work) =>
      reader.exclusive(doing, () => {
        reader.connection.setQueryTimeout(Math.max(1, Math.trunc(timeMs)));
        return inTransaction(reader, "BEGIN TRANSACTION READ ONLY", work);
      }),
    define: (statements) =>
      writer.exclusive("make tables", async () => {
        for (const statement of statements) await writer.direct(statement);
      }),
    checkpoint: () =>
      writer.exclusive("checkpoint", async () => {
        await writer.direct("CHECKPOINT");
      }),
    close: () =>
      writer.exclusive("close", () =>
        reader.exclusive("close", async () => {
          await reader.connection.close();
          await writer.connection.close();
          await database.close();
        }),
      ),
  };
}

async function inTransaction<Result>(
  session: Session,
  begin: string,
  work: (session: LadybugSession) => Promise<Result>,
): Promise<Result> {
  await session.direct(begin);
  try {
    const result = await work(session);
    await session.direct("COMMIT");
    return result;
  } catch (cause) {
    // A failed statement may have ended the transaction already; then there is nothing to roll back.
    await session.direct("ROLLBACK").catch(() => []);
    throw cause;
  }
}

class Session implements LadybugSession {
  readonly connection: Connection;
  readonly #prepared = new Map<string, PreparedStatement>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Runs work when all earlier work on this connection has ended, and maps what it throws. */
  async exclusive<Result>(doing: string, work: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(() => call(doing, work));
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  async direct(statement: string): Promise<readonly LadybugRow[]> {
    return (await takeRows(await this.connection.query(statement), Number.POSITIVE_INFINITY)).rows;
  }

  async run(statement: string, parameters: LadybugParameters = {}): Promise<readonly LadybugRow[]> {
    const prepared = await this.#prepare(statement);
    const { rows } = await takeRows(
      await this.connection.execute(prepared, parameters),
      Number.POSITIVE_INFINITY,
    );
    return rows;
  }

  async ask({ statement, parameters, rowsMax }: LadybugQuestion): Promise<LadybugAnswer> {
    const prepared = await this.connection.prepare(statement);
    if (!prepared.isSuccess()) throw new StoreError("refused", prepared.getErrorMessage());
    if (!prepared.isReadOnly()) throw new StoreError("refused", "the statement would write");
    return await takeRows(await this.connection.execute(prepared, parameters), rowsMax);
  }

  async #prepare(statement: string): Promise<PreparedStatement> {
    const known = this.#prepared.get(statement);
    if (known !== undefined) return known;
    const prepared = await this.connection.prepare(statement);
    if (!prepared.isSuccess()) throw new Error(prepared.getErrorMessage());
    for (const oldest of this.#prepared.keys()) {
      if (this.#prepared.size < PREPARED_MAX) break;
      this.#prepared.delete(oldest);
    }
    this.#prepared.set(statement, prepared);
    return prepared;
  }
}

async function takeRows(
  results: QueryResult | QueryResult[],
  rowsMax: number,
): Promise<LadybugAnswer> {
  const [result] = Array.isArray(results) ? results : [results];
  try {
    const columns = result === undefined ? [] : result.getColumnNamesSync();
    const rows: LadybugRow[] = [];
    while (result?.hasNext() === true) {
      if (rows.length >= rowsMax) return { columns, rows, isTruncated: true };
      rows.push(result.getNextSync() ?? {});
      if (rows.length % ROWS_PER_TURN === 0) await new Promise((next) => setImmediate(next));
    }
    return { columns, rows, isTruncated: false };
  } finally {
    closeResult(results);
  }
}

function closeResult(results: QueryResult | QueryResult[]): void {
  for (const result of Array.isArray(results) ? results : [results]) result.close();
}

async function loadLibrary(): Promise<typeof ladybug> {
  try {
    return (await import("@ladybugdb/core")).default;
  } catch (cause) {
    throw new StoreError("unavailable", "cannot load @ladybugdb/core; is it installed?", { cause });
  }
}

async function call<Result>(doing: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw mapLadybugError(doing, cause);
  }
}

/**
 * Maps LadybugDB's errors. It has no codes, only texts that begin with the kind of exception; these
 * were met by running (0.19.1), as its documentation has no table of them.
 */
export function mapLadybugError(doing: string, cause: unknown): unknown {
  // The library throws plain errors; a subclass is a StoreError already, or a fault of ours.
  if (!(cause instanceof Error) || cause.name !== "Error") return cause;
  if ("errno" in cause) return mapFileError(doing, cause);
  const [, code] = MESSAGES.find(([pattern]) => pattern.test(cause.message)) ?? [];
  const reason = cause.message.slice(0, 500);
  return new StoreError(code ?? "refused", `LadybugDB could not ${doing}: ${reason}`, { cause });
}

// What is not here is about the statement or its values: parser, binder, conversion, overflow.
const MESSAGES: readonly (readonly [RegExp, StoreErrorCode])[] = [
  [/Could not set lock on file/, "unavailable"],
  [/No space left on device|Disk quota exceeded/, "full"],
  [/Permission denied|Read-only file system|read-only mode/i, "read-only"],
  [
    /not a valid Lbug database|[Cc]orrupt|[Cc]hecksum|bad_alloc|Storage version|WAL record/,
    "corrupt",
  ],
  [/^Interrupted|Buffer manager exception|buffer pool is full/, "limit"],
  [/^IO exception/, "unavailable"],
];
