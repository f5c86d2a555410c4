import { hash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";

import { DigestSums } from "../content-form.ts";
import type { BucketDigest } from "../projected-store.ts";
import { openSqliteFile, sqliteCall } from "./sqlite.ts";

/** The bucket of what belongs to no row. */
const BUCKET_OF_NO_ROW = -1;

/** A table of `row number, value` pairs that an index keeps beside the rows. */
export interface IndexedValues {
  /** SELECT of the row number and of any further columns, best in the table's own order. */
  readonly sql: string;
  /** The greatest row number there can be. */
  readonly last: number;
}

/** How a role's stored bytes are read. */
export interface FingerprintQueries {
  /** SELECT of the row number, the sequence and the stored columns, with `> ?` and `LIMIT ?` on the number. */
  readonly rows: string;
  readonly values: readonly IndexedValues[];
  /** SELECTs of what is of no one row. */
  readonly others: readonly string[];
}

// Rows read before other calls of the thread get their turn: some 10 ms of work.
const ROWS_A_TURN = 2_000;
const SCRATCH_BYTES = 64 * 1024;

/** Sums over stored bytes, in one snapshot on a connection of its own, letting other calls in between. */
export async function fingerprintSqlite(
  path: string,
  doing: string,
  { bucketSize, queries }: FingerprintRequest,
): Promise<readonly BucketDigest[]> {
  const reader = openSqliteFile({ path, durability: "projection", cacheKib: 2_048 });
  try {
    sqliteCall(doing, () => reader.exec("BEGIN"));
    const asked = sqliteCall(doing, () => queries(reader));
    const print = new Fingerprint(bucketSize);
    const statement = sqliteCall(doing, () => reader.prepare(asked.rows));
    statement.setReturnArrays(true);
    statement.setReadBigInts(true);
    const beside: Uint32Array[] = [];
    for (const values of asked.values) {
      beside.push(sqliteCall(doing, () => sumValues(reader, values)));
      await setImmediate();
    }
    for (let after = 0n; ;) {
      const rows = sqliteCall(doing, () => rowsOf(statement.all(after, ROWS_A_TURN)));
      for (const row of rows) print.row(row, beside);
      const last = rows.at(-1)?.[0];
      if (typeof last !== "bigint") break;
      after = last;
      await setImmediate();
    }
    for (const sql of asked.others) {
      await setImmediate();
      sqliteCall(doing, () => print.others(reader, sql));
    }
    return print.digests();
  } finally {
    reader.close();
  }
}

/** What is to be read; asked of the snapshot, as tables are found in it. */
export interface FingerprintRequest {
  readonly bucketSize: number;
  readonly queries: (reader: DatabaseSync) => FingerprintQueries;
}

class Fingerprint {
  readonly #sums: DigestSums;
  readonly #bucketSize: number;
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  constructor(bucketSize: number) {
    this.#bucketSize = bucketSize;
    this.#sums = new DigestSums(bucketSize);
  }

  row(row: readonly SQLOutputValue[], beside: readonly Uint32Array[]): void {
    const [number, sequence] = row;
    const place = Number(number);
    const values = beside.map((sums) => sums[place] ?? 0);
    this.#sums.add(Number(sequence), this.#hash(row, values));
  }

  others(reader: DatabaseSync, sql: string): void {
    const statement = reader.prepare(sql);
    statement.setReturnArrays(true);
    statement.setReadBigInts(true);
    for (const row of rowsOf(statement.iterate()))
      this.#sums.add(BUCKET_OF_NO_ROW * this.#bucketSize, this.#hash(row, []));
  }

  digests(): readonly BucketDigest[] {
    return this.#sums.digests();
  }

  /** First 64 bits of SHA-256 over all cells, each with its type and length before it. */
  #hash(row: readonly SQLOutputValue[], values: readonly number[]): bigint {
    let at = 0;
    for (const cell of row) at = this.#write(cell, at);
    for (const value of values) at = this.#write(value, at);
    return hash("sha256", this.#scratch.subarray(0, at), "buffer").readBigUInt64BE();
  }

  #write(cell: SQLOutputValue, at: number): number {
    if (cell instanceof Uint8Array) {
      this.#reserve(at, cell.byteLength + HEAD_BYTES);
      this.#scratch.set(cell, at + HEAD_BYTES);
      return this.#head(at, BLOB_TAG, cell.byteLength);
    }
    const tag = cell === null ? 0 : typeof cell === "bigint" ? 1 : typeof cell === "number" ? 2 : 3;
    const text = String(cell);
    this.#reserve(at, text.length * UTF8_BYTES_MAX + HEAD_BYTES);
    const length = this.#scratch.write(text, at + HEAD_BYTES, "utf8");
    return this.#head(at, tag, length);
  }

  #head(at: number, tag: number, length: number): number {
    this.#scratch.writeUInt8(tag, at);
    this.#scratch.writeUInt32LE(length, at + 1);
    return at + HEAD_BYTES + length;
  }

  #reserve(at: number, bytes: number): void {
    if (at + bytes <= this.#scratch.byteLength) return;
    const wider = Buffer.allocUnsafeSlow((at + bytes) * 2);
    wider.set(this.#scratch.subarray(0, at));
    this.#scratch = wider;
  }
}

const HEAD_BYTES = 5;
const UTF8_BYTES_MAX = 3;
const BLOB_TAG = 4;

/** For each row number the sum of its values' hashes: four bytes a row are held. */
function sumValues(reader: DatabaseSync, { sql, last }: IndexedValues): Uint32Array {
  const sums = new Uint32Array(last + 1);
  const statement = reader.prepare(sql);
  statement.setReturnArrays(true);
  statement.setReadBigInts(true);
  let known = "";
  let hashed = 0;
  for (const [number, ...value] of rowsOf(statement.iterate())) {
    const text = value.map((part) => `${typeof part} ${textOf(part)}`).join("\0");
    // Values come in order, so the same one comes many times.
    if (text !== known) hashed = hash("sha256", text, "buffer").readUInt32BE();
    known = text;
    const place = Number(number);
    if (place >= 0 && place <= last) sums[place] = ((sums[place] ?? 0) + hashed) >>> 0;
  }
  return sums;
}

function textOf(part: SQLOutputValue): string {
  return part instanceof Uint8Array ? Buffer.from(part).toString("hex") : String(part);
}

/** Rows as arrays, as `setReturnArrays` has them; the types know objects alone. */
function rowsOf<Rows>(
  rows: Rows,
): Rows extends unknown[] ? SQLOutputValue[][] : Iterable<SQLOutputValue[]> {
  return rows as never;
}
