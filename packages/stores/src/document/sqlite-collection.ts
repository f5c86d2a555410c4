import type { DatabaseSync } from "node:sqlite";

import { canonicalJson } from "@custody/contract/json";
import type { DocumentPlacement } from "@custody/contract/placement";

import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { DocumentFile } from "./sqlite-file.ts";
import { quoteName } from "../drivers/sqlite-fragment.ts";
import { hasArray, pathKeys, plainPath, scalarKey, stepNames } from "./sqlite-path.ts";

/** An index on a path that holds one value a document. */
export interface ScalarIndex {
  /** Generated column with the value's key, quoted. */
  readonly column: string;
  /** Generated column that holds where the path meets an array, quoted; such documents need more than the key. */
  readonly arrayColumn: string;
}

/** The quoted names and statements of one collection generation. */
export interface CollectionTables {
  readonly name: string;
  readonly generation: number;
  /** `number, id, sequence, body`, and the generated columns. */
  readonly table: string;
  /** By plain path. */
  readonly scalars: ReadonlyMap<string, ScalarIndex>;
  /** Tables of `value, number` that hold every value at an array path, by plain path. */
  readonly links: ReadonlyMap<string, string>;
}

/** Names a collection's tables; nothing is made. */
export function tablesOf(collection: Collection<DocumentPlacement>): CollectionTables {
  const { name, generation } = collection;
  const physical = `${name}#${generation}`;
  const scalars = new Map<string, ScalarIndex>();
  const links = new Map<string, string>();
  for (const path of indexesOf(collection).flat()) {
    const plain = plainPath(path);
    if (path.includes("[]")) {
      if (!links.has(plain)) links.set(plain, quoteName(`${physical}#link${links.size}`));
    } else if (!scalars.has(plain)) {
      const column = quoteName(`key${scalars.size}`);
      scalars.set(plain, { column, arrayColumn: quoteName(`array${scalars.size}`) });
    }
  }
  return { name, generation, table: tableName(name, generation), scalars, links };
}

/** The quoted name of a generation's table. */
export function tableName(name: string, generation: number): string {
  return quoteName(`${name}#${generation}`);
}

/** Whether the collection was prepared. @throws StoreError `refused` when it was with other indexes. */
export function isPrepared(file: DocumentFile, collection: Collection<DocumentPlacement>): boolean {
  const row = file
    .statement("SELECT indexes FROM collection WHERE name = ? AND generation = ?")
    .get(collection.name, collection.generation);
  if (row === undefined) return false;
  if (row["indexes"] !== canonicalJson(indexesOf(collection))) {
    const { name, generation } = collection;
    throw new StoreError(
      "refused",
      `generation ${generation} of ${name} was prepared with other indexes; take a new generation`,
    );
  }
  return true;
}

/** Makes the tables and indexes of a collection; inside a transaction. */
export function createTables(file: DocumentFile, collection: Collection<DocumentPlacement>): void {
  const tables = tablesOf(collection);
  const { database } = file;
  const { table } = tables;
  const columns = [...tables.scalars].map(([path, { column, arrayColumn }]) => {
    const names = stepNames(path);
    return `, ${column} ANY AS (${scalarKey("body", names)}) VIRTUAL,
      ${arrayColumn} ANY AS (${hasArray("body", names, 0)}) VIRTUAL`;
  });
  database.exec(`CREATE TABLE ${table} (number INTEGER PRIMARY KEY, id TEXT NOT NULL,
    sequence INTEGER NOT NULL, body BLOB NOT NULL${columns.join("")}) STRICT`);
  const name = (part: string): string =>
    quoteName(`${collection.name}#${collection.generation}#${part}`);
  database.exec(`CREATE UNIQUE INDEX ${name("id")} ON ${table} (id);
    CREATE INDEX ${name("sequence")} ON ${table} (sequence)`);
  for (const [index, { arrayColumn }] of [...tables.scalars.values()].entries()) {
    // Holds nothing where the path never meets an array, which is what queries ask it first.
    database.exec(
      `CREATE INDEX ${name(`array${index}`)} ON ${table} (number) WHERE ${arrayColumn}`,
    );
  }
  createKeyIndexes(database, collection, tables);
  for (const link of tables.links.values()) {
    database.exec(`CREATE TABLE ${link} (value ANY NOT NULL, number INTEGER NOT NULL,
      PRIMARY KEY (value, number)) STRICT, WITHOUT ROWID`);
  }
  file
    .statement("INSERT INTO collection (name, generation, indexes, checkpoint) VALUES (?, ?, ?, 0)")
    .run(collection.name, collection.generation, canonicalJson(indexesOf(collection)));
}

function createKeyIndexes(
  database: DatabaseSync,
  collection: Collection<DocumentPlacement>,
  tables: CollectionTables,
): void {
  for (const [index, paths] of indexesOf(collection).entries()) {
    const columns = paths
      .filter((path) => !path.includes("[]"))
      .map((path) => tables.scalars.get(plainPath(path))?.column);
    if (columns.length === 0) continue;
    const name = quoteName(`${collection.name}#${collection.generation}#keys${index}`);
    // With the id, so that pages of what is found come in order without a sort.
    database.exec(`CREATE INDEX ${name} ON ${tables.table} (${columns.join(", ")}, id)`);
  }
}

/** Removes a collection's tables with all they hold; inside a transaction. */
export function dropTables(file: DocumentFile, name: string, generation: number): void {
  const prefix = `${name}#${generation}`;
  const found = file.database
    .prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name = ? OR substr(name, 1, ?) = ?)",
    )
    .all(prefix, prefix.length + 5, `${prefix}#link`);
  for (const row of found) file.database.exec(`DROP TABLE ${quoteName(String(row["name"]))}`);
  file.statement("DELETE FROM collection WHERE name = ? AND generation = ?").run(name, generation);
}

/**
 * A SELECT of the rows (`value, number`) that a link table holds for the chosen documents.
 *
 * @param where a condition on the documents `d`.
 */
export function linkRows({ table }: CollectionTables, path: string, where: string): string {
  const keys = pathKeys("d.body", stepNames(path), "l", { table, where });
  return `SELECT DISTINCT value, number FROM (${keys}) WHERE value IS NOT NULL`;
}

function indexesOf({ placements }: Collection<DocumentPlacement>): readonly (readonly string[])[] {
  return Object.values(placements).flatMap(({ indexes }) => indexes ?? []);
}
