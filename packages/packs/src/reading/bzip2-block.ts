import { ImportError } from "@custody/contract/importer";

const PEEK_BITS_MAX = 16;
// Most codes are shorter, and are found by one look at a table.
const LOOKUP_BITS = 10;
const GROUP_SYMBOLS = 50;
const CODE_LENGTH_MAX = 20;
const TREES_MAX = 6;
const SELECTORS_MAX = 18_002;

/** Bits of a buffer, most significant first. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #bits: number;

  constructor(bytes: Uint8Array, bits: number) {
    this.#bytes = bytes;
    this.#bits = bits;
  }

  /** Bits read so far, counted from the buffer's beginning. */
  get position(): number {
    return this.#bits;
  }

  bit(): number {
    const bit = this.peek(1);
    this.skip(1);
    return bit;
  }

  /** Up to 32 bits as a number that is not negative. */
  read(count: number): number {
    const high = Math.max(count - PEEK_BITS_MAX, 0);
    const left = this.peek(high);
    this.skip(high);
    const right = this.peek(count - high);
    this.skip(count - high);
    return left * 2 ** (count - high) + right;
  }

  /** The next bits, at most 16, without using them up; zeros stand beyond the end. */
  peek(count: number): number {
    const at = this.#bits >>> 3;
    const bytes = this.#bytes;
    const window = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    return (window >>> (24 - (this.#bits & 7) - count)) & ((1 << count) - 1);
  }

  /** Uses up bits. */
  skip(count: number): void {
    this.#bits += count;
    if (this.#bits > this.#bytes.length * 8) damaged("the data ends too early");
  }

  alignToByte(): void {
    this.#bits = (this.#bits + 7) & ~7;
  }
}

/** Stops reading with the reason why bzip2 data cannot be right. */
export function damaged(reason: string): never {
  throw new ImportError("malformed", `the bzip2 data is damaged or incomplete: ${reason}`);
}

/** A block before its text is put back in order: each byte below, the place of the next above. */
export interface Bzip2Block {
  readonly crc: number;
  readonly start: number;
  readonly length: number;
}

/**
 * Reads one block's symbols into `table` and links them in the order of the text (the inverse of the
 * Burrows-Wheeler transform, as bzip2 1.0.8 does it).
 */
export function readBlock(bits: BitReader, table: Uint32Array, lengthMax: number): Bzip2Block {
  const crc = bits.read(32);
  if (bits.bit() === 1) damaged("randomised blocks are not read");
  const origin = bits.read(24);
  const symbols = readAlphabet(bits);
  const length = readSymbols(bits, symbols, table.subarray(0, lengthMax));
  if (origin >= length) damaged("a block begins outside itself");
  const places = new Uint32Array(256);
  for (let index = 0; index < length; index += 1) {
    const byte = (table[index] ?? 0) & 0xff;
    places[byte] = (places[byte] ?? 0) + 1;
  }
  let sum = 0;
  for (let byte = 0; byte < 256; byte += 1) {
    const count = places[byte] ?? 0;
    places[byte] = sum;
    sum += count;
  }
  for (let index = 0; index < length; index += 1) {
    const byte = (table[index] ?? 0) & 0xff;
    const place = places[byte] ?? 0;
    places[byte] = place + 1;
    table[place] = ((table[place] ?? 0) | (index << 8)) >>> 0;
  }
  return { crc, start: (table[origin] ?? 0) >>> 8, length };
}

/** The bytes that occur in the block, in ascending order. */
function readAlphabet(bits: BitReader): number[] {
  const rows = bits.read(16);
  const symbols: number[] = [];
  for (let row = 0; row < 16; row += 1) {
    if (((rows >>> (15 - row)) & 1) === 0) continue;
    const used = bits.read(16);
    for (let column = 0; column < 16; column += 1) {
      if (((used >>> (15 - column)) & 1) === 1) symbols.push(row * 16 + column);
    }
  }
  if (symbols.length === 0) damaged("a block uses no byte");
  return symbols;
}

function readSymbols(bits: BitReader, alphabet: readonly number[], table: Uint32Array): number {
  const recent = Uint8Array.from(alphabet);
  const end = recent.length + 1;
  const treeCount = bits.read(3);
  if (treeCount < 2 || treeCount > TREES_MAX) damaged("a block has no codes");
  const selectors = readSelectors(bits, treeCount);
  const trees = Array.from({ length: treeCount }, () => readTree(bits, end + 1));
  let length = 0;
  let run = 0;
  let runWeight = 1;
  for (let count = 0; ; count += 1) {
    const tree = trees[selectors[Math.floor(count / GROUP_SYMBOLS)] ?? TREES_MAX];
    if (tree === undefined) damaged("a block has too few selectors");
    const symbol = tree.next(bits);
    if (symbol <= 1) {
      // Runs of the most recent byte are written in a two-digit number system.
      run += runWeight << symbol;
      runWeight <<= 1;
      if (run > table.length) damaged("a run is longer than its block");
      continue;
    }
    if (length + run >= table.length + (symbol === end ? 1 : 0)) damaged("a block is too long");
    table.fill(recent[0] ?? 0, length, length + run);
    length += run;
    run = 0;
    runWeight = 1;
    if (symbol === end) return length;
    const byte = recent[symbol - 1] ?? 0;
    for (let place = symbol - 1; place > 0; place -= 1) recent[place] = recent[place - 1] ?? 0;
    recent[0] = byte;
    table[length] = byte;
    length += 1;
  }
}

function readSelectors(bits: BitReader, treeCount: number): Uint8Array {
  const count = bits.read(15);
  if (count === 0) damaged("a block has no selectors");
  const recent = Array.from({ length: treeCount }, (_, index) => index);
  const selectors = new Uint8Array(Math.min(count, SELECTORS_MAX));
  for (let index = 0; index < count; index += 1) {
    let place = 0;
    while (bits.bit() === 1) place += 1;
    if (place >= treeCount) damaged("a selector names no code");
    const [tree = 0] = recent.splice(place, 1);
    recent.unshift(tree);
    selectors[index] = tree;
  }
  return selectors;
}

/** A canonical Huffman code. */
interface Tree {
  next(bits: BitReader): number;
}

function readTree(bits: BitReader, symbolCount: number): Tree {
  const counts = new Uint32Array(CODE_LENGTH_MAX + 1);
  const lengths: number[] = [];
  let length = bits.read(5);
  for (let symbol = 0; symbol < symbolCount; symbol += 1) {
    while (bits.bit() === 1) length += bits.bit() === 1 ? -1 : 1;
    if (length < 1 || length > CODE_LENGTH_MAX) damaged("a code is too long");
    lengths.push(length);
    counts[length] = (counts[length] ?? 0) + 1;
  }
  const order = lengths.map((_, symbol) => symbol);
  order.sort((left, right) => (lengths[left] ?? 0) - (lengths[right] ?? 0) || left - right);
  const lookup = lookupTable(order, counts);
  return {
    next(source) {
      const found = lookup[source.peek(LOOKUP_BITS)] ?? 0;
      if (found === 0) return longCode(source, order, counts);
      source.skip(found & 0xff);
      return found >>> 8;
    },
  };
}

/** For the next bits: the symbol whose code they begin with, above its length; 0 for longer codes. */
function lookupTable(order: readonly number[], counts: Uint32Array): Uint32Array {
  const table = new Uint32Array(1 << LOOKUP_BITS);
  let at = 0;
  let symbol = 0;
  for (let size = 1; size <= LOOKUP_BITS; size += 1) {
    const width = 1 << (LOOKUP_BITS - size);
    for (let left = counts[size] ?? 0; left > 0; left -= 1) {
      table.fill(((order[symbol] ?? 0) << 8) | size, at, at + width);
      at += width;
      symbol += 1;
    }
  }
  return table;
}

function longCode(bits: BitReader, order: readonly number[], counts: Uint32Array): number {
  let code = 0;
  let first = 0;
  let before = 0;
  for (let size = 1; size <= CODE_LENGTH_MAX; size += 1) {
    code = code * 2 + bits.bit();
    const count = counts[size] ?? 0;
    if (code - first < count) return order[before + code - first] ?? 0;
    before += count;
    first = (first + count) * 2;
  }
  return damaged("a code stands for nothing");
}
