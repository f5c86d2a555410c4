import { CoreError } from "../errors.ts";
import {
  aeadOpen,
  aeadSeal,
  deriveKey,
  NONCE_BYTES,
  SALT_BYTES,
  TAG_BYTES,
} from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";
import { HEADER_BYTES } from "../journal/format/container-header.ts";

/** Plain bytes in a chunk of a sealed stream; the last one may be shorter. */
export const CHUNK_BYTES: number = 128 * 1024;

/** What a stream is: an original file, or an object of a backup. One never opens as the other. */
export type SealedKind = "original" | "backup object";

/** Where a stream belongs to; it opens at no other place. */
export interface SealedPlace {
  /** Default `original`. */
  readonly kind?: SealedKind;
  readonly tenant: string;
  readonly blobId: string;
}

/** The first bytes of a sealed original. */
export const SEALED_MAGIC = "CUSTODYO";
const MAGIC: Readonly<Record<SealedKind, string>> = {
  original: SEALED_MAGIC,
  "backup object": "CUSTODYB",
};
const VERSION = 1;

/**
 * Seals bytes while they stream: a header, then chunks of AES-256-GCM. Holds one chunk.
 *
 * The nonce counts the chunks and its last byte marks the last one, so that chunks cannot be
 * dropped, repeated or exchanged, and a file cut off at a chunk's end is found.
 *
 * @param seal the key, and 16 random bytes never used before.
 */
export async function* sealStream(
  source: AsyncIterable<Uint8Array>,
  place: SealedPlace,
  seal: { readonly key: Uint8Array; readonly salt: Uint8Array },
): AsyncGenerator<Uint8Array> {
  const header = encodeHeader(kindOf(place), seal.salt);
  const sealing = chunkSealing(place, header, seal.key);
  yield header;
  let number = 0;
  for await (const { bytes, isLast } of chunksOf(source, CHUNK_BYTES)) {
    yield aeadSeal(sealing(number, isLast), bytes);
    number += 1;
  }
}

/**
 * Opens a sealed stream; a chunk is given only after its seal was checked.
 *
 * @throws CoreError `damaged` naming the chunk that was altered, or where the stream is cut off.
 */
export async function* openStream(
  source: AsyncIterable<Uint8Array>,
  place: SealedPlace,
  key: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const bytes = new ByteQueue();
  const iterator = source[Symbol.asyncIterator]();
  try {
    while (bytes.length < HEADER_BYTES) {
      const next = await iterator.next();
      if (next.done === true) throw damaged(place, "it is cut off in its header");
      bytes.push(next.value);
    }
    const header = bytes.take(HEADER_BYTES);
    checkHeader(place, header);
    const opening = chunkSealing(place, header, key);
    let number = 0;
    const rest = { [Symbol.asyncIterator]: () => iterator };
    for await (const chunk of chunksOf(rest, CHUNK_BYTES + TAG_BYTES, bytes)) {
      const opened = aeadOpen(opening(number, chunk.isLast), chunk.bytes);
      if (opened === undefined)
        throw damaged(place, `chunk ${number} was altered, is not the last, or has another key`);
      yield opened;
      number += 1;
    }
  } finally {
    await iterator.return?.();
  }
}

/** How long a stream of so many bytes is once it is sealed. */
export function sealedLength(bytes: number): number {
  return HEADER_BYTES + bytes + TAG_BYTES * Math.max(1, Math.ceil(bytes / CHUNK_BYTES));
}

function kindOf({ kind = "original" }: SealedPlace): SealedKind {
  return kind;
}

function encodeHeader(kind: SealedKind, salt: Uint8Array): Uint8Array {
  if (salt.byteLength !== SALT_BYTES)
    throw new CoreError("usage", `a sealed ${kind}'s salt has ${SALT_BYTES} bytes`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC[kind], 0, "latin1");
  header.writeUInt8(VERSION, 8);
  header.writeUInt32LE(CHUNK_BYTES, 12);
  header.set(salt, 16);
  return header;
}

function checkHeader(place: SealedPlace, bytes: Uint8Array): void {
  const kind = kindOf(place);
  const expected = encodeHeader(kind, bytes.subarray(16));
  if (Buffer.compare(expected, bytes) !== 0)
    throw damaged(place, `its header is not that of a sealed ${kind} of version ${VERSION}`);
}

function chunkSealing(place: SealedPlace, header: Uint8Array, key: Uint8Array) {
  const { tenant, blobId } = place;
  const use = `custody ${kindOf(place)}`;
  const fileKey = deriveKey(key, header.subarray(16), associatedData(`${use} v1`, blobId));
  const associated = associatedData(`${use} chunk v1`, tenant, blobId, header);
  return (number: number, isLast: boolean) => {
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.writeUIntBE(number, 5, 6);
    nonce.writeUInt8(isLast ? 1 : 0, 11);
    return { key: fileKey, nonce, associated };
  };
}

function damaged({ tenant, blobId }: SealedPlace, reason: string): CoreError {
  const at = `original ${blobId} of ${tenant}`;
  return new CoreError("damaged", `${at}: ${reason}`, { at });
}

interface Chunk {
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
}

/** Cuts a stream into chunks of `size` bytes; the last has 0 to `size`, and there is always one. */
async function* chunksOf(
  source: AsyncIterable<Uint8Array>,
  size: number,
  bytes: ByteQueue = new ByteQueue(),
): AsyncGenerator<Chunk> {
  for await (const part of source) {
    bytes.push(part);
    // A full chunk is held until there is more: only then is it known not to be the last.
    while (bytes.length > size) yield { bytes: bytes.take(size), isLast: false };
  }
  while (bytes.length > size) yield { bytes: bytes.take(size), isLast: false };
  yield { bytes: bytes.take(bytes.length), isLast: true };
}

/** Bytes that came in parts of one size and leave in parts of another. */
class ByteQueue {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  push(part: Uint8Array): void {
    if (part.byteLength === 0) return;
    this.#parts.push(part);
    this.length += part.byteLength;
  }

  take(count: number): Uint8Array {
    const taken = Buffer.allocUnsafeSlow(count);
    for (let at = 0; at < count;) {
      const part = this.#parts.shift() ?? new Uint8Array(0);
      const used = part.subarray(0, count - at);
      taken.set(used, at);
      at += used.byteLength;
      if (used.byteLength < part.byteLength) this.#parts.unshift(part.subarray(used.byteLength));
    }
    this.length -= count;
    return taken;
  }
}
