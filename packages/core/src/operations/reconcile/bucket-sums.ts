import { addHash, hashText } from "@custody/stores/content-form";
import type { BucketDigest } from "@custody/stores/projected-store";

const UINT64 = 2n ** 64n;
/** So many buckets are told apart at most: enough to lead to few rows, few enough to be remembered. */
const BUCKETS_MAX = 4_096;

/** The bucket size for a journal of so many entries: a power of two, so that buckets can be joined later. */
export function bucketSizeFor(entries: number): number {
  let size = 1;
  while (entries / size >= BUCKETS_MAX) size *= 2;
  return size;
}

interface Sum {
  count: number;
  sum: bigint;
}

/** BucketSums: digests of rows by bucket, from which rows can be taken back. */
export class BucketSums {
  #bucketSize: number;
  #sums = new Map<number, Sum>();

  constructor(bucketSize: number, digests: readonly BucketDigest[] = []) {
    this.#bucketSize = bucketSize;
    for (const { bucket, count, sum } of digests)
      this.#sums.set(bucket, { count, sum: BigInt(`0x${sum}`) });
  }

  get bucketSize(): number {
    return this.#bucketSize;
  }

  add(sequence: number, hash: bigint): void {
    this.#change(Math.floor(sequence / this.#bucketSize), 1, hash);
  }

  takeBack(sequence: number, hash: bigint): void {
    this.#change(Math.floor(sequence / this.#bucketSize), -1, UINT64 - hash);
  }

  /** Joins neighbouring buckets until each holds so many sequences. */
  widen(bucketSize: number): void {
    while (this.#bucketSize < bucketSize) {
      const narrow = this.#sums;
      this.#sums = new Map();
      this.#bucketSize *= 2;
      for (const [bucket, { count, sum }] of narrow)
        this.#change(Math.floor(bucket / 2), count, sum);
    }
  }

  /** In ascending order of bucket; without those that are empty. */
  digests(): readonly BucketDigest[] {
    return [...this.#sums]
      .filter(([, { count, sum }]) => count !== 0 || sum !== 0n)
      .sort(([left], [right]) => left - right)
      .map(([bucket, { count, sum }]) => ({ bucket, count, sum: hashText(sum) }));
  }

  #change(bucket: number, count: number, hash: bigint): void {
    const known = this.#sums.get(bucket);
    if (known === undefined) this.#sums.set(bucket, { count, sum: hash % UINT64 });
    else {
      known.count += count;
      known.sum = addHash(known.sum, hash);
    }
  }
}

/** The numbers of the buckets of which either side has other rows, ascending. */
export function differingBuckets(
  expected: readonly BucketDigest[],
  actual: readonly BucketDigest[],
): readonly number[] {
  const known = new Map(expected.map((digest) => [digest.bucket, digest]));
  const differing: number[] = [];
  for (const { bucket, count, sum } of actual) {
    const wanted = known.get(bucket);
    known.delete(bucket);
    if (wanted?.count !== count || wanted.sum !== sum) differing.push(bucket);
  }
  return [...differing, ...known.keys()].sort((left, right) => left - right);
}
