import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import type ladybug from "@ladybugdb/core";
import type { Connection, PreparedStatement, QueryResult } from "@ladybugdb/core";

import { StoreError } from "../errors.ts";
import { LOCKED } from "./ladybug-protocol.ts";
import type { LadybugOpenRequest, LadybugStatementRequest } from "./ladybug-protocol.ts";
import type { LadybugAnswer, LadybugRow } from "./ladybug.ts";

/** A database that is open in this process, which is LadybugDB's own. */
export interface LadybugDatabase {
  readonly writer: LadybugConnection;
  readonly reader: LadybugConnection;
}

type Statement = Pick<LadybugStatementRequest, "how" | "statement" | "parameters" | "rowsMax">;

// Pages wait in the write-ahead log up to this much before they are moved into the file.
const CHECKPOINT_BYTES = 16 * 1024 * 1024;
/**
 * The log of a checkpoint that did not come to its end. LadybugDB (0.19.1) replays it into memory and
 * removes it, but writes the file only at its next checkpoint: killed before that, it replays later
 * transactions onto a file that lacks the earlier ones (measured). So a checkpoint follows at once, and
 * a file on which this was cut off is not trusted.
 */
const UNFINISHED = ".wal.checkpoint";
const LOCK_RETRY_MS = 25;
const PREPARED_MAX = 64;

/**
 * Opens a LadybugDB file; makes it where there is none. It stays open until the process ends.
 *
 * @throws the library's plain errors, which `mapLadybugError` knows.
 */
export async function openLadybugDatabase(request: LadybugOpenRequest): Promise<LadybugDatabase> {
  const library = await loadLibrary();
  const giveUpAt = performance.now() + request.lockWaitMs;
  for (;;) {
    try {
      return await openDatabase(library, request);
    } catch (cause) {
      // The process of a killed parent holds the file for some milliseconds more.
      if (!isLocked(cause) || performance.now() >= giveUpAt) throw cause;
      await delay(LOCK_RETRY_MS);
    }
  }
}

async function openDatabase(
  library: typeof ladybug,
  request: LadybugOpenRequest,
): Promise<LadybugDatabase> {
  const { open: path } = request;
  const marker = `${path}.recovering`;
  if (existsSync(marker)) {
    throw new StoreError("corrupt", `the recovery of ${path} was cut off`);
  }
  if (!existsSync(`${path}${UNFINISHED}`)) return await connect(library, request);
  await writeFile(marker, "");
  const recovered = await connect(library, request).catch(async (cause: unknown) => {
    if (isLocked(cause)) await rm(marker, { force: true });
    throw cause;
  });
  await recovered.writer.checkpoint();
  await rm(marker);
  return recovered;
}

function isLocked(cause: unknown): boolean {
  return cause instanceof Error && LOCKED.test(cause.message);
}

async function connect(
  library: typeof ladybug,
  { open, bufferPoolBytes, sizeMax }: LadybugOpenRequest,
): Promise<LadybugDatabase> {
  const database = new library.Database(
    open,
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
  return {
    writer: await connection(library, database),
    reader: await connection(library, database),
  };
}

async function connection(
  library: typeof ladybug,
  database: ladybug.Database,
): Promise<LadybugConnection> {
  // One thread: records of one batch are few, and the machine's cores belong to all stores.
  const made = new library.Connection(database, 1);
  // Two first calls at once would each make the native connection, and the library (0.19.1) then sets
  // the number of threads on the one that was never opened, which ends the process.
  await made.init();
  return new LadybugConnection(made);
}

/** One connection and the statements prepared on it. Used by one call at a time. */
export class LadybugConnection {
  readonly #connection: Connection;
  readonly #prepared = new Map<string, PreparedStatement>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  limitTime(timeMs: number): void {
    this.#connection.setQueryTimeout(Math.max(1, Math.trunc(timeMs)));
  }

  async checkpoint(): Promise<void> {
    await this.answer({
      how: "direct",
      statement: "CHECKPOINT",
      parameters: {},
      rowsMax: Number.POSITIVE_INFINITY,
    });
  }

  async answer({ how, statement, parameters, rowsMax }: Statement): Promise<LadybugAnswer> {
    if (how === "direct") return takeRows(await this.#connection.query(statement), rowsMax);
    const prepared =
      how === "ask" ? await this.#prepareAsked(statement) : await this.#prepare(statement);
    return takeRows(await this.#connection.execute(prepared, parameters), rowsMax);
  }

  async #prepareAsked(statement: string): Promise<PreparedStatement> {
    const prepared = await this.#connection.prepare(statement);
    if (!prepared.isSuccess()) throw new StoreError("refused", prepared.getErrorMessage());
    if (!prepared.isReadOnly()) throw new StoreError("refused", "the statement would write");
    return prepared;
  }

  async #prepare(statement: string): Promise<PreparedStatement> {
    const known = this.#prepared.get(statement);
    if (known !== undefined) return known;
    const prepared = await this.#connection.prepare(statement);
    if (!prepared.isSuccess()) throw new Error(prepared.getErrorMessage());
    for (const oldest of this.#prepared.keys()) {
      if (this.#prepared.size < PREPARED_MAX) break;
      this.#prepared.delete(oldest);
    }
    this.#prepared.set(statement, prepared);
    return prepared;
  }
}

// Rows are taken synchronously (2 µs each against 10 µs): the process has nothing else to do meanwhile.
function takeRows(results: QueryResult | QueryResult[], rowsMax: number): LadybugAnswer {
  const all = Array.isArray(results) ? results : [results];
  try {
    const [result] = all;
    const columns = result === undefined ? [] : result.getColumnNamesSync();
    const rows: LadybugRow[] = [];
    while (result?.hasNext() === true) {
      if (rows.length >= rowsMax) return { columns, rows, isTruncated: true };
      rows.push(result.getNextSync() ?? {});
    }
    return { columns, rows, isTruncated: false };
  } finally {
    for (const result of all) result.close();
  }
}

async function loadLibrary(): Promise<typeof ladybug> {
  try {
    return (await import("@ladybugdb/core")).default;
  } catch (cause) {
    throw new StoreError("unavailable", "cannot load @ladybugdb/core; is it installed?", { cause });
  }
}
