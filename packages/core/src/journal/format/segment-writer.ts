import { createHash } from "node:crypto";

import { assert } from "../../assert.ts";
import { CoreError } from "../../errors.ts";
import type { Codec } from "../../runtime.ts";
import type { Compression } from "./codec.ts";
import { encodeHeader } from "./container-header.ts";
import { lineCount } from "./lines.ts";
import type { Lines } from "./lines.ts";
import {
  BLOCK_BYTES,
  blockProtection,
  encodeFooter,
  encodeTrailer,
  SEGMENT_LINES_MAX,
  sha256Hex,
} from "./segment-layout.ts";
import type { BlockProtection, IdBlock, LineBlock, StoredRun } from "./segment-layout.ts";

/** What a segment is called, and how it is compressed and sealed. */
export interface SegmentWriterOptions {
  readonly tenant: string;
  readonly segmentId: string;
  /** The key period, `YYYY-MM`. */
  readonly period: string;
  /** The tenant's key of that period; left out, the segment is not encrypted. */
  readonly key?: Uint8Array;
  /** 16 random bytes, never used before. */
  readonly salt: Uint8Array;
  readonly compression: Compression;
  readonly codec: Codec;
  /** Raw bytes of a block; default {@link BLOCK_BYTES}. */
  readonly blockBytes?: number;
}

/** Lines on their way into a segment. */
export interface SegmentBatch {
  readonly lines: Lines;
  /** The record id of each line. */
  readonly ids: readonly string[];
  /** Epoch milliseconds of each line; NaN where it has no observed time. */
  readonly observedAt: Float64Array;
}

/** What became of a segment, for the catalogue. */
export interface SegmentSummary {
  readonly segmentId: string;
  readonly period: string;
  /** Length of the file. */
  readonly bytes: number;
  readonly rawBytes: number;
  readonly lines: number;
  /** SHA-256 of the file. */
  readonly hash: Uint8Array;
}

// Blocks being compressed at once: enough to keep two threads busy while this one seals.
const COMPRESSING_MAX = 3;

/**
 * Writes a segment as a stream: hand in batches, write the chunks that come back, in order.
 *
 * Holds a few blocks (under 2 MiB with the default size) and the ids of the segment's lines.
 */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #header: Uint8Array;
  readonly #protection: BlockProtection;
  readonly #hash = createHash("sha256");
  readonly #blockBytes: number;
  readonly #ids: string[] = [];
  readonly #blocks: LineBlock[] = [];
  readonly #compressing: { readonly block: OpenBlock; readonly stored: Promise<Uint8Array> }[] = [];
  #chunks: Uint8Array[] = [];
  #offset = 0;
  #rawBytes = 0;
  #open: OpenBlock;

  constructor(options: SegmentWriterOptions) {
    const { key, compression, period, salt } = options;
    const header = { isSealed: key !== undefined, compression, period, salt };
    this.#options = options;
    this.#blockBytes = options.blockBytes ?? BLOCK_BYTES;
    this.#header = encodeHeader("CUSTODYS", header);
    this.#protection = blockProtection(options, header, this.#header, key);
    this.#open = new OpenBlock(0, this.#blockBytes);
    this.#emit(this.#header);
  }

  /** Lines taken so far. */
  get lines(): number {
    return this.#ids.length;
  }

  /** Raw bytes taken so far. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  /**
   * Takes lines and answers the chunks that are ready to be written.
   *
   * @throws CoreError `usage` when the segment would have more than {@link SEGMENT_LINES_MAX} lines.
   */
  async add(batch: SegmentBatch): Promise<readonly Uint8Array[]> {
    const { lines, ids } = batch;
    const count = lineCount(lines);
    assert(
      ids.length === count && batch.observedAt.length === count,
      "each line has an id and a time",
    );
    if (this.lines + count > SEGMENT_LINES_MAX)
      throw new CoreError("usage", `a segment takes at most ${SEGMENT_LINES_MAX} lines`);
    for (let from = 0; from < count;) {
      const to = this.#open.fit(lines, from);
      if (to === from) {
        await this.#close();
        continue;
      }
      this.#open.take(batch, from, to);
      from = to;
    }
    for (const id of ids) this.#ids.push(id);
    this.#rawBytes += (lines.offsets[count] ?? 0) - (lines.offsets[0] ?? 0);
    return this.#takeChunks();
  }

  /** Writes what is left, the ids, the footer and the trailer; the writer must not be used again. */
  async finish(): Promise<{
    readonly chunks: readonly Uint8Array[];
    readonly summary: SegmentSummary;
  }> {
    const { tenant, segmentId, period } = this.#options;
    if (this.#open.lines > 0) await this.#close();
    while (this.#compressing.length > 0) await this.#settle();
    const idBlocks = await this.#writeIds();
    const blocks = this.#blocks;
    const footer = encodeFooter({
      tenant,
      segmentId,
      lines: this.lines,
      rawBytes: this.#rawBytes,
      blocks,
      idBlocks,
    });
    const compressed = await this.#options.codec.compress(footer);
    const number = blocks.length + idBlocks.length;
    const stored = this.#protection.protect(number, "footer", compressed);
    const trailer = {
      footerOffset: this.#offset,
      footerStoredBytes: stored.byteLength,
      footerRawBytes: footer.byteLength,
      footerNumber: number,
    };
    this.#emit(stored);
    this.#emit(encodeTrailer(trailer, this.#header, stored));
    const summary: SegmentSummary = {
      segmentId,
      period,
      bytes: this.#offset,
      rawBytes: this.#rawBytes,
      lines: this.lines,
      hash: this.#hash.digest(),
    };
    return { chunks: this.#takeChunks(), summary };
  }

  /** Begins to compress the open block; waits while too many are being compressed. */
  async #close(): Promise<void> {
    const block = this.#open;
    const stored = this.#options.codec.compress(block.text());
    // It is awaited in its turn; until then a failure must not count as unhandled.
    stored.catch(() => undefined);
    this.#compressing.push({ block, stored });
    this.#open = new OpenBlock(block.firstLine + block.lines, this.#blockBytes);
    while (this.#compressing.length > COMPRESSING_MAX) await this.#settle();
  }

  async #settle(): Promise<void> {
    const next = this.#compressing.shift();
    if (next === undefined) return;
    const { block } = next;
    const stored = await next.stored;
    const run = this.#write(this.#blocks.length, "lines", stored, block.bytes);
    block.release();
    const { firstLine, lines, observedFrom, observedTo } = block;
    this.#blocks.push({
      ...run,
      firstLine,
      lines,
      observedFrom: Number.isFinite(observedFrom) ? observedFrom : null,
      observedTo: Number.isFinite(observedTo) ? observedTo : null,
    });
  }

  #write(number: number, kind: "lines" | "ids", bytes: Uint8Array, rawBytes: number): StoredRun {
    const stored = this.#protection.protect(number, kind, bytes);
    const run = { offset: this.#offset, storedBytes: stored.byteLength, rawBytes };
    this.#emit(stored);
    return this.#protection.isSealed ? run : { ...run, sha256: sha256Hex(stored) };
  }

  /** Writes `["id",line]` for each line, sorted by id in UTF-16 code units, then by line. */
  async #writeIds(): Promise<readonly IdBlock[]> {
    const ids = this.#ids;
    const sorted = sortedByText(ids);
    const blocks: IdBlock[] = [];
    for (let from = 0; from < sorted.length;) {
      const rows: string[] = [];
      const first = from;
      for (let length = 0; from < sorted.length && length < this.#blockBytes; from += 1) {
        const line = sorted[from] ?? 0;
        const row = `[${JSON.stringify(ids[line])},${line}]\n`;
        length += row.length;
        rows.push(row);
      }
      const raw = Buffer.from(rows.join(""));
      const number = this.#blocks.length + blocks.length;
      const compressed = await this.#options.codec.compress(raw);
      const run = this.#write(number, "ids", compressed, raw.byteLength);
      blocks.push({ ...run, ids: rows.length, firstId: ids[sorted[first] ?? 0] ?? "" });
    }
    return blocks;
  }

  #emit(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#offset += chunk.byteLength;
    this.#chunks.push(chunk);
  }

  #takeChunks(): readonly Uint8Array[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }
}

