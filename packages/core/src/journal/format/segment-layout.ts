import { createHash, hash } from "node:crypto";

import { canonicalJson } from "@custody/contract/json";

import { CoreError } from "../../errors.ts";
import { aeadOpen, aeadSeal, counterNonce, deriveKey } from "./aead.ts";
import { associatedData } from "./associated-data.ts";
import { Members, parseCanonical } from "./canonical-object.ts";
import { HEADER_BYTES } from "./container-header.ts";
import type { ContainerHeader } from "./container-header.ts";
import { LINE_BYTES_MAX } from "./line.ts";

/** Raw bytes at which a block is closed; a longer line gets a block of its own. */
export const BLOCK_BYTES: number = 256 * 1024;

/** Lines of a segment at most: its writer holds all their ids to sort them. */
export const SEGMENT_LINES_MAX: number = 262_144;

/** Raw bytes of a block at most: one line of the greatest length, with its line feed. */
export const BLOCK_RAW_BYTES_MAX: number = LINE_BYTES_MAX + 1;

/** Raw bytes of a footer at most. */
const FOOTER_RAW_BYTES_MAX: number = 64 * 1024 * 1024;

/** Bytes of the trailer. */
export const TRAILER_BYTES = 60;

const TRAILER_MAGIC = "CUSTODYE";
const TRAILER_NUMBERS_BYTES = 20;
const TRAILER_MAGIC_AT = TRAILER_NUMBERS_BYTES + 32;

/** A run of bytes in a segment's file, and how long it is when decompressed. */
export interface StoredRun {
  readonly offset: number;
  readonly storedBytes: number;
  readonly rawBytes: number;
  /** SHA-256 of the stored bytes, lower-case hex; only in segments that are not sealed. */
  readonly sha256?: string;
}

/** A block of lines, as the footer lists it. */
export interface LineBlock extends StoredRun {
  readonly firstLine: number;
  readonly lines: number;
  /** Earliest and latest observed instant of its lines, epoch milliseconds; null where none has one. */
  readonly observedFrom: number | null;
  readonly observedTo: number | null;
}

/** A block of ids with their line numbers, as the footer lists it. */
export interface IdBlock extends StoredRun {
  readonly ids: number;
  readonly firstId: string;
}

/** A segment's table of contents. */
export interface SegmentFooter {
  readonly tenant: string;
  readonly segmentId: string;
  readonly lines: number;
  readonly rawBytes: number;
  readonly blocks: readonly LineBlock[];
  readonly idBlocks: readonly IdBlock[];
}

/** What a block holds; part of what it is sealed with, so that none passes for another. */
export type BlockKind = "lines" | "ids" | "footer";

const KIND_CODES: Readonly<Record<BlockKind, number>> = { lines: 0, ids: 1, footer: 2 };

/** Seals or hashes the blocks of one segment. */
export interface BlockProtection {
  readonly isSealed: boolean;
  protect(number: number, kind: BlockKind, bytes: Uint8Array): Uint8Array;
  /** The bytes as they were protected; `undefined` when they are not those of this block. */
  recover(number: number, kind: BlockKind, bytes: Uint8Array): Uint8Array | undefined;
}

/**
 * Binds blocks to a segment.
 *
 * @param key the tenant's key of the header's period; without it blocks stay as they are.
 */
export function blockProtection(
  name: { readonly tenant: string; readonly segmentId: string },
  header: ContainerHeader,
  headerBytes: Uint8Array,
  key: Uint8Array | undefined,
): BlockProtection {
  if (key === undefined)
    return {
      isSealed: false,
      protect: (_n, _k, bytes) => bytes,
      recover: (_n, _k, bytes) => bytes,
    };
  const { tenant, segmentId } = name;
  const segmentKey = deriveKey(key, header.salt, associatedData("custody segment v1", segmentId));
  const input = (number: number, kind: BlockKind) => {
    const place = Buffer.alloc(9);
    place.writeUIntLE(number, 0, 6);
    place.writeUInt8(KIND_CODES[kind], 8);
    return {
      key: segmentKey,
      nonce: counterNonce(number),
      associated: associatedData("custody segment block v1", tenant, segmentId, headerBytes, place),
    };
  };
  return {
    isSealed: true,
    protect: (number, kind, bytes) => aeadSeal(input(number, kind), bytes),
    recover: (number, kind, bytes) => aeadOpen(input(number, kind), bytes),
  };
}

