import type { DuckDBConnection } from "@duckdb/node-api";

import { refuseGap } from "../delivery-start.ts";
import { StoreError } from "../errors.ts";
import { rollBack } from "./duckdb-connections.ts";
import { packedChunk } from "./duckdb-columns.ts";
import type { PackedColumn } from "./duckdb-columns.ts";
import type { DuckdbPart, DuckdbWrite } from "./duckdb-protocol.ts";
import { INTERNAL_SCHEMA, requireTable } from "./duckdb-tables.ts";
import type { DuckdbTables, StoredTable } from "./duckdb-tables.ts";
import { duckdbCall, mapDuckdbError, quoteName, STORE_CATALOG } from "./duckdb.ts";

/**
 * One delivery being written: a transaction that takes parts in order and ends with `commit` or `abort`.
 *
 * Calls may follow each other without waiting: they are carried out in the order they were made, and
 * after a failure each answers with it and nothing is written.
 */
export class DuckdbWriteSession {
  readonly #write: DuckdbWrite;
  readonly #opened: Promise<OpenWrite>;
  #tail: Promise<unknown>;

  constructor(tables: DuckdbTables, write: DuckdbWrite) {
    this.#write = write;
    this.#opened = openWrite(tables, write);
    this.#tail = this.#opened;
    // Whoever calls `begin` is told of a failure; the line of calls behind it must not report it again.
    this.#opened.catch(() => undefined);
  }

  /** Answers the stored checkpoint, at or below which records are to be left out. */
  async begin(): Promise<number> {
    return (await this.#opened).table.checkpoint;
  }

  async part(part: DuckdbPart): Promise<void> {
    await this.#next((open) => writePart(open, this.#write, part));
  }

  async commit(): Promise<void> {
    try {
      await this.#next(async (open) => {
        await saveProgress(open, this.#write);
        await open.connection.run("COMMIT");
        open.isEnded = true;
      });
    } finally {
      await this.abort();
    }
  }

  /** Takes everything back, unless it was committed. */
  async abort(): Promise<void> {
    await this.#tail.catch(() => undefined);
    const open = await this.#opened.catch(() => undefined);
    if (open === undefined || open.isReleased) return;
    open.isReleased = true;
    try {
      if (!open.isEnded) await rollBack(open.connection);
    } finally {
      open.release();
    }
  }

  async #next(work: (open: OpenWrite) => Promise<void>): Promise<void> {
    const step = this.#tail.then(async () => {
      const open = await this.#opened;
      if (open.isReleased) throw new StoreError("unavailable", "the write was ended");
      await duckdbCall(`write ${this.#write.table.name}`, () => work(open));
    });
    this.#tail = step;
    await step;
  }
}

interface OpenWrite {
  readonly connection: DuckDBConnection;
  readonly table: StoredTable;
  /** The highest sequence of the rows written. */
  highest: number;
  isEnded: boolean;
  isReleased: boolean;
  readonly release: () => void;
}

async function openWrite(tables: DuckdbTables, write: DuckdbWrite): Promise<OpenWrite> {
  const { connection, release } = await tables.writer.take();
  try {
    await connection.run("BEGIN TRANSACTION");
    const table = await requireTable(connection, write.table);
    refuseGap(write.table, write, table.checkpoint);
    const { highest } = table;
    return { connection, table, highest, isEnded: false, isReleased: false, release };
  } catch (cause) {
    await rollBack(connection).finally(release);
    throw mapDuckdbError(`write ${write.table.name}`, cause);
  }
}

async function writePart(open: OpenWrite, write: DuckdbWrite, part: DuckdbPart): Promise<void> {
  const { connection, table } = open;
  // Records that cannot have an older row are appended without looking for one; looking costs a scan
  // of the ids. A repair may have written rows ahead of the checkpoint: hence `highest`.
  const isNew =
    (write.isAppendOnly || part.isNew === true) &&
    !part.hasRemoved &&
    write.checkpoint !== undefined &&
    part.sequences.every((sequence) => sequence > table.highest);
  for (const sequence of part.sequences) open.highest = Math.max(open.highest, sequence);
  if (isNew || !(await findOlder(connection, table, part))) {
    return await appendRows(connection, storedName(table), part.rows);
  }
  if (write.checkpoint === undefined) {
    await connection.run(
      `DELETE FROM ${table.sqlName} WHERE _id IN (FROM temp.main.touched SELECT id)`,
    );
    return await appendRows(connection, storedName(table), part.rows);
  }
  await connection.run(`DELETE FROM ${table.sqlName} AS old USING temp.main.touched
    WHERE old._id = touched.id AND old._sequence < touched.sequence`);
  await connection.run(`CREATE OR REPLACE TEMP TABLE stage AS FROM ${table.sqlName} LIMIT 0`);
  await appendRows(connection, { catalog: "temp", schema: "main", table: "stage" }, part.rows);
  await connection.run(`INSERT INTO ${table.sqlName}
    FROM temp.main.stage WHERE _id NOT IN (FROM ${table.sqlName} SELECT _id WHERE _id IN (FROM temp.main.touched SELECT id))`);
}

/** Lists the part's ids in `temp.main.touched` and tells whether one of them has rows. */
async function findOlder(
  connection: DuckDBConnection,
  table: StoredTable,
  part: DuckdbPart,
): Promise<boolean> {
  await connection.run("CREATE OR REPLACE TEMP TABLE touched (id VARCHAR, sequence BIGINT)");
  const sequences = BigInt64Array.from(part.sequences, BigInt);
  await appendRows(connection, { catalog: "temp", schema: "main", table: "touched" }, [
    { kind: "text", values: part.ids },
    { kind: "integer", values: sequences, absent: new Uint8Array(sequences.length) },
  ]);
  const found = await connection.runAndReadAll(`SELECT count(*) FROM ${table.sqlName}
    WHERE _id IN (FROM temp.main.touched SELECT id)`);
  return Number(found.getRows()[0]?.[0]) > 0;
}

interface AppendTarget {
  readonly catalog: string;
  readonly schema: string;
  readonly table: string;
}

function storedName(table: StoredTable): AppendTarget {
  return { catalog: STORE_CATALOG, schema: INTERNAL_SCHEMA, table: `rows_${table.number}` };
}

async function appendRows(
  connection: DuckDBConnection,
  { table, schema, catalog }: AppendTarget,
  rows: readonly PackedColumn[],
): Promise<void> {
  if ((rows[0]?.values.length ?? 0) === 0) return;
  const appender = await connection.createAppender(table, schema, catalog);
  appender.appendDataChunk(packedChunk(rows));
  appender.closeSync();
}

async function saveProgress(open: OpenWrite, write: DuckdbWrite): Promise<void> {
  const checkpoint = Math.max(open.table.checkpoint, write.checkpoint ?? 0);
  const highest = Math.max(open.highest, checkpoint);
  if (checkpoint === open.table.checkpoint && highest === open.table.highest) return;
  await open.connection.run(
    `UPDATE ${quoteName(INTERNAL_SCHEMA)}.collections SET "checkpoint" = $1, highest = $2
     WHERE number = $3`,
    [BigInt(checkpoint), BigInt(highest), open.table.number],
  );
}
