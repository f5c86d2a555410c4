import type { IdPosition } from "@custody/stores/relational/journal";

import { CoreError } from "../errors.ts";
import type { CompiledType } from "../records/compiled-type.ts";
import type { PreparedRecord } from "../records/prepare-record.ts";
import { ERASED_CONTENT } from "./content-hash.ts";
import type { Rejection } from "./commit-request.ts";

/** A prepared record with its keyed content hash and its place in the request. */
export interface HashedRecord extends Omit<PreparedRecord, "text"> {
  /** UTF-8 of the JSON text of the fields. */
  readonly bytes: Uint8Array;
  readonly contentHash: Uint8Array;
  readonly place: string | undefined;
  readonly index: number;
}

export interface SortOptions {
  readonly onBad: "refuse" | "reject";
  readonly isCorrection: boolean;
  /** Version each id must have, where the caller cares. */
  readonly ifVersion: Readonly<Record<string, number>> | undefined;
}

/** What is to be written of a part, and what not. */
export interface SortedRecords {
  /** Each wave becomes an entry: an id that comes with several contents gets a version for each. */
  readonly waves: readonly (readonly HashedRecord[])[];
  readonly duplicates: number;
  readonly rejections: readonly Rejection[];
}

/**
 * Decides for each record whether it is new, the same again, a new version, or not to be had.
 *
 * @param positions where each record's id lies now, in the records' order.
 * @throws CoreError `conflict` for the first record that is not acceptable, when `onBad` is `refuse`.
 */
export function sortRecords(
  type: CompiledType,
  records: readonly HashedRecord[],
  positions: readonly (IdPosition | undefined)[],
  options: SortOptions,
): SortedRecords {
  const waves: HashedRecord[][] = [];
  const rejections: Rejection[] = [];
  const seen = new Map<string, { hash: Uint8Array; wave: number }>();
  const isAppendOnly = type.declaration.mode === "append";
  let duplicates = 0;
  for (const [order, record] of records.entries()) {
    const position = positions[order];
    checkVersion(type, record, position, options.ifVersion);
    const before = seen.get(record.id);
    const known = before?.hash ?? liveHash(position);
    const isErased =
      known !== undefined &&
      isAppendOnly &&
      !options.isCorrection &&
      equalBytes(known, ERASED_CONTENT);
    if (isErased || (known !== undefined && equalBytes(known, record.contentHash))) {
      duplicates += 1;
      continue;
    }
    if (known !== undefined && isAppendOnly && !options.isCorrection) {
      rejections.push(changedAppendOnly(type, record, options.onBad));
      continue;
    }
    const wave = before === undefined ? 0 : before.wave + 1;
    (waves[wave] ??= []).push(record);
    seen.set(record.id, { hash: record.contentHash, wave });
  }
  return { waves, duplicates, rejections };
}

function liveHash(position: IdPosition | undefined): Uint8Array | undefined {
  return position === undefined || position.isDeleted ? undefined : position.contentHash;
}

function checkVersion(
  type: CompiledType,
  record: HashedRecord,
  position: IdPosition | undefined,
  ifVersion: Readonly<Record<string, number>> | undefined,
): void {
  if (ifVersion === undefined || !Object.hasOwn(ifVersion, record.id)) return;
  requireVersion(type, record.id, position, ifVersion[record.id] ?? 0);
}

/** @throws CoreError `conflict` when the record's version is not the expected one (0: absent). */
export function requireVersion(
  type: CompiledType,
  id: string,
  position: IdPosition | undefined,
  expected: number,
): void {
  const actual = position === undefined || position.isDeleted ? 0 : position.sequence;
  if (actual === expected) return;
  const now = actual === 0 ? "does not exist" : `is at version ${actual}`;
  throw new CoreError(
    "conflict",
    `${type.name} ${id} ${now}, not at version ${expected}; read it again and repeat the change`,
    { at: `${type.name} ${id}` },
  );
}

function changedAppendOnly(
  type: CompiledType,
  record: HashedRecord,
  onBad: "refuse" | "reject",
): Rejection {
  const reason = `${type.name} ${record.id} exists with other content, and records of this type never change`;
  if (onBad === "refuse")
    throw new CoreError("conflict", reason, { at: `${type.name} ${record.id}` });
  const { id, place, index } = record;
  return { type: type.name, id, reason, index, ...(place === undefined ? {} : { place }) };
}

function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
