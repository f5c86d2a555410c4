import { statSync } from "node:fs";

import type { DuckDBConnection, DuckDBValue } from "@duckdb/node-api";

import { StoreError } from "../errors.ts";
import type { StoreStatistics } from "../projected-store.ts";
import { DuckdbConnectionQueue } from "./duckdb-connections.ts";
import { SQL_TYPES } from "./duckdb-columns.ts";
import type { DuckdbTable, DuckdbTableName } from "./duckdb-protocol.ts";
import { quoteName } from "./duckdb.ts";
import type { DuckdbFile } from "./duckdb.ts";

/** Where the tables of all collections lie, out of sight of a tenant's own SQL. */
export const INTERNAL_SCHEMA = "_custody";

/** A collection as it is stored. */
export interface StoredTable extends DuckdbTable {
  /** The table's quoted name: never made from a collection's own name. */
  readonly sqlName: string;
  readonly number: number;
  readonly checkpoint: number;
  /** The highest sequence any row may have: a repair can write ahead of the checkpoint. */
  readonly highest: number;
  readonly isPublished: boolean;
}

/** The collections of one DuckDB file: a table each, and one table that lists them with their checkpoints. */
export class DuckdbTables {
  readonly writer: DuckdbConnectionQueue;
  readonly reader: DuckdbConnectionQueue;
  readonly #path: string;

  private constructor(file: DuckdbFile, path: string) {
    this.writer = new DuckdbConnectionQueue(file);
    this.reader = new DuckdbConnectionQueue(file);
    this.#path = path;
  }

  /** Makes the list of collections where it does not exist. */
  static async open(file: DuckdbFile, path: string): Promise<DuckdbTables> {
    const tables = new DuckdbTables(file, path);
    await tables.writer.transaction("make the list of collections", async (connection) => {
      const found = await connection.runAndReadAll(
        "SELECT 1 FROM duckdb_tables() WHERE schema_name = $1 AND table_name = 'collections'",
        [INTERNAL_SCHEMA],
      );
      if (found.currentRowCount > 0) return;
      const schema = quoteName(INTERNAL_SCHEMA);
      await connection.run(`CREATE SCHEMA ${schema}`);
      await connection.run(`CREATE TABLE ${schema}.collections (number INTEGER NOT NULL,
        name VARCHAR NOT NULL, generation INTEGER NOT NULL, columns VARCHAR NOT NULL,
        note VARCHAR NOT NULL, "checkpoint" BIGINT NOT NULL, highest BIGINT NOT NULL,
        is_published BOOLEAN NOT NULL)`);
    });
    return tables;
  }

  /** @throws StoreError `refused` when the generation exists with other columns. */
  async prepare(table: DuckdbTable): Promise<void> {
    await this.writer.transaction(`prepare ${table.name}`, async (connection) => {
      const stored = await findTable(connection, table);
      const columns = JSON.stringify(table.columns);
      if (stored !== undefined) {
        if (JSON.stringify(stored.columns) === columns && stored.note === table.note) return;
        throw new StoreError(
          "refused",
          `${table.name} generation ${table.generation} exists with another mapping`,
        );
      }
      const number = await nextNumber(connection);
      await connection.run(
        `INSERT INTO ${quoteName(INTERNAL_SCHEMA)}.collections VALUES ($1, $2, $3, $4, $5, 0, 0, false)`,
        [number, table.name, table.generation, columns, table.note],
      );
      const own = table.columns.map(({ name, kind }) => `, ${quoteName(name)} ${SQL_TYPES[kind]}`);
      await connection.run(`CREATE TABLE ${tableName(number)}
        (_id VARCHAR NOT NULL, _sequence BIGINT NOT NULL${own.join("")})`);
    });
  }

  async checkpoint(name: DuckdbTableName, signal: AbortSignal): Promise<number> {
    return await this.reader.snapshot(`read ${name.name}`, signal, async (connection) => {
      return (await findTable(connection, name))?.checkpoint ?? 0;
    });
  }