/** SHA-256 as lower-case hex. */
export function sha256Hex(bytes: Uint8Array): string {
  return hash("sha256", bytes, "hex");
}

/** The footer's raw bytes: canonical JSON with one array for each block. */
export function encodeFooter(footer: SegmentFooter): Uint8Array {
  const { tenant, segmentId: segment, lines, rawBytes } = footer;
  const blocks = footer.blocks.map((block) => [
    ...runNumbers(block),
    block.firstLine,
    block.lines,
    block.observedFrom,
    block.observedTo,
    ...runHash(block),
  ]);
  const ids = footer.idBlocks.map((block) => [
    ...runNumbers(block),
    block.ids,
    block.firstId,
    ...runHash(block),
  ]);
  return Buffer.from(canonicalJson({ tenant, segment, lines, rawBytes, blocks, ids }));
}

function runNumbers({ offset, storedBytes, rawBytes }: StoredRun): readonly number[] {
  return [offset, storedBytes, rawBytes];
}

function runHash({ sha256 }: StoredRun): readonly string[] {
  return sha256 === undefined ? [] : [sha256];
}

/**
 * Reads a footer's raw bytes; that its numbers fit the file is checked by {@link checkFooter}.
 *
 * @throws CoreError `damaged`.
 */
export function decodeFooter(bytes: Uint8Array): SegmentFooter {
  const members = new Members(parseCanonical(bytes, "the footer"), "the footer");
  members.allow(["tenant", "segment", "lines", "rawBytes", "blocks", "ids"]);
  return {
    tenant: members.text("tenant"),
    segmentId: members.text("segment"),
    lines: members.whole("lines", 0),
    rawBytes: members.whole("rawBytes", 0),
    blocks: rows(members.get("blocks")).map(decodeLineBlock),
    idBlocks: rows(members.get("ids")).map(decodeIdBlock),
  };
}

function rows(value: unknown): readonly (readonly unknown[])[] {
  if (Array.isArray(value) && value.every((row) => Array.isArray(row))) return value;
  throw new CoreError("damaged", "the footer's tables are not arrays of arrays");
}

function decodeLineBlock(row: readonly unknown[]): LineBlock {
  const [offset, storedBytes, rawBytes, firstLine, lines, from, to, sha256] = row;
  return {
    ...decodeRun([offset, storedBytes, rawBytes, sha256]),
    firstLine: count(firstLine),
    lines: count(lines),
    observedFrom: from === null ? null : instant(from),
    observedTo: to === null ? null : instant(to),
  };
}

function decodeIdBlock(row: readonly unknown[]): IdBlock {
  const [offset, storedBytes, rawBytes, ids, firstId, sha256] = row;
  if (typeof firstId !== "string") throw new CoreError("damaged", "the footer lacks a first id");
  return { ...decodeRun([offset, storedBytes, rawBytes, sha256]), ids: count(ids), firstId };
}

function decodeRun([offset, storedBytes, rawBytes, sha256]: readonly unknown[]): StoredRun {
  const run = {
    offset: count(offset),
    storedBytes: count(storedBytes),
    rawBytes: count(rawBytes),
  };
  return typeof sha256 === "string" ? { ...run, sha256 } : run;
}

function count(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new CoreError("damaged", "the footer holds something else where a count should be");
}

function instant(value: unknown): number {
  if (typeof value === "number") return value;
  throw new CoreError("damaged", "the footer holds something else where an instant should be");
}

/**
 * Checks that the footer describes every byte between header and footer, once.
 *
 * @throws CoreError `damaged` naming the block.
 */
