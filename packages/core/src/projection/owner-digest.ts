import { hash } from "node:crypto";

import { hashText } from "@custody/stores/content-form";
import type { RowDigest } from "@custody/stores/projected-store";

const UINT64 = 2n ** 64n;

/**
 * The odd number by which an owner's row hashes are multiplied (modulo 2^64), so that a row that was
 * moved into another owner's file changes the sums. Multiplying a sum multiplies each of its parts: the
 * sums that an engine gives for one file can be bound to its owner as they are.
 */
export function ownerFactor(owner: string): bigint {
  return hash("sha256", `owner\0${owner}`, "buffer").readBigUInt64BE() | 1n;
}

/** A row's hash, or the sum of many, bound to the owner whose file it lies in; 16 hex digits in and out. */
export function bindHash(factor: bigint, digits: string): string {
  return hashText((BigInt(`0x${digits}`) * factor) % UINT64);
}

/**
 * A row as lying in an owner's file. Rows that many records share get an id of their own for each
 * owner, as the same group can exist in every file.
 */
export function bindRow(
  factor: bigint,
  { id, sequence, hash: digits }: RowDigest,
  isShared: boolean,
): RowDigest {
  const bound = isShared ? `${hashText(factor)}/${id}` : id;
  return { id: bound, sequence, hash: bindHash(factor, digits) };
}
