import { expect, test } from "vitest";

import { BucketSums, bucketSizeFor, differingBuckets } from "./bucket-sums.ts";

test("there are never more than 4,096 buckets", () => {
  expect([0, 4_095, 4_096, 8_191, 8_192, 1_000_000].map(bucketSizeFor)).toEqual([
    1, 1, 2, 2, 4, 256,
  ]);
});

test("a row taken back leaves the sums as they were before it", () => {
  const sums = new BucketSums(2);
  sums.add(2, 5n);
  sums.add(3, 2n ** 64n - 1n);
  sums.add(4, 7n);
  sums.takeBack(4, 7n);
  expect(sums.digests()).toEqual([{ bucket: 1, count: 2, sum: "0000000000000004" }]);
});

test("widened buckets hold what their halves held", () => {
  const sums = new BucketSums(1, [
    { bucket: 4, count: 1, sum: "ffffffffffffffff" },
    { bucket: 5, count: 2, sum: "0000000000000003" },
    { bucket: 8, count: 1, sum: "0000000000000001" },
  ]);
  sums.widen(4);
  expect(sums.digests()).toEqual([
    { bucket: 1, count: 3, sum: "0000000000000002" },
    { bucket: 2, count: 1, sum: "0000000000000001" },
  ]);
});

test("buckets differ by count, by sum and by being on one side alone", () => {
  const bucket = (number: number, count: number, sum: string) => ({ bucket: number, count, sum });
  const expected = [bucket(1, 1, "0a"), bucket(2, 1, "0b"), bucket(3, 1, "0c"), bucket(5, 1, "0d")];
  const actual = [bucket(1, 1, "0a"), bucket(2, 1, "ff"), bucket(3, 2, "0c"), bucket(4, 1, "0e")];
  expect(differingBuckets(expected, actual)).toEqual([2, 3, 4, 5]);
});
