import { BitReader, damaged, readBlock } from "./bzip2-block.ts";
import type { Bzip2Block } from "./bzip2-block.ts";

const BLOCK_MAGIC = [0x314159, 0x265359] as const;
const END_MAGIC = [0x177245, 0x385090] as const;
const BLOCK_UNIT_BYTES = 100_000;
const BLOCK_BYTES_MAX = 9 * BLOCK_UNIT_BYTES;
// A block of 900,000 symbols of at most 20 bits, and its tables.
const WINDOW_BYTES = 2_400_000;
const PIECE_BYTES = 64 * 1024;

/**
 * Unpacks bzip2, concatenated streams included, in pieces of 64 KiB however much a block grows: a block
 * of 50 bytes may hold 46 MB.
 *
 * @throws ImportError `malformed` for damaged or truncated data, or something after it.
 */
export async function* unpackBzip2(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const decoder = new Bzip2Decoder();
  const held: Uint8Array[] = [];
  let heldBytes = 0;
  for await (const chunk of input) {
    held.push(chunk);
    heldBytes += chunk.length;
    while (heldBytes >= WINDOW_BYTES) {
      const bytes = Buffer.concat(held.splice(0));
      yield* decoder.next(bytes);
      const rest = bytes.subarray(decoder.consumed);
      held.push(rest);
      heldBytes = rest.length;
    }
  }
  let rest = Buffer.concat(held);
  while (rest.length > 0) {
    yield* decoder.next(rest);
    rest = rest.subarray(decoder.consumed);
  }
  if (!decoder.isComplete) damaged("the data ends too early");
}

/** Reads a stream's header, one block, or a stream's end at a time. */
class Bzip2Decoder {
  readonly #table = new Uint32Array(BLOCK_BYTES_MAX);
  #blockBytesMax = 0;
  #streamCrc = 0;
  /** Bits of the first byte that belong to what was read before. */
  #bits = 0;
  /** Whole bytes that the last step used up. */
  consumed = 0;

  /** True between streams: where the data may end. */
  get isComplete(): boolean {
    return this.#blockBytesMax === 0;
  }

  *next(bytes: Uint8Array): Generator<Buffer> {
    const bits = new BitReader(bytes, this.#bits);
    if (this.isComplete) this.#readHeader(bits);
    else {
      const magic = [bits.read(24), bits.read(24)] as const;
      if (isSame(magic, BLOCK_MAGIC)) {
        const block = readBlock(bits, this.#table, this.#blockBytesMax);
        yield* this.#text(block);
      } else if (isSame(magic, END_MAGIC)) this.#readEnd(bits);
      else damaged("neither a block nor the end");
    }
    this.consumed = bits.position >>> 3;
    this.#bits = bits.position & 7;
  }

  #readHeader(bits: BitReader): void {
    const level = bits.read(24) === 0x425a68 ? bits.read(8) - 0x30 : 0;
    if (level < 1 || level > 9) damaged("something that is no bzip2 follows");
    this.#blockBytesMax = level * BLOCK_UNIT_BYTES;
    this.#streamCrc = 0;
  }

  #readEnd(bits: BitReader): void {
    if (bits.read(32) !== this.#streamCrc) damaged("the checksum of the whole differs");
    bits.alignToByte();
    this.#blockBytesMax = 0;
  }

  /** The block's text: four equal bytes are followed by how many more of them there are. */
  *#text({ crc, start, length }: Bzip2Block): Generator<Buffer> {
    const table = this.#table;
    let piece = Buffer.allocUnsafe(PIECE_BYTES);
    let filled = 0;
    let actual = 0xffffffff;
    let place = start;
    let last = -1;
    let equal = 0;
    for (let index = 0; index < length; index += 1) {
      const entry = table[place] ?? 0;
      const byte = entry & 0xff;
      place = entry >>> 8;
      const isCount = equal === 4;
      const times = isCount ? byte : 1;
      const value = isCount ? last : byte;
      equal = isCount ? 0 : byte === last ? equal + 1 : 1;
      last = isCount ? -1 : byte;
      for (let time = 0; time < times; time += 1) {
        piece[filled] = value;
        filled += 1;
        actual = (actual << 8) ^ (CRC_TABLE[((actual >>> 24) ^ value) & 0xff] ?? 0);
        if (filled < PIECE_BYTES) continue;
        yield piece;
        piece = Buffer.allocUnsafe(PIECE_BYTES);
        filled = 0;
      }
    }
    if (filled > 0) yield piece.subarray(0, filled);
    if (~actual >>> 0 !== crc) damaged("the checksum of a block differs");
    this.#streamCrc = (((this.#streamCrc << 1) | (this.#streamCrc >>> 31)) ^ crc) >>> 0;
  }
}

function isSame(left: readonly [number, number], right: readonly [number, number]): boolean {
  return left[0] === right[0] && left[1] === right[1];
}

/** CRC-32 with the polynomial 0x04c11db7, most significant bit first, as bzip2 uses it. */
const CRC_TABLE: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit += 1) value = value < 0 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value;
});
