import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";

import { parseJson, stringifyJson } from "@custody/contract/json";

import { quoteName } from "../drivers/sqlite-fragment.ts";
import { numberOf, textOf } from "../drivers/sqlite-collections.ts";
import { StoreError } from "../errors.ts";
import { filterValue, textHash } from "./content.ts";
import type { FilterValue, SearchMapping } from "./content.ts";
import { filterColumn, storedValue } from "./sqlite-filter.ts";
import { TOKENIZER } from "./sqlite-tokens.ts";

/** The tables of one collection: the index without texts, the rows it is about, several-valued filters. */
export interface SearchTableNames {
  readonly index: string;
  /** The index's words, one row an occurrence. */
  readonly words: string;
  /** The index's own list of the rows it has (FTS5's shadow table). */
  readonly indexed: string;
  readonly rows: string;
  readonly values: string;
}

export function tableNames(physicalName: string): SearchTableNames {
  return {
    index: physicalName,
    words: `${physicalName}_words`,
    indexed: `${physicalName}_docsize`,
    rows: `${physicalName}_rows`,
    values: `${physicalName}_values`,
  };
}

// A batch's words wait in memory until its transaction ends; a smaller bound would write several
// segments a batch. It is reached only by batches of about 100 MB of text.
const HASH_BYTES = 64n << 20n;

// Segments are merged by `settle` and by our own bound only, as bulk loads would pay for it twice.
// 8,000-byte pages lie two in a page of the file.
const INDEX_SETTINGS: readonly (readonly [string, bigint])[] = [
  ["hashsize", HASH_BYTES],
  ["automerge", 0n],
  ["crisismerge", 1_999n],
  ["deletemerge", 0n],
  ["usermerge", 16n],
  ["pgsz", 8_000n],
];

/** Makes a collection's tables. @throws StoreError `refused` for a placement without fields. */
export function createSearchTable(
  database: DatabaseSync,
  physicalName: string,
  mapping: SearchMapping,
): void {
  const { fieldNames, filterNames } = mapping;
  if (fieldNames.length === 0) throw new StoreError("refused", "a search needs a field to look in");
  const names = tableNames(physicalName);
  const index = quoteName(names.index);
  const rows = quoteName(names.rows);
  const filters = filterNames.map((_, position) => filterColumn(position));
  database.exec(`CREATE VIRTUAL TABLE ${index} USING fts5(${fieldNames.map((_, i) => `t${i}`).join(", ")},
      content='', contentless_delete=1, tokenize='${TOKENIZER}');
    CREATE VIRTUAL TABLE ${quoteName(names.words)} USING fts5vocab(${index}, instance);
    CREATE TABLE ${rows} (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sequence INTEGER NOT NULL,
      texts TEXT NOT NULL${filters.map((name) => `, ${name} ANY`).join("")}) STRICT;
    CREATE INDEX ${quoteName(`${names.rows}_sequence`)} ON ${rows} (sequence);
    CREATE TABLE ${quoteName(names.values)} (filter INTEGER NOT NULL, value ANY NOT NULL,
      row INTEGER NOT NULL, PRIMARY KEY (filter, value, row)) STRICT, WITHOUT ROWID`);
  for (const name of filters) {
    database.exec(`CREATE INDEX ${quoteName(`${names.rows}_${name}`)} ON ${rows} (${name})`);
  }
  const set = database.prepare(`INSERT INTO ${index} (${index}, rank) VALUES (?, ?)`);
  for (const [name, value] of INDEX_SETTINGS) set.run(name, value);
}

/** Removes a collection's tables. */
export function dropSearchTable(database: DatabaseSync, physicalName: string): void {
  const { words, index, rows, values } = tableNames(physicalName);
  for (const name of [words, index, rows, values]) {
    database.exec(`DROP TABLE IF EXISTS ${quoteName(name)}`);
  }
}

/** A row as found by its id. */
export interface FoundRow {
  readonly n: number;
  readonly sequence: number;
  readonly filters: readonly (readonly FilterValue[])[];
}

/** The prepared statements that write a collection. */
export class SearchWriter {
  readonly #mapping: SearchMapping;
  readonly #insertRow: StatementSync;
  readonly #insertValue: StatementSync;
  readonly #find: StatementSync;
  readonly #deleteRow: StatementSync;
  readonly #deleteValue: StatementSync;
  readonly #insertTexts: StatementSync;
  readonly #deleteTexts: StatementSync;
  readonly #last: StatementSync;

