import { parseJson, stringifyJson } from "@custody/contract/json";

import { DigestSums, hashText, rowHash } from "./content-form.ts";
import { StoreError } from "./errors.ts";
import type { BucketDigest, Page, RowDigest } from "./projected-store.ts";

/** A stored row with the content form of what is really stored. */
export interface StoredContent {
  readonly id: string;
  readonly sequence: number;
  readonly content: string;
}

/** The rows a page lists. */
export interface RowRange {
  readonly fromSequence: number;
  readonly toSequence: number;
  readonly limit: number;
  readonly cursor?: string;
}

/** Where a page of rows begins: after this sequence and id. */
export interface RowPosition {
  readonly sequence: number;
  readonly id: string;
}

/** Rows a page lists at most; more are asked for with the cursor. */
const ROWS_LISTED_MAX = 10_000;

/** Digests rows by bucket, one at a time. */
export function digestRows(
  rows: Iterable<StoredContent>,
  bucketSize: number,
): readonly BucketDigest[] {
  const sums = new DigestSums(bucketSize);
  for (const { id, sequence, content } of rows) sums.add(sequence, rowHash(id, sequence, content));
  return sums.digests();
}

/** Makes a page out of rows in order, of which there may be more than asked for. */
export function pageOfRows(rows: Iterable<StoredContent>, limit: number): Page<RowDigest> {
  const page: RowDigest[] = [];
  for (const { id, sequence, content } of rows) {
    const last = page.at(-1);
    if (page.length === Math.min(limit, ROWS_LISTED_MAX) && last !== undefined) {
      return { rows: page, cursor: writePosition(last) };
    }
    page.push({ id, sequence, hash: hashText(rowHash(id, sequence, content)) });
  }
  return { rows: page };
}

/** Where a range begins; its cursor, if any, is checked. @throws StoreError `refused`, `limit`. */
export function rangeStart({ fromSequence, limit, cursor }: RowRange): RowPosition {
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new StoreError("limit", "a page of rows holds 1 or more");
  }
  // No id is empty, so this lies before every row of its sequence.
  return cursor === undefined ? { sequence: fromSequence, id: "" } : readPosition(cursor);
}

function writePosition({ sequence, id }: RowPosition): string {
  return cursorOf([sequence, id]);
}

function readPosition(cursor: string): RowPosition {
  const [sequence, id] = cursorParts(cursor);
  if (typeof sequence === "number" && typeof id === "string") return { sequence, id };
  throw new StoreError("refused", "this is no cursor of a list of rows");
}

/** Writes values into a cursor. */
export function cursorOf(parts: readonly unknown[]): string {
  return Buffer.from(stringifyJson(parts)).toString("base64url");
}

/** The values a cursor carries, none when it is no cursor. */
export function cursorParts(cursor: string): readonly unknown[] {
  try {
    const parts = parseJson(Buffer.from(cursor, "base64url").toString("utf8"));
    return Array.isArray(parts) ? parts : [];
  } catch {
    return [];
  }
}