/** The indices of texts in ascending order. Ids mostly come in order, so that is tried first. */
function sortedByText(texts: readonly string[]): Uint32Array {
  const order = Uint32Array.from(texts, (_, index) => index);
  const isSorted = texts.every((text, index) => index === 0 || (texts[index - 1] ?? "") <= text);
  if (isSorted) return order;
  return order.sort((left, right) => compare(texts[left], texts[right]) || left - right);
}

function compare(left: string | undefined, right: string | undefined): number {
  if (left === right) return 0;
  return (left ?? "") < (right ?? "") ? -1 : 1;
}

// Blocks that have been compressed, to be filled again: the collector lets go of buffers late.
const SPARE_MAX = 16;
const spare: Uint8Array[] = [];

function blockBuffer(bytes: number = BLOCK_BYTES): Uint8Array {
  return Buffer.allocUnsafeSlow(bytes);
}

/** A block that is being filled. */
class OpenBlock {
  readonly firstLine: number;
  #buffer: Uint8Array;
  #length = 0;
  lines = 0;
  observedFrom: number = Number.POSITIVE_INFINITY;
  observedTo: number = Number.NEGATIVE_INFINITY;

  constructor(firstLine: number, bytes: number) {
    this.firstLine = firstLine;
    this.#buffer = bytes === BLOCK_BYTES ? (spare.pop() ?? blockBuffer()) : blockBuffer(bytes);
  }

  /** Gives the block's memory back, once it is compressed. */
  release(): void {
    const isWhole = this.#buffer.byteLength === BLOCK_BYTES;
    if (isWhole && spare.length < SPARE_MAX) spare.push(this.#buffer);
    this.#buffer = new Uint8Array(0);
  }

  get bytes(): number {
    return this.#length;
  }

  /** Up to which line (exclusive) there is room; a line longer than a block fits an empty one. */
  fit({ offsets }: Lines, from: number): number {
    const end = (offsets[from] ?? 0) + this.#buffer.byteLength - this.#length;
    let to = from;
    while (to + 1 < offsets.length && (offsets[to + 1] ?? 0) <= end) to += 1;
    return to === from && this.#length === 0 ? from + 1 : to;
  }

  take({ lines: { text, offsets }, observedAt }: SegmentBatch, from: number, to: number): void {
    const part = text.subarray(offsets[from], offsets[to]);
    if (part.byteLength > this.#buffer.byteLength - this.#length)
      this.#buffer = Buffer.allocUnsafeSlow(part.byteLength);
    this.#buffer.set(part, this.#length);
    this.#length += part.byteLength;
    this.lines += to - from;
    for (let index = from; index < to; index += 1) {
      const at = observedAt[index] ?? Number.NaN;
      if (at < this.observedFrom) this.observedFrom = at;
      if (at > this.observedTo) this.observedTo = at;
    }
  }

  text(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }
}
