import { StatementType, VARCHAR } from "../drivers/duckdb-values.ts";
import type { DuckDBConnection, DuckDBPreparedStatement, DuckDBResult } from "@duckdb/node-api";

import { DuckdbConnectionQueue } from "../drivers/duckdb-connections.ts";
import { listTables } from "../drivers/duckdb-tables.ts";
import { quoteName, STORE_CATALOG } from "../drivers/duckdb.ts";
import type { DuckdbFile } from "../drivers/duckdb.ts";
import { StoreError } from "../errors.ts";
import { cellBytes } from "./cell.ts";
import { sqlCell } from "./duckdb-cell.ts";
import { loadAllowedFunctions } from "./duckdb-sql-functions.ts";
import { checkSqlTree } from "./duckdb-sql-guard.ts";
import { viewOf } from "./duckdb-view.ts";
import type { Cell, SqlAnswer, SqlRequest } from "./port.ts";

// Two queries of a tenant run at a time: with a write and a read beside them they fill the four
// threads that Node keeps for native work.
const CONNECTIONS = 2;
// An answer is held whole here and by the caller.
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

// The instance's own catalogues; a schema of the same name is ambiguous without its catalogue.
const ENGINE_CATALOGS: ReadonlySet<string> = new Set(["memory", "system", "temp"]);

/** Runs a tenant's own SQL: one SELECT at a time on each of two connections, checked before it runs. */
export class DuckdbUserSql {
  readonly #queues: readonly DuckdbConnectionQueue[];
  readonly #functions: ReadonlySet<string>;
  readonly #running = new Set<AbortController>();
  #next = 0;

  private constructor(file: DuckdbFile, functions: ReadonlySet<string>) {
    this.#queues = Array.from({ length: CONNECTIONS }, () => new DuckdbConnectionQueue(file));
    this.#functions = functions;
  }

  static async open(file: DuckdbFile): Promise<DuckdbUserSql> {
    const connection = await file.connect();
    try {
      return new DuckdbUserSql(file, await loadAllowedFunctions(connection));
    } finally {
      connection.closeSync();
    }
  }

  /** Ends every query under way, as the memory is needed; false when there are none. */
  endAll(): boolean {
    const reason = new StoreError("limit", "the SQL used too much memory or space and was ended");
    for (const controller of this.#running) controller.abort(reason);
    return this.#running.size > 0;
  }

  /** @throws StoreError `refused` for what is not one harmless SELECT, `limit` beyond a bound. */
  async run(request: SqlRequest, signal: AbortSignal): Promise<SqlAnswer> {
    return await this.#within(request, signal, async (connection, stop) => {
      const statement = await this.#checked(connection, request.statement);
      return await select(connection, { ...request, statement }, stop);
    });
  }

  /** The plan of a statement that {@link run} would run. */
  async explain(request: SqlRequest, signal: AbortSignal): Promise<readonly string[]> {
    return await this.#within(request, signal, async (connection) => {
      const statement = await this.#checked(connection, request.statement);
      // That it is one SELECT is asked as it is before it runs.
      (await prepareOne(connection, statement)).destroySync();
      return planLines((await connection.runAndReadAll(`EXPLAIN ${statement}`)).getRows());
    });
  }

  async #within<Result>(
    request: SqlRequest,
    signal: AbortSignal,
    work: (connection: DuckDBConnection, stop: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const controller = new AbortController();
    this.#running.add(controller);
    const tooLong = new StoreError("limit", `the SQL ran longer than ${request.timeMs} ms`);
    const timer = setTimeout(() => controller.abort(tooLong), request.timeMs);
    const stop = AbortSignal.any([signal, controller.signal]);
    this.#next = (this.#next + 1) % CONNECTIONS;
    try {
      const queue = this.#queues[this.#next];
      if (queue === undefined) throw new StoreError("unavailable", "there is no connection");
      return await queue.snapshot("run the SQL", stop, (connection) => work(connection, stop));
    } catch (cause) {
      const reason: unknown = stop.aborted ? stop.reason : cause;
      throw reason instanceof Error ? reason : cause;
    } finally {
      clearTimeout(timer);
      this.#running.delete(controller);
    }
  }

  /** The statement as it may run: checked, and with full names where short ones are ambiguous. */
  async #checked(connection: DuckDBConnection, statement: string): Promise<string> {
    const published = (await listTables(connection)).filter(({ isPublished }) => isPublished);
    const tables = new Set(published.map(({ name }) => viewOf(name).key));
    const surface = {
      tables,
      functions: this.#functions,
      ambiguous: ENGINE_CATALOGS,
      catalog: STORE_CATALOG,
    };
    const unclear = checkSqlTree(await parse(connection, statement), surface);
    if (unclear.length === 0) return statement;
    const full = insertAt(statement, unclear, `${quoteName(STORE_CATALOG)}.`);
    if (checkSqlTree(await parse(connection, full), surface).length === 0) return full;
    throw new StoreError("refused", "a table's name could not be made clear: quote it");
  }
}

