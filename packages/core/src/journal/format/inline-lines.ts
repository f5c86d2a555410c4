import { createHash } from "node:crypto";

import { CoreError } from "../../errors.ts";
import type { Codec } from "../../runtime.ts";
import { aeadOpen, aeadSeal, counterNonce, deriveKey } from "./aead.ts";
import { associatedData } from "./associated-data.ts";
import type { Compression } from "./codec.ts";
import { decodeHeader, encodeHeader, HEADER_BYTES } from "./container-header.ts";
import { splitLines } from "./lines.ts";
import type { Lines } from "./lines.ts";
import { BLOCK_RAW_BYTES_MAX } from "./segment-layout.ts";

/** Where inline lines belong: they open at no other place. */
export interface InlinePlace {
  readonly tenant: string;
  readonly sequence: number;
}

/** Lines compressed, not yet bound to their place. */
export interface PackedLines {
  readonly compression: Compression;
  readonly rawBytes: number;
  readonly bytes: Uint8Array;
}

/** How inline lines are sealed. */
export interface InlineSeal {
  /** The key period, `YYYY-MM`. */
  readonly period: string;
  /** The tenant's key of that period; left out, the lines are hashed but not encrypted. */
  readonly key?: Uint8Array;
  /** 16 random bytes, never used before: a sequence is given out again when a commit fails. */
  readonly salt: Uint8Array;
}

/** Compresses the lines of a small commit; done before the sequence is known, outside any lock. */
export async function packLines(
  lines: Lines,
  compression: Compression,
  codec: Codec,
): Promise<PackedLines> {
  const { text, offsets } = lines;
  const start = offsets[0] ?? 0;
  const part = text.subarray(start, offsets[offsets.length - 1]);
  if (part.byteLength > BLOCK_RAW_BYTES_MAX)
    throw new CoreError(
      "usage",
      `more than ${BLOCK_RAW_BYTES_MAX} bytes of lines belong in a segment`,
    );
  return { compression, rawBytes: part.byteLength, bytes: await codec.compress(part) };
}

/** Seals packed lines for one entry. */
export function sealLines(packed: PackedLines, place: InlinePlace, seal: InlineSeal): Uint8Array {
  const { period, key, salt } = seal;
  const { compression, rawBytes, bytes } = packed;
  const header = encodeHeader("CUSTODYI", {
    isSealed: key !== undefined,
    compression,
    period,
    salt,
  });
  const front = Buffer.alloc(FRONT_BYTES);
  front.set(header);
  front.writeUInt32LE(rawBytes, HEADER_BYTES);
  const associated = placeBytes(place, front);
  if (key === undefined) return Buffer.concat([front, bytes, plainHash(associated, bytes)]);
  return Buffer.concat([front, aeadSeal(inlineInput(key, salt, place, associated), bytes)]);
}

/** The period whose key opens inline lines; `undefined` when they are not encrypted. */
export function inlinePeriod(sealed: Uint8Array): string | undefined {
  const header = decodeHeader("CUSTODYI", sealed);
  return header.isSealed ? header.period : undefined;
}

/**
 * Opens inline lines.
 *
 * @throws CoreError `damaged` naming the entry and what is wrong, `no-key` where one is needed.
 */
export async function openLines(
  sealed: Uint8Array,
  place: InlinePlace,
  opening: {
    readonly key?: Uint8Array;
    readonly codecs: Readonly<Partial<Record<Compression, Codec>>>;
  },
): Promise<Lines> {
  const at = `inline lines of entry ${place.sequence} of ${place.tenant}`;
  try {
    return await openNamed(sealed, place, opening);
  } catch (cause) {
    if (!(cause instanceof CoreError)) throw cause;
    throw new CoreError(cause.code, `${at}: ${cause.message}`, { cause, at });
  }
}

const FRONT_BYTES = HEADER_BYTES + 4;
const PLAIN_HASH_BYTES = 32;

async function openNamed(
  sealed: Uint8Array,
  place: InlinePlace,
  { key, codecs }: Parameters<typeof openLines>[2],
): Promise<Lines> {
  const header = decodeHeader("CUSTODYI", sealed);
  if (header.isSealed && key === undefined)
    throw new CoreError("no-key", "they are sealed and no key was given");
  if (!header.isSealed && key !== undefined)
    throw new CoreError("damaged", "they are not sealed although they should be");
  if (sealed.byteLength < FRONT_BYTES) throw new CoreError("damaged", "they are cut off");
  const front = Buffer.from(sealed.buffer, sealed.byteOffset, FRONT_BYTES);
  const rawBytes = front.readUInt32LE(HEADER_BYTES);
  if (rawBytes > BLOCK_RAW_BYTES_MAX)
    throw new CoreError("damaged", `they claim more than ${BLOCK_RAW_BYTES_MAX} bytes`);
  const associated = placeBytes(place, front);
  const body = sealed.subarray(FRONT_BYTES);
  const packed =
    key === undefined
      ? recoverPlain(associated, body)
      : aeadOpen(inlineInput(key, header.salt, place, associated), body);
  if (packed === undefined)
    throw new CoreError("damaged", "they do not open; altered, moved, or not this tenant's key");
  const codec = codecs[header.compression];
  if (codec === undefined) throw new CoreError("usage", `no codec for ${header.compression}`);
  const raw = await codec.decompress(packed, rawBytes);
  const text = new Uint8Array(new SharedArrayBuffer(raw.byteLength));
  text.set(raw);
  return splitLines(text);
}

function placeBytes({ tenant, sequence }: InlinePlace, front: Uint8Array): Uint8Array {
  return associatedData("custody inline lines v1", tenant, String(sequence), front);
}

function inlineInput(
  key: Uint8Array,
  salt: Uint8Array,
  { sequence }: InlinePlace,
  associated: Uint8Array,
): { readonly key: Uint8Array; readonly nonce: Uint8Array; readonly associated: Uint8Array } {
  const info = associatedData("custody inline v1", String(sequence));
  return { key: deriveKey(key, salt, info), nonce: counterNonce(0), associated };
}

function recoverPlain(associated: Uint8Array, body: Uint8Array): Uint8Array | undefined {
  const end = body.byteLength - PLAIN_HASH_BYTES;
  if (end < 0) return undefined;
  const bytes = body.subarray(0, end);
  return Buffer.compare(plainHash(associated, bytes), body.subarray(end)) === 0 ? bytes : undefined;
}

function plainHash(associated: Uint8Array, bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(associated).update(bytes).digest();
}
