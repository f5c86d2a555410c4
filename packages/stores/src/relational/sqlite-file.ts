import type { DatabaseSync } from "node:sqlite";

import type { SqlFragment } from "../drivers/sqlite-fragment.ts";
import { SqliteCollections } from "../drivers/sqlite-collections.ts";
import { notPrepared, onlyPlacement } from "../collections.ts";
import { refuseGap, requireSameStart } from "../delivery-start.ts";
import type { HeldCollection } from "../drivers/sqlite-collections.ts";
import type { StoredRows } from "../drivers/sqlite-row-blocks.ts";
import { openSqliteFile, sqliteTransaction } from "../drivers/sqlite.ts";
import type { RowRange, StoredContent } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import type { Collection, CollectionStatistics } from "../projected-store.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import type { TablePlacement } from "./port.ts";
import type { QueryColumn } from "./sqlite-columns.ts";
import { createSummary, dropRelational, openSummary } from "./sqlite-summary.ts";
import { createTable, openTable } from "./sqlite-table.ts";

/** What a query runs over: a table or a view, its columns, and the column that tells rows apart. */
export interface QuerySource {
  readonly from: SqlFragment;
  readonly columns: readonly QueryColumn[];
  readonly key: string;
}

/** A prepared collection: a type's table or a summary. */
export interface RelationalTable {
  readonly query: QuerySource;
  /** Writes the records above the checkpoint, within the caller's transaction. */
  readonly apply: (batches: readonly RecordBatch[], checkpoint: number) => void;
  readonly repair: (batch: RecordBatch) => void;
  /** The content of every row; of a range in order of sequence and id. */
  readonly contents: (range?: RowRange) => Iterable<StoredContent>;
  readonly count: () => number;
  /** Where its bytes lie. */
  readonly stored: () => readonly StoredRows[];
  /** True where a row is made of several records, which cannot be delivered twice or in part. */
  readonly isMadeOfSeveral: boolean;
}

/** One tenant's relational file. All its methods are synchronous, so calls do not interleave. */
export class RelationalFile {
  readonly database: DatabaseSync;
  readonly #collections: SqliteCollections;
  readonly #tables = new Map<string, RelationalTable>();

  private constructor(database: DatabaseSync) {
    this.database = database;
    this.#collections = new SqliteCollections(database);
  }

  static open(path: string): RelationalFile {
    const database = openSqliteFile({ path, durability: "projection", cacheKib: 8 * 1024 });
    try {
      // What was deleted must not be readable in free pages.
      database.exec("PRAGMA secure_delete = ON");
      return sqliteTransaction(database, `open ${path}`, () => new RelationalFile(database));
    } catch (cause) {
      database.close();
      throw cause;
    }
  }

  close(): void {
    this.database.close();
  }

  prepare(collection: Collection<TablePlacement>): void {
    sqliteTransaction(this.database, `prepare ${collection.name}`, () => {
      const isKnown = this.isPrepared(collection);
      const [, placement] = onlyPlacement(collection);
      const { physicalName } = this.#collections.add(collection);
      if (isKnown) return;
      if ("table" in placement) createTable(this.database, physicalName, placement.table);
      else createSummary(this.database, physicalName, placement.summary);
    });
  }

  isPrepared(collection: Collection<TablePlacement>): boolean {
    return this.#collections.find(collection) !== undefined;
  }

  apply(collection: Collection<TablePlacement>, delivery: Delivery): void {
    const table = this.table(collection);
    this.#checkTypes(collection, delivery.batches);
    sqliteTransaction(this.database, `apply ${collection.name}`, () => {
      const checkpoint = this.checkpoint(collection);
      if (delivery.checkpoint <= checkpoint) return;
      const checkStart = table.isMadeOfSeveral ? requireSameStart : refuseGap;
      checkStart(collection, delivery, checkpoint);
      table.apply(delivery.batches, checkpoint);
      this.#collections.advance(collection, delivery.checkpoint, 0);
    });
  }

  repair(collection: Collection<TablePlacement>, batch: RecordBatch): void {
    const table = this.table(collection);
    this.#checkTypes(collection, [batch]);
    sqliteTransaction(this.database, `repair ${collection.name}`, () => table.repair(batch));
  }

  checkpoint(collection: Collection<TablePlacement>): number {
    return this.#collections.find(collection)?.checkpoint ?? 0;
  }

  discard(collection: Collection<TablePlacement>): void {
    const held = this.#collections.find(collection);
    if (held === undefined) return;
    this.#tables.delete(keyOf(collection));
    sqliteTransaction(this.database, `discard ${collection.name}`, () => {
      dropRelational(this.database, held.physicalName);
      this.#collections.remove(collection);
    });
  }

  /** The collection's table. @throws StoreError `refused` when it was not prepared, or with another mapping. */
  table(collection: Collection<TablePlacement>): RelationalTable {
    if (!this.isPrepared(collection)) throw notPrepared(collection);
    // `add` compares the mapping with the one the tables were made for.
    const held = this.#collections.add(collection);
    const known = this.#tables.get(keyOf(collection));
    if (known !== undefined) return known;
    const table = this.#open(held, onlyPlacement(collection)[1]);
    this.#tables.set(keyOf(collection), table);
    return table;
  }

  counts(): readonly CollectionStatistics[] {
    return this.#collections.list().map(({ name, generation, type, placement }) => {
      const placements = { [type]: JSON.parse(placement) as TablePlacement };
      return { name, generation, records: this.table({ name, generation, placements }).count() };
    });
  }

  #open({ physicalName }: HeldCollection, placement: TablePlacement): RelationalTable {
    return "table" in placement
      ? openTable(this.database, physicalName, placement.table)
      : openSummary(this.database, physicalName, placement.summary);
  }

  #checkTypes(collection: Collection<TablePlacement>, batches: readonly RecordBatch[]): void {
    const [type] = onlyPlacement(collection);
    const other = batches.find((batch) => batch.type !== type);
    if (other === undefined) return;
    throw new StoreError("refused", `${collection.name} holds no ${other.type}`);
  }
}

function keyOf({ name, generation }: Collection<unknown>): string {
  return `${generation} ${name}`;
}
