import { createHash, hash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";

import { DigestSums } from "../content-form.ts";
import type { BucketDigest } from "../projected-store.ts";
import { RowBlocks } from "./sqlite-row-blocks.ts";
import type { RowBlock, StoredRows } from "./sqlite-row-blocks.ts";
import { selectArrays } from "./sqlite-arrays.ts";
import { openSqliteFile, sqliteCall } from "./sqlite.ts";
import { ValueSums } from "./sqlite-value-sums.ts";
import type { IndexedValues } from "./sqlite-value-sums.ts";

/** The bucket of what belongs to no row. */
const BUCKET_OF_NO_ROW = -1;

/** How a role's stored bytes are read, and for buckets of which size. */
export interface FingerprintRequest {
  readonly bucketSize: number;
  readonly rows: readonly StoredRows[];
  /** What indexes hold of the rows of the first table. */
  readonly values: readonly IndexedValues[];
  /** SELECTs of what is of no one row. */
  readonly others: readonly string[];
}

// Blocks of rows, and rows of no block, read before other calls of the thread get their turn: some 10 ms of work.
const BLOCKS_A_TURN = 64;
const ROWS_A_TURN = 1_000;

/**
 * Sums over stored bytes, in one snapshot on a connection of its own, letting other calls in between.
 *
 * Rows are hashed by blocks of neighbours, which SQLite joins: bringing each row out by itself cost as much as its
 * hash (5 against 10 µs a document of 3 KB, bench/reconcile-run.ts). A block's hash counts in the bucket of
 * each of its rows, so what changes in one row changes the sums of its neighbours' buckets too.
 */
export async function fingerprintSqlite(
  path: string,
  doing: string,
  { bucketSize, rows, values, others }: FingerprintRequest,
): Promise<readonly BucketDigest[]> {
  const reader = openSqliteFile({ path, durability: "projection", cacheKib: 2_048 });
  try {
    sqliteCall(doing, () => reader.exec("BEGIN"));
    const print = new Fingerprint(bucketSize);
    const beside: ValueSums[] = [];
    for (const indexed of values) {
      const sums = sqliteCall(doing, () => new ValueSums(reader, indexed));
      while (sqliteCall(doing, () => sums.readTurn())) await setImmediate();
      beside.push(sums);
    }
    for (const [index, stored] of rows.entries()) {
      const blocks = sqliteCall(doing, () => new RowBlocks(reader, stored));
      const sums = index === 0 ? beside : [];
      const turn = (): boolean => print.blocks(blocks, sums);
      while (sqliteCall(doing, turn)) await setImmediate();
    }
    for (const sql of others) {
      const table = sqliteCall(doing, () => new TableHash(reader, sql));
      while (sqliteCall(doing, () => table.readTurn())) await setImmediate();
      print.others(table);
    }
    return print.digests();
  } finally {
    reader.close();
  }
}

class Fingerprint {
  readonly #sums: DigestSums;
  readonly #bucketSize: number;

  constructor(bucketSize: number) {
    this.#bucketSize = bucketSize;
    this.#sums = new DigestSums(bucketSize);
  }

  /** Takes some blocks; false after the last. */
  blocks(blocks: RowBlocks, beside: readonly ValueSums[]): boolean {
    for (let taken = 0; taken < BLOCKS_A_TURN; taken += 1) {
      const block = blocks.next();
      if (block === undefined) return false;
      this.#block(block, beside);
    }
    return true;
  }

  others(table: TableHash): void {
    if (table.rows === 0) return;
    this.#sums.add(BUCKET_OF_NO_ROW * this.#bucketSize, table.print(), table.rows);
  }

  digests(): readonly BucketDigest[] {
    return this.#sums.digests();
  }

  #block({ from, to, sequences, bytes }: RowBlock, beside: readonly ValueSums[]): void {
    const print = hashOf([...bytes, ...beside.map((sums) => sums.between(from, to))]);
    for (const { sequence, rows } of sequences) {
      // For each sequence and not for each bucket, so that sums of narrow buckets add up to those of wide ones.
      this.#sums.add(sequence, print, rows);
    }
  }
}

/** First 64 bits of SHA-256 over the hash of each part, so that bytes cannot move from one to the next. */
function hashOf(parts: readonly Uint8Array[]): bigint {
  const hashes = parts.map((part) => hash("sha256", part, "buffer"));
  return hash("sha256", Buffer.concat(hashes), "buffer").readBigUInt64BE();
}

/** TableHash: one hash over all cells of a SELECT, in its order. */
class TableHash {
  readonly #hash = createHash("sha256");
  readonly #found: Iterator<readonly SQLOutputValue[], null>;
  rows = 0;

  constructor(reader: DatabaseSync, sql: string) {
    this.#found = selectArrays(reader, sql).iterate();
  }

  /** Reads some rows; false after the last. */
  readTurn(): boolean {
    for (let read = 0; read < ROWS_A_TURN; read += 1) {
      const row = this.#found.next().value;
      if (row === null) return false;
      this.#add(row);
      this.rows += 1;
    }
    return true;
  }

  print(): bigint {
    return this.#hash.digest().readBigUInt64BE();
  }

  /** A cell's type and length go before it, so that bytes cannot move from one to the next. */
  #add(row: readonly SQLOutputValue[]): void {
    let text = "";
    for (const cell of row) {
      const isBytes = cell instanceof Uint8Array;
      const bytes = isBytes ? cell.byteLength : Buffer.byteLength(String(cell));
      text += `${cell === null ? "null" : typeof cell} ${bytes} `;
      if (!isBytes) {
        text += String(cell);
        continue;
      }
      this.#hash.update(text).update(cell);
      text = "";
    }
    if (text !== "") this.#hash.update(text);
  }
}
