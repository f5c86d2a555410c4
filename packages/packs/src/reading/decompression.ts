import { PassThrough, pipeline, Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

import { ImportError } from "@custody/contract/importer";

import { unpackBzip2 } from "./bzip2.ts";
import type { ReadingLimits } from "./reading-limits.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/** How the bytes of a source are packed. */
type Compression = "none" | "gzip" | "zstd" | "bzip2";

const SIGNATURES: readonly (readonly [readonly number[], string])[] = [
  [[0x1f, 0x8b], "gzip"],
  [[0x28, 0xb5, 0x2f, 0xfd], "zstd"],
  [[0x42, 0x5a, 0x68], "bzip2"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "xz"],
  [[0x50, 0x4b, 0x03, 0x04], "zip"],
  [[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], "7z"],
];

/**
 * Tells how bytes are packed by how they begin.
 *
 * @throws ImportError `unknown-format` for a packing that is known but not read.
 */
function detectCompression(start: Uint8Array): Compression {
  const found = SIGNATURES.find(([signature]) =>
    signature.every((byte, index) => start[index] === byte),
  )?.[1];
  if (found === undefined) return isSkippableFrame(start) ? "zstd" : "none";
  if (found === "gzip" || found === "zstd" || found === "bzip2") return found;
  throw new ImportError(
    "unknown-format",
    `the file is a ${found} archive, which is not read; unpack it, or use gzip, zstd or bzip2`,
  );
}

// RFC 8878 §3.1.2: a zstd file may begin with a frame that holds no data.
function isSkippableFrame(start: Uint8Array): boolean {
  const first = start[0] ?? 0;
  return (
    first >= 0x50 && first <= 0x5f && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18
  );
}

/**
 * Unpacks a source as it streams, and stops a bomb.
 *
 * Concatenated gzip members, zstd frames and bzip2 streams are read to their end.
 *
 * @throws ImportError `malformed` for damaged or truncated data, `limit` beyond a bound.
 */
export async function* decompress(
  bytes: AsyncIterable<Uint8Array>,
  limits: ReadingLimits,
): AsyncGenerator<Buffer> {
  const input = new CountedBytes(bytes);
  const kind = detectCompression(await input.peek(8));
  let bytesOut = 0;
  for await (const chunk of unpack(kind, input)) {
    bytesOut += chunk.byteLength;
    if (bytesOut > limits.sourceBytesMax) {
      throw new ImportError(
        "limit",
        `the source is larger than ${limits.sourceBytesMax} bytes when unpacked`,
      );
    }
    if (bytesOut > limits.ratioFromBytes && bytesOut > limits.ratioMax * input.bytesIn) {
      throw new ImportError(
        "limit",
        `the ${kind} data grows more than ${limits.ratioMax} times when unpacked`,
      );
    }
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
}

function unpack(kind: Compression, input: CountedBytes): AsyncIterable<Uint8Array> {
  switch (kind) {
    case "none":
      return input;
    case "gzip":
      return through(kind, input, createGunzip());
    case "bzip2":
      return unpackBzip2(input);
    case "zstd":
      return unpackZstd(input);
  }
}

async function* unpackZstd(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pieces = framePieces(input)[Symbol.asyncIterator]();
  for (;;) {
    const first = await pieces.next();
    if (first.done === true) return;
    yield* through("zstd", oneFrame(first.value, pieces), createZstdDecompress());
  }
}

type Piece = { readonly bytes: Uint8Array; readonly isLast: boolean };

async function* framePieces(input: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  const frames = new ZstdFrames();
  for await (const chunk of input) yield* frames.feed(chunk);
  if (!frames.isComplete) throw new ImportError("malformed", "the zstd data ends too early");
}

async function* oneFrame(first: Piece, pieces: AsyncIterator<Piece>): AsyncGenerator<Uint8Array> {
  let piece = first;
  for (;;) {
    yield piece.bytes;
    if (piece.isLast) return;
    const next = await pieces.next();
    if (next.done === true) return;
    piece = next.value;
  }
}

/** Runs bytes through a decoder; its failures become import errors. */
async function* through(
  kind: Compression,
  input: AsyncIterable<Uint8Array>,
  decoder: NodeJS.ReadWriteStream,
): AsyncGenerator<Uint8Array> {
  const output = new PassThrough();
  // The pipeline destroys `output` with the failure, so that the loop below throws it, and it
  // destroys the input when the reader stops early.
  pipeline(Readable.from(input, { objectMode: false }), decoder, output, () => undefined);
  try {
    for await (const chunk of output) if (chunk instanceof Uint8Array) yield chunk;
  } catch (cause) {
    throw asImportError(kind, cause);
  }
}

function asImportError(kind: Compression, cause: unknown): ImportError {
  if (cause instanceof ImportError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ImportError("malformed", `the ${kind} data is damaged or incomplete: ${reason}`, {
    cause,
  });
}

/** Counts what is read of a source, and lets its beginning be looked at. */
class CountedBytes implements AsyncIterable<Uint8Array> {
  bytesIn = 0;
  readonly #iterator: AsyncIterator<Uint8Array>;
  #start: Uint8Array = new Uint8Array(0);

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#iterator = bytes[Symbol.asyncIterator]();
  }

  async peek(length: number): Promise<Uint8Array> {
    while (this.#start.length < length) {
      const next = await this.#iterator.next();
      if (next.done === true) break;
      this.#start =
        this.#start.length === 0 ? next.value : Buffer.concat([this.#start, next.value]);
    }
    return this.#start;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      this.bytesIn += this.#start.length;
      if (this.#start.length > 0) yield this.#start;
      for (;;) {
        const next = await this.#iterator.next();
        if (next.done === true) return;
        this.bytesIn += next.value.length;
        yield next.value;
      }
    } finally {
      await this.#iterator.return?.();
    }
  }
}
