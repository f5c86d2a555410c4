import type { DatabaseSync } from "node:sqlite";

import type { SearchPlacement } from "@custody/contract/placement";

import { quoteName } from "../drivers/sqlite-fragment.ts";
import { numberOf, SqliteCollections } from "../drivers/sqlite-collections.ts";
import { notPrepared } from "../collections.ts";
import type { HeldCollection } from "../drivers/sqlite-collections.ts";
import { openSqliteFile, sqliteTransaction } from "../drivers/sqlite.ts";
import { rangeStart } from "../row-pages.ts";
import type { RowRange, StoredContent } from "../row-pages.ts";
import { refuseGap } from "../delivery-start.ts";
import { StoreError } from "../errors.ts";
import type { Collection, CollectionStatistics } from "../projected-store.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import { compileSearch } from "./content.ts";
import type { SearchMapping } from "./content.ts";
import { seekWordIn } from "./sqlite-fuzzy.ts";
import type { MatchContext } from "./sqlite-match.ts";
import { mergeStep, readStructure } from "./sqlite-merge.ts";
import {
  createSearchTable,
  dropSearchTable,
  readRow,
  SearchWriter,
  tableNames,
} from "./sqlite-table.ts";
import type { SearchTableNames } from "./sqlite-table.ts";
import type { SqliteTokens } from "./sqlite-tokens.ts";
import { writeBatches } from "./sqlite-write.ts";

/** A prepared collection, ready to be written and read. */
export interface SearchTable {
  readonly held: HeldCollection;
  readonly names: SearchTableNames;
  readonly mapping: SearchMapping;
  readonly writer: SearchWriter;
}

// A query opens each segment once: with 128 of them two words took 5 ms, with one 0.3 ms.
const SEGMENTS_SETTLED_MAX = 128;
// FTS5 takes 2,000; a bulk load merges only when it comes near, and leaves the rest to `settle`.
const SEGMENTS_LOADING_MAX = 1_000;
/** A delivery of so many texts is part of a bulk load; smaller ones merge as they go. */
const BULK_TEXTS = 500;

/** One tenant's search file. All its methods are synchronous, so calls do not interleave. */
export class SearchFile {
  readonly database: DatabaseSync;
  readonly #collections: SqliteCollections;
  readonly #tables = new Map<string, SearchTable>();
  /** True while a purge of deleted words goes on, which is begun once and then continued. */
  #isPurging = false;

  private constructor(database: DatabaseSync) {
    this.database = database;
    this.#collections = new SqliteCollections(database);
  }

  static open(path: string): SearchFile {
    const pageBytes = 16 * 1024;
    const database = openSqliteFile({
      path,
      durability: "projection",
      cacheKib: 8 * 1024,
      pageBytes,
    });
    try {
      // Segments are written once: a checkpoint at 64 MiB instead of 16 writes fewer pages twice.
      // Deleted words must not be readable in free pages.
      database.exec("PRAGMA wal_autocheckpoint = 4000; PRAGMA secure_delete = ON");
      return sqliteTransaction(database, `open ${path}`, () => new SearchFile(database));
    } catch (cause) {
      database.close();
      throw cause;
    }
  }

  close(): void {
    this.database.close();
  }

  prepare(collection: Collection<SearchPlacement>): void {
    sqliteTransaction(this.database, `prepare ${collection.name}`, () => {
      const isKnown = this.#collections.find(collection) !== undefined;
      const held = this.#collections.add(collection);
      if (!isKnown) createSearchTable(this.database, held.physicalName, mappingOf(collection));
    });
  }

  apply(collection: Collection<SearchPlacement>, delivery: Delivery): void {
    const table = this.table(collection);
    checkTypes(table, delivery.batches);
    const indexed = sqliteTransaction(this.database, `apply ${collection.name}`, () => {
      const checkpoint = this.checkpoint(collection);
      if (delivery.checkpoint <= checkpoint) return 0;
      refuseGap(collection, delivery, checkpoint);
      const written = writeBatches(delivery.batches, table, { checkpoint, isForced: false });
      this.#collections.advance(collection, delivery.checkpoint, written.removals);
      return written.indexed;
    });
    const segmentsMax = indexed >= BULK_TEXTS ? SEGMENTS_LOADING_MAX : SEGMENTS_SETTLED_MAX;
    if (indexed > 0 && this.#structure(table).segments > segmentsMax) {
      mergeStep(this.database, table.names.index, false);
    }
  }

  repair(collection: Collection<SearchPlacement>, batch: RecordBatch): void {
    const table = this.table(collection);
    checkTypes(table, [batch]);
    sqliteTransaction(this.database, `repair ${collection.name}`, () => {
      const { removals } = writeBatches([batch], table, { checkpoint: 0, isForced: true });
      this.#collections.advance(collection, this.checkpoint(collection), removals);
    });
  }

  checkpoint(collection: Collection<SearchPlacement>): number {
    return this.#collections.find(collection)?.checkpoint ?? 0;
  }

  discard(collection: Collection<SearchPlacement>): void {
    const held = this.#collections.find(collection);
    if (held === undefined) return;
    this.#tables.delete(keyOf(collection));
    this.#isPurging = false;
    sqliteTransaction(this.database, `discard ${collection.name}`, () => {
      dropSearchTable(this.database, held.physicalName);
      this.#collections.remove(collection);
    });
  }

