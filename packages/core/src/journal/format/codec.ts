import { promisify } from "node:util";
import {
  constants,
  gunzip,
  gzip,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from "node:zlib";

import { CoreError } from "../../errors.ts";
import type { Codec } from "../../runtime.ts";

/** How blocks are compressed: Zstandard (RFC 8878) or gzip (RFC 1952). */
export type Compression = "zstd" | "gzip";

// Level 1: measured on records of 3 KB, 11 µs a record; higher levels cost more than they save.
const ZSTD_LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

const zstdCompressAsync = promisify(zstdCompress);
const zstdDecompressAsync = promisify(zstdDecompress);
const gzipAsync = promisify(gzip);
const gunzipAsync = promisify(gunzip);

/** Zstandard at level 1 in Node's thread pool. */
export const zstdCodec: Codec = {
  compress: async (bytes) => await zstdCompressAsync(bytes, ZSTD_LEVEL),
  decompress: async (bytes, rawBytes) =>
    await exactly(rawBytes, () => zstdDecompressAsync(bytes, { maxOutputLength: rawBytes })),
};

/** Zstandard at level 1 in this thread, for simulations in which nothing may run beside. */
export const zstdCodecSync: Codec = {
  compress: async (bytes) => zstdCompressSync(bytes, ZSTD_LEVEL),
  decompress: async (bytes, rawBytes) =>
    await exactly(rawBytes, () => zstdDecompressSync(bytes, { maxOutputLength: rawBytes })),
};

/** gzip at level 6 in Node's thread pool. */
export const gzipCodec: Codec = {
  compress: async (bytes) => await gzipAsync(bytes, { level: 6 }),
  decompress: async (bytes, rawBytes) =>
    await exactly(rawBytes, () => gunzipAsync(bytes, { maxOutputLength: rawBytes })),
};

async function exactly(
  rawBytes: number,
  decompress: () => Promise<Uint8Array> | Uint8Array,
): Promise<Uint8Array> {
  const raw = await attempt(rawBytes, decompress);
  if (raw.byteLength === rawBytes) return raw;
  throw new CoreError("damaged", `decompresses to ${raw.byteLength} bytes, not ${rawBytes}`);
}

async function attempt(
  rawBytes: number,
  decompress: () => Promise<Uint8Array> | Uint8Array,
): Promise<Uint8Array> {
  try {
    return await decompress();
  } catch (cause) {
    throw new CoreError("damaged", `does not decompress to ${rawBytes} bytes`, { cause });
  }
}