  constructor(database: DatabaseSync, physicalName: string, mapping: SearchMapping) {
    const names = tableNames(physicalName);
    const [rows, values, index] = [names.rows, names.values, names.index].map(quoteName);
    const { fieldNames, filterNames } = mapping;
    const places = (count: number): string => ", ?".repeat(count);
    this.#mapping = mapping;
    this.#insertRow = database.prepare(
      `INSERT INTO ${rows} VALUES (?, ?, ?, ?${places(filterNames.length)}) ON CONFLICT (id) DO NOTHING`,
    );
    this.#insertValue = database.prepare(`INSERT OR IGNORE INTO ${values} VALUES (?, ?, ?)`);
    this.#find = database.prepare(`SELECT * FROM ${rows} WHERE id = ?`);
    this.#find.setReadBigInts(true);
    this.#deleteRow = database.prepare(`DELETE FROM ${rows} WHERE n = ?`);
    this.#deleteValue = database.prepare(
      `DELETE FROM ${values} WHERE filter = ? AND value = ? AND row = ?`,
    );
    this.#insertTexts = database.prepare(
      `INSERT INTO ${index} (rowid${fieldNames.map((_, i) => `, t${i}`).join("")})
       VALUES (?${places(fieldNames.length)})`,
    );
    this.#deleteTexts = database.prepare(`DELETE FROM ${index} WHERE rowid = ?`);
    this.#last = database.prepare(`SELECT max(
      coalesce((SELECT max(n) FROM ${rows}), 0),
      coalesce((SELECT max(id) FROM ${quoteName(names.indexed)}), 0)) AS n`);
  }

  /** The greatest row number in use. */
  last(): number {
    return numberOf(this.#last.get()?.["n"]);
  }

  find(id: string): FoundRow | undefined {
    const row = this.#find.get(id);
    if (row === undefined) return undefined;
    const { n, sequence, filters } = readRow(row, this.#mapping);
    return { n, sequence, filters };
  }

  /** Notes a row and its values; false when the id is there already. */
  insertRow(row: FoundRow & { readonly id: string }, texts: readonly string[]): boolean {
    const { n, id, sequence, filters } = row;
    const cells = filters.map(storedFilter);
    const hashes = texts.map(textHash).join("");
    if (this.#insertRow.run(n, id, sequence, hashes, ...cells).changes === 0) return false;
    for (const [position, list] of filters.entries()) {
      if (list.length < 2) continue;
      for (const value of list) this.#insertValue.run(position, storedValue(value), n);
    }
    return true;
  }

  deleteRow({ n, filters }: FoundRow): void {
    this.#deleteRow.run(n);
    for (const [position, list] of filters.entries()) {
      if (list.length < 2) continue;
      for (const value of list) this.#deleteValue.run(position, storedValue(value), n);
    }
  }

  insertTexts(n: number, texts: readonly string[]): void {
    this.#insertTexts.run(n, ...texts);
  }

  deleteTexts(n: number): void {
    this.#deleteTexts.run(n);
  }
}

/** A row with all that is stored of it, its columns read as `bigint`. */
export interface StoredRow extends FoundRow {
  readonly id: string;
  readonly textHashes: readonly string[];
}

/** Decodes a row of the rows' table. @throws StoreError `corrupt` when it holds what we do not write. */
export function readRow(row: Record<string, SQLOutputValue>, mapping: SearchMapping): StoredRow {
  return {
    n: numberOf(row["n"]),
    id: textOf(row["id"]),
    sequence: numberOf(row["sequence"]),
    textHashes: textOf(row["texts"]).match(/.{1,16}/gsu) ?? [],
    filters: mapping.filterNames.map((_, position) => readFilter(row[filterColumn(position)])),
  };
}

function storedFilter(values: readonly FilterValue[]): SQLInputValue {
  const [only] = values;
  if (only === undefined) return null;
  return values.length === 1 ? storedValue(only) : Buffer.from(stringifyJson(values));
}

/** Decodes a filter column. */
export function readFilter(cell: SQLOutputValue | undefined): readonly FilterValue[] {
  if (cell === null || cell === undefined) return [];
  if (!(cell instanceof Uint8Array)) return [filterValue(cell)];
  if (cell.byteLength === 1) return [cell[0] === 1];
  const list = parseJson(Buffer.from(cell).toString("utf8"));
  return Array.isArray(list) ? list.map(filterValue) : [];
}