  /** Drops the table and its entry; `before` may drop what depends on it. */
  async discard(
    name: DuckdbTableName,
    before: (connection: DuckDBConnection, table: StoredTable) => Promise<void>,
  ): Promise<void> {
    await this.writer.transaction(`discard ${name.name}`, async (connection) => {
      const table = await findTable(connection, name);
      if (table === undefined) return;
      await before(connection, table);
      await connection.run(`DROP TABLE ${table.sqlName}`);
      await connection.run(
        `DELETE FROM ${quoteName(INTERNAL_SCHEMA)}.collections WHERE number = $1`,
        [table.number],
      );
    });
  }

  /** @param countOf the condition that holds for one row of each record. */
  async statistics(countOf: string, signal: AbortSignal): Promise<StoreStatistics> {
    const collections = await this.reader.snapshot("count rows", signal, async (connection) => {
      const counted = [];
      for (const table of await listTables(connection)) {
        const found = await connection.runAndReadAll(
          `SELECT count(*) FROM ${table.sqlName} WHERE ${countOf}`,
        );
        const records = Number(found.getRows()[0]?.[0] ?? 0);
        counted.push({ name: table.name, generation: table.generation, records });
      }
      return counted;
    });
    return { collections, bytes: fileBytes(this.#path) + fileBytes(`${this.#path}.wal`) };
  }

  /** Folds the write-ahead log into the file. */
  async settle(): Promise<void> {
    const { connection, release } = await this.writer.take();
    try {
      await connection.run("CHECKPOINT");
    } catch (cause) {
      // A query that runs holds the checkpoint up; the log is then folded in by a later one.
      if (!(cause instanceof Error && cause.message.startsWith("TransactionContext Error")))
        throw cause;
    } finally {
      release();
    }
  }
}

/** Finds a collection. `undefined` when it was never prepared. */
export async function findTable(
  connection: DuckDBConnection,
  { name, generation }: DuckdbTableName,
): Promise<StoredTable | undefined> {
  const found = await selectTables(connection, "WHERE name = $1 AND generation = $2", [
    name,
    generation,
  ]);
  return found[0];
}

/** Finds a collection that must exist. @throws StoreError `refused` when it was never prepared. */
export async function requireTable(
  connection: DuckDBConnection,
  name: DuckdbTableName,
): Promise<StoredTable> {
  const table = await findTable(connection, name);
  if (table !== undefined) return table;
  throw new StoreError("refused", `${name.name} generation ${name.generation} is not prepared`);
}

/** Every collection of the file, by name and generation. */
export async function listTables(connection: DuckDBConnection): Promise<readonly StoredTable[]> {
  return await selectTables(connection, "", []);
}

async function selectTables(
  connection: DuckDBConnection,
  where: string,
  values: DuckDBValue[],
): Promise<StoredTable[]> {
  const result = await connection.runAndReadAll(
    `SELECT number, name, generation, columns, note, "checkpoint", highest, is_published
     FROM ${quoteName(INTERNAL_SCHEMA)}.collections ${where} ORDER BY name, generation`,
    values,
  );
  return result.getRows().map((row) => {
    const [number, name, generation, columns, note, checkpoint, highest, isPublished] = row;
    return {
      number: Number(number),
      sqlName: tableName(Number(number)),
      name: String(name),
      generation: Number(generation),
      columns: JSON.parse(String(columns)) as DuckdbTable["columns"],
      note: String(note),
      checkpoint: Number(checkpoint),
      highest: Number(highest),
      isPublished: isPublished === true,
    };
  });
}

async function nextNumber(connection: DuckDBConnection): Promise<number> {
  const found = await connection.runAndReadAll(
    `SELECT coalesce(max(number), 0) + 1 FROM ${quoteName(INTERNAL_SCHEMA)}.collections`,
  );
  return Number(found.getRows()[0]?.[0]);
}

function tableName(number: number): string {
  return `${quoteName(INTERNAL_SCHEMA)}.rows_${number}`;
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
