import { hash } from "node:crypto";

/**
 * The content form of a row: the text over which reconciliation hashes. The journal side makes it
 * from the record and the placement, the store side from what it really holds.
 */
export interface ContentRow {
  readonly id: string;
  /** Canonical JSON of what the role keeps of the record. */
  readonly content: string;
}

const UINT64 = 2n ** 64n;

/** First 64 bits of SHA-256 over id, sequence and content. */
export function rowHash(id: string, sequence: number, content: string): bigint {
  return hash("sha256", `${id}\0${sequence}\0${content}`, "buffer").readBigUInt64BE();
}

/** 16 lower-case hex digits. */
export function hashText(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

/** Adds modulo 2^64. */
export function addHash(sum: bigint, value: bigint): bigint {
  return (sum + value) % UINT64;
}

/** Collects rows into bucket digests. */
export class DigestSums {
  readonly #bucketSize: number;
  readonly #sums = new Map<number, { count: number; sum: bigint }>();

  constructor(bucketSize: number) {
    this.#bucketSize = bucketSize;
  }

  /** Adds the value of one row, or of several together. */
  add(sequence: number, value: bigint, rows: number = 1): void {
    const bucket = Math.floor(sequence / this.#bucketSize);
    const sums = this.#sums.get(bucket);
    if (sums === undefined) this.#sums.set(bucket, { count: rows, sum: value });
    else {
      sums.count += rows;
      sums.sum = addHash(sums.sum, value);
    }
  }

  /** In ascending order of bucket. */
  digests(): { readonly bucket: number; readonly count: number; readonly sum: string }[] {
    return [...this.#sums]
      .sort(([left], [right]) => left - right)
      .map(([bucket, { count, sum }]) => ({ bucket, count, sum: hashText(sum) }));
  }
}