export function checkFooter(
  footer: SegmentFooter,
  { footerOffset, footerNumber }: SegmentTrailer,
  isSealed: boolean,
): void {
  if (footer.blocks.length + footer.idBlocks.length !== footerNumber)
    throw new CoreError("damaged", `footer: it is not block ${footerNumber}`);
  let [offset, line, rawBytes] = [HEADER_BYTES, 0, 0];
  for (const [number, run] of [...footer.blocks, ...footer.idBlocks].entries()) {
    const refuse = (reason: string): CoreError =>
      new CoreError("damaged", `footer: block ${number} ${reason}`);
    if (run.offset !== offset) throw refuse(`begins at ${run.offset}, not at ${offset}`);
    if (run.rawBytes > BLOCK_RAW_BYTES_MAX || run.rawBytes === 0)
      throw refuse(`has ${run.rawBytes} raw bytes; 1 to ${BLOCK_RAW_BYTES_MAX} are allowed`);
    if ((run.sha256 === undefined) !== isSealed)
      throw refuse("is not protected as its header says");
    offset += run.storedBytes;
    if (!("firstLine" in run)) continue;
    if (run.firstLine !== line || run.lines === 0)
      throw refuse(`begins with line ${run.firstLine}, not with ${line}`);
    line += run.lines;
    rawBytes += run.rawBytes;
  }
  const ids = footer.idBlocks.reduce((sum, block) => sum + block.ids, 0);
  if (offset !== footerOffset || line !== footer.lines || rawBytes !== footer.rawBytes)
    throw new CoreError("damaged", "footer: its blocks do not add up to its totals");
  if (ids !== footer.lines) throw new CoreError("damaged", "footer: it lists fewer ids than lines");
}

/** Where the footer lies and how long it is. */
export interface SegmentTrailer {
  readonly footerOffset: number;
  readonly footerStoredBytes: number;
  readonly footerRawBytes: number;
  /** The footer's block number: how many blocks there are before it. */
  readonly footerNumber: number;
}

/** The last bytes of a segment: four numbers, a hash over header, footer and numbers, the magic. */
export function encodeTrailer(
  trailer: SegmentTrailer,
  header: Uint8Array,
  storedFooter: Uint8Array,
): Uint8Array {
  const bytes = Buffer.alloc(TRAILER_BYTES);
  bytes.writeBigUInt64LE(BigInt(trailer.footerOffset), 0);
  bytes.writeUInt32LE(trailer.footerStoredBytes, 8);
  bytes.writeUInt32LE(trailer.footerRawBytes, 12);
  bytes.writeUInt32LE(trailer.footerNumber, 16);
  bytes.set(endsHash(header, storedFooter, bytes), TRAILER_NUMBERS_BYTES);
  bytes.write(TRAILER_MAGIC, TRAILER_MAGIC_AT, "latin1");
  return bytes;
}

function endsHash(header: Uint8Array, storedFooter: Uint8Array, trailer: Uint8Array): Uint8Array {
  const sha256 = createHash("sha256").update(header).update(storedFooter);
  return sha256.update(trailer.subarray(0, TRAILER_NUMBERS_BYTES)).digest();
}

/**
 * Reads a trailer; its hash is checked by {@link checkEnds} once the footer's bytes are there.
 *
 * @throws CoreError `damaged` when the file cannot be this long or is no segment.
 */
export function decodeTrailer(bytes: Uint8Array, fileBytes: number): SegmentTrailer {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (
    view.byteLength !== TRAILER_BYTES ||
    view.toString("latin1", TRAILER_MAGIC_AT) !== TRAILER_MAGIC
  )
    throw new CoreError(
      "damaged",
      `trailer: it does not end with ${TRAILER_MAGIC}; is it cut off?`,
    );
  const offset = view.readBigUInt64LE(0);
  const footerStoredBytes = view.readUInt32LE(8);
  const footerRawBytes = view.readUInt32LE(12);
  const footerNumber = view.readUInt32LE(16);
  const expected = fileBytes - TRAILER_BYTES - footerStoredBytes;
  if (offset !== BigInt(expected) || expected < HEADER_BYTES)
    throw new CoreError(
      "damaged",
      `trailer: the footer cannot lie at ${offset} in ${fileBytes} bytes`,
    );
  if (footerRawBytes > FOOTER_RAW_BYTES_MAX)
    throw new CoreError(
      "damaged",
      `trailer: the footer has more than ${FOOTER_RAW_BYTES_MAX} bytes`,
    );
  return { footerOffset: expected, footerStoredBytes, footerRawBytes, footerNumber };
}

/** @throws CoreError `damaged` when header, stored footer and trailer are not those written together. */
export function checkEnds(header: Uint8Array, storedFooter: Uint8Array, trailer: Uint8Array): void {
  const expected = endsHash(header, storedFooter, trailer);
  if (Buffer.compare(expected, trailer.subarray(TRAILER_NUMBERS_BYTES, TRAILER_MAGIC_AT)) !== 0)
    throw new CoreError("damaged", "header, footer or trailer was altered: their hash differs");
}
