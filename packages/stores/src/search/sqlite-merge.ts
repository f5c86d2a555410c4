import type { DatabaseSync } from "node:sqlite";

import { quoteName } from "../drivers/sqlite-fragment.ts";
import { StoreError } from "../errors.ts";

/** How far an FTS5 index is from being one sorted segment. */
export interface IndexStructure {
  /** Sorted runs a query has to look into; FTS5 takes 2,000 at most. */
  readonly segments: number;
  /** Deleted rows whose words still lie in the index. */
  readonly tombstones: number;
}

// FTS5's record of its segments lies under this key (FTS5_STRUCTURE_ROWID in fts5_index.c).
const STRUCTURE_KEY = 10;
const STRUCTURE_V2 = 0xff_00_00_01;

/** Reads the structure record of an FTS5 table made with `contentless_delete`. */
export function readStructure(database: DatabaseSync, table: string): IndexStructure {
  const row = database
    .prepare(`SELECT block FROM ${quoteName(`${table}_data`)} WHERE id = ?`)
    .get(STRUCTURE_KEY);
  const block = row?.["block"];
  if (!(block instanceof Uint8Array)) {
    throw new StoreError("corrupt", "the search index has no structure record");
  }
  return decodeStructure(block);
}

/** Decodes a structure record (fts5StructureDecode in fts5_index.c). */
function decodeStructure(block: Uint8Array): IndexStructure {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const hasOrigins = block.byteLength >= 8 && view.getUint32(4) === STRUCTURE_V2;
  const read = varintReader(block, hasOrigins ? 8 : 4);
  const levels = read();
  const segments = read();
  read();
  let tombstones = 0;
  for (let level = 0; level < levels; level += 1) {
    read();
    const count = read();
    for (let segment = 0; segment < count; segment += 1) {
      const fields = Array.from({ length: hasOrigins ? 8 : 3 }, read);
      tombstones += fields[6] ?? 0;
    }
  }
  return { segments, tombstones };
}

/** Reads SQLite's variable-length integers one after another (sqlite.org/fileformat2.html#varint). */
function varintReader(block: Uint8Array, start: number): () => number {
  let at = start;
  return () => {
    let value = 0;
    for (let length = 1; ; length += 1) {
      const byte = block[at];
      if (byte === undefined)
        throw new StoreError("corrupt", "the search index's structure ends early");
      at += 1;
      if (length === 9) return value * 256 + byte;
      value = value * 128 + (byte & 0x7f);
      if (byte < 0x80) return value;
    }
  };
}

// 500 pages of 8,000 bytes are about 60 ms of work: what other calls wait for a step at most.
const STEP_PAGES = 500n;

/**
 * Merges some pages of an index's segments, in a transaction of its own.
 *
 * @param isWhole begins to merge all segments to one, instead of the fullest level only.
 * @returns false when there was nothing to merge.
 */
export function mergeStep(database: DatabaseSync, table: string, isWhole: boolean): boolean {
  const name = quoteName(table);
  const before = changeCount(database);
  database
    .prepare(`INSERT INTO ${name} (${name}, rank) VALUES ('merge', ?)`)
    .run(isWhole ? -STEP_PAGES : STEP_PAGES);
  // sqlite.org/fts5.html#the_merge_command: fewer than two changes say that no work was left.
  return changeCount(database) - before >= 2;
}

function changeCount(database: DatabaseSync): number {
  return Number(database.prepare("SELECT total_changes() AS n").get()?.["n"]);
}