/** The lines of a plan, which DuckDB draws as one text a row. */
export function planLines(rows: readonly (readonly unknown[])[]): readonly string[] {
  return rows.flatMap((row) => String(row.at(-1)).split("\n")).filter((line) => line.trim() !== "");
}

/** The tree that DuckDB's own parser makes of a statement. */
async function parse(connection: DuckDBConnection, statement: string): Promise<unknown> {
  const result = await connection.runAndReadAll(
    "SELECT json_serialize_sql($1::VARCHAR)",
    [statement],
    [VARCHAR],
  );
  const text = result.getRows()[0]?.[0];
  return typeof text === "string" ? JSON.parse(text) : undefined;
}

function insertAt(text: string, places: readonly number[], inserted: string): string {
  let bytes = Buffer.from(text, "utf8");
  for (const place of [...places].sort((left, right) => right - left)) {
    bytes = Buffer.concat([bytes.subarray(0, place), Buffer.from(inserted), bytes.subarray(place)]);
  }
  return bytes.toString("utf8");
}

async function select(
  connection: DuckDBConnection,
  { statement, rowsMax }: SqlRequest,
  signal: AbortSignal,
): Promise<SqlAnswer> {
  const prepared = await prepareOne(connection, statement);
  try {
    const result = await prepared.stream();
    const columns = result
      .columnNames()
      .map((name, index) => ({ name, type: result.columnType(index).toString() }));
    return { columns, ...(await readRows(result, rowsMax, signal)) };
  } finally {
    prepared.destroySync();
  }
}

async function readRows(
  result: DuckDBResult,
  rowsMax: number,
  signal: AbortSignal,
): Promise<Pick<SqlAnswer, "rows" | "isTruncated">> {
  const rows: Cell[][] = [];
  let bytes = 0;
  for await (const chunk of result.yieldRows()) {
    signal.throwIfAborted();
    const read = chunk.slice(0, rowsMax - rows.length).map((row) => row.map(sqlCell));
    for (const cells of read) bytes += cellBytes(cells);
    if (bytes > ANSWER_BYTES_MAX) {
      throw new StoreError("limit", `the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    }
    rows.push(...read);
    if (read.length < chunk.length) return { rows, isTruncated: true };
  }
  return { rows, isTruncated: false };
}

// The tree was checked; that the parser sees one SELECT without parameters is asked again of what runs.
async function prepareOne(
  connection: DuckDBConnection,
  statement: string,
): Promise<DuckDBPreparedStatement> {
  const extracted = await connection.extractStatements(statement);
  if (extracted.count !== 1) throw new StoreError("refused", "there must be exactly one SELECT");
  const prepared = await extracted.prepare(0);
  if (prepared.statementType === StatementType.SELECT && prepared.parameterCount === 0) {
    return prepared;
  }
  prepared.destroySync();
  throw new StoreError("refused", "there must be exactly one SELECT without parameters");
}