  isPrepared(collection: Collection<SearchPlacement>): boolean {
    return this.#collections.find(collection) !== undefined;
  }

  /** The collection's tables. @throws StoreError `refused` when it was not prepared, or with another mapping. */
  table(collection: Collection<SearchPlacement>): SearchTable {
    const held = this.#collections.find(collection);
    if (held === undefined) throw notPrepared(collection);
    const known = this.#tables.get(keyOf(collection));
    // `add` compares the mapping with the one the tables were made for.
    this.#collections.add(collection);
    if (known !== undefined) return known;
    const mapping = mappingOf(collection);
    const names = tableNames(held.physicalName);
    const writer = new SearchWriter(this.database, held.physicalName, mapping);
    const table = { held, names, mapping, writer };
    this.#tables.set(keyOf(collection), table);
    return table;
  }

  matchContext({ mapping, names }: SearchTable, tokens: SqliteTokens): MatchContext {
    return {
      words: (text) => tokens.words(text),
      seek: seekWordIn(this.database, names.words),
      column: (field) => {
        const position = mapping.fieldNames.indexOf(field);
        if (position >= 0) return `t${position}`;
        throw new StoreError("refused", `the search has no field ${JSON.stringify(field)}`);
      },
    };
  }

  /**
   * Checks that the index is whole and has no text without a row.
   *
   * @throws StoreError `corrupt`.
   */
  checkIndex(collection: Collection<SearchPlacement>): void {
    if (!this.isPrepared(collection)) return;
    const { names } = this.table(collection);
    const index = quoteName(names.index);
    this.database.exec(`INSERT INTO ${index} (${index}) VALUES ('integrity-check')`);
    const counted = this.database
      .prepare(
        `SELECT count(*) AS n FROM ${quoteName(names.indexed)} AS d
         WHERE NOT EXISTS (SELECT 1 FROM ${quoteName(names.rows)} AS r WHERE r.n = d.id)`,
      )
      .get();
    const orphans = numberOf(counted?.["n"]);
    if (orphans === 0) return;
    throw new StoreError("corrupt", `the search index has ${orphans} texts of no record`);
  }

  /** The rows whose text the index has; all, or those of a range in order. */
  *contents(collection: Collection<SearchPlacement>, range?: RowRange): Generator<StoredContent> {
    const start = range === undefined ? undefined : rangeStart(range);
    if (!this.isPrepared(collection)) return;
    const { names, mapping } = this.table(collection);
    const from = `SELECT r.* FROM ${quoteName(names.rows)} AS r
      JOIN ${quoteName(names.indexed)} AS d ON d.id = r.n`;
    const statement = this.database.prepare(
      start === undefined
        ? from
        : `${from} WHERE r.sequence >= ? AND r.sequence < ? AND (r.sequence > ? OR r.id > ?)
           ORDER BY r.sequence, r.id`,
    );
    statement.setReadBigInts(true);
    const values =
      range === undefined || start === undefined
        ? []
        : [
            Math.max(range.fromSequence, start.sequence),
            range.toSequence,
            start.sequence,
            start.id,
          ];
    for (const row of statement.iterate(...values)) {
      const { id, sequence, textHashes, filters } = readRow(row, mapping);
      yield { id, sequence, content: mapping.content(textHashes, filters) };
    }
  }

  counts(): readonly CollectionStatistics[] {
    return this.#collections.list().map(({ name, generation, physicalName }) => {
      const rows = quoteName(tableNames(physicalName).rows);
      const counted = this.database.prepare(`SELECT count(*) AS n FROM ${rows}`).get();
      return { name, generation, records: numberOf(counted?.["n"]) };
    });
  }

  /**
   * Does a piece of the work of settling: purges the words of deleted records, then merges segments
   * down to what queries bear, then empties the log.
   *
   * @returns false when nothing is left to do.
   */
  settleStep(): boolean {
    for (const held of this.#collections.list()) {
      const { index } = tableNames(held.physicalName);
      if (held.removals > 0 && this.#purgeStep(held, index)) return true;
      const { segments } = readStructure(this.database, index);
      if (segments > SEGMENTS_SETTLED_MAX && mergeStep(this.database, index, false)) return true;
    }
    this.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return false;
  }

  /** Deleted words leave the index only when their segment is written anew, so all are merged to one. */
  #purgeStep(held: HeldCollection, index: string): boolean {
    if (readStructure(this.database, index).tombstones === 0) {
      this.#isPurging = false;
      this.#collections.purged(held);
      return false;
    }
    const isBeginning = !this.#isPurging;
    this.#isPurging = mergeStep(this.database, index, isBeginning);
    // Records deleted while a purge went on need another one.
    return this.#isPurging || !isBeginning;
  }

  #structure({ names }: SearchTable): ReturnType<typeof readStructure> {
    return readStructure(this.database, names.index);
  }
}

function mappingOf(collection: Collection<SearchPlacement>): SearchMapping {
  const [placement] = Object.values(collection.placements);
  if (placement === undefined) throw new StoreError("refused", "a collection needs a placement");
  return compileSearch(placement);
}

function checkTypes({ held }: SearchTable, batches: readonly RecordBatch[]): void {
  for (const { type } of batches) {
    if (type !== held.type) throw new StoreError("refused", `${held.name} holds no ${type}`);
  }
}

function keyOf({ name, generation }: Collection<unknown>): string {
  return `${generation} ${name}`;
}
