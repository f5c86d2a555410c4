import { CoreError } from "../../errors.ts";
import type { Codec } from "../../runtime.ts";
import type { Compression } from "./codec.ts";
import { decodeHeader, HEADER_BYTES } from "./container-header.ts";
import { lineAt, splitLines } from "./lines.ts";
import type { Lines } from "./lines.ts";
import {
  blockProtection,
  checkEnds,
  checkFooter,
  decodeFooter,
  decodeTrailer,
  sha256Hex,
  TRAILER_BYTES,
} from "./segment-layout.ts";
import type {
  BlockKind,
  BlockProtection,
  LineBlock,
  SegmentFooter,
  SegmentTrailer,
  StoredRun,
} from "./segment-layout.ts";

/** Where a segment's bytes come from. */
export interface SegmentSource {
  /** Length of the file. */
  readonly bytes: number;
  /** The bytes `start` to `end` (exclusive). */
  readonly read: (start: number, end: number) => Promise<Uint8Array>;
}

/** What must be known to read a segment. */
export interface SegmentReaderOptions {
  readonly tenant: string;
  readonly segmentId: string;
  /** The tenant's key of the segment's period; left out, only a segment that is not encrypted opens. */
  readonly key?: Uint8Array;
  readonly codecs: Readonly<Partial<Record<Compression, Codec>>>;
}

/** A block's lines, in memory that can be handed to other threads. */
export interface SegmentBlock {
  /** Number of its first line within the segment. */
  readonly firstLine: number;
  readonly lines: Lines;
}

// One read is enough for the footer of most segments.
const TAIL_BYTES = 64 * 1024;

/**
 * Opens a segment: checks its ends and reads its table of contents.
 *
 * @throws CoreError `damaged` naming the segment and what is wrong; `usage` without a codec for it.
 */
export async function openSegment(
  source: SegmentSource,
  options: SegmentReaderOptions,
): Promise<SegmentReader> {
  return await named(options, async () => {
    const { bytes } = source;
    if (bytes < HEADER_BYTES + TRAILER_BYTES)
      throw new CoreError("damaged", `${bytes} bytes are too few; is the file cut off?`);
    const tailStart = Math.max(0, bytes - TAIL_BYTES);
    const [headerBytes, tail] = await Promise.all([
      readExactly(source, 0, HEADER_BYTES),
      readExactly(source, tailStart, bytes),
    ]);
    const header = decodeHeader("CUSTODYS", headerBytes);
    const trailerBytes = tail.subarray(tail.byteLength - TRAILER_BYTES);
    const trailer = decodeTrailer(trailerBytes, bytes);
    const footerEnd = trailer.footerOffset + trailer.footerStoredBytes;
    const stored =
      trailer.footerOffset >= tailStart
        ? tail.subarray(trailer.footerOffset - tailStart, footerEnd - tailStart)
        : await readExactly(source, trailer.footerOffset, footerEnd);
    checkEnds(headerBytes, stored, trailerBytes);
    checkKey(header.isSealed, options.key);
    const protection = blockProtection(options, header, headerBytes, options.key);
    const codec = options.codecs[header.compression];
    if (codec === undefined)
      throw new CoreError("usage", `there is no codec for ${header.compression}`);
    const opened = { source, options, protection, codec };
    const footer = await readFooter(opened, stored, trailer);
    return new SegmentReader(opened, footer);
  });
}

interface OpenedSegment {
  readonly source: SegmentSource;
  readonly options: SegmentReaderOptions;
  readonly protection: BlockProtection;
  readonly codec: Codec;
}

function checkKey(isSealed: boolean, key: Uint8Array | undefined): void {
  if (isSealed && key === undefined)
    throw new CoreError("no-key", "it is sealed and no key was given");
  if (!isSealed && key !== undefined)
    throw new CoreError("damaged", "header: it is not sealed although it should be");
}

async function readFooter(
  { options, protection, codec }: OpenedSegment,
  stored: Uint8Array,
  trailer: SegmentTrailer,
): Promise<SegmentFooter> {
  const recovered = protection.recover(trailer.footerNumber, "footer", stored);
  if (recovered === undefined)
    throw new CoreError("damaged", "footer: it does not open; altered, or not this tenant's key");
  const footer = decodeFooter(await codec.decompress(recovered, trailer.footerRawBytes));
  if (footer.tenant !== options.tenant || footer.segmentId !== options.segmentId)
    throw new CoreError("damaged", `footer: it belongs to segment ${footer.segmentId}`);
  checkFooter(footer, trailer, protection.isSealed);
  return footer;
}

/** Reads lines out of an open segment; holds its footer and nothing else. */
export class SegmentReader {
  readonly #opened: OpenedSegment;
  readonly #footer: SegmentFooter;

  /** Use {@link openSegment}. */
  constructor(opened: OpenedSegment, footer: SegmentFooter) {
    this.#opened = opened;
    this.#footer = footer;
  }

  get lines(): number {
    return this.#footer.lines;
  }

  get rawBytes(): number {
    return this.#footer.rawBytes;
  }

  /** The blocks of lines, in order: where each begins, and the span of its observed instants. */
  get blocks(): readonly LineBlock[] {
    return this.#footer.blocks;
  }

  /** The number of the block that holds a line; `undefined` beyond the last. */
  findLine(line: number): number | undefined {
    const { blocks, lines } = this.#footer;
    if (line < 0 || line >= lines) return undefined;
    return lastAtMost(blocks, (block) => block.firstLine <= line);
  }

  /**
   * Reads a block of lines into shared memory.
   *
   * @throws CoreError `damaged` naming segment and block, `usage` for a block that does not exist.
   */
  async readBlock(number: number): Promise<SegmentBlock> {
    return await named(this.#opened.options, async () => {
      const block = this.#footer.blocks[number];
      if (block === undefined) throw new CoreError("usage", `there is no block ${number}`);
      const raw = await this.#read(number, "lines", block);
      const text = new Uint8Array(new SharedArrayBuffer(raw.byteLength));
      text.set(raw);
      const lines = blockCall(number, () => splitLines(text, block.lines));
      return { firstLine: block.firstLine, lines };
    });
  }

  /** The bytes of one line, without its line feed; reads its whole block. */
  async readLine(line: number): Promise<Uint8Array | undefined> {
    const number = this.findLine(line);
    if (number === undefined) return undefined;
    const { firstLine, lines } = await this.readBlock(number);
    return lineAt(lines, line - firstLine);
  }

  /** The numbers of the lines with this record id, ascending; of every type that the segment holds. */
  async findId(id: string): Promise<readonly number[]> {
    return await named(this.#opened.options, async () => {
      const { idBlocks } = this.#footer;
      const found: number[] = [];
      // Equal ids may run over a block's end, so the search begins at the last block that starts below.
      const first = lastAtMost(idBlocks, (block) => block.firstId < id) ?? 0;
      for (const [index, block] of idBlocks.entries()) {
        if (index < first || block.firstId > id) continue;
        for (const [other, line] of await this.#readIds(index)) if (other === id) found.push(line);
      }
      return found;
    });
  }

  async #readIds(index: number): Promise<readonly (readonly [string, number])[]> {
    const { blocks, idBlocks } = this.#footer;
    const block = idBlocks[index];
    if (block === undefined) return [];
    const number = blocks.length + index;
    const raw = await this.#read(number, "ids", block);
    const rows = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString().split("\n");
    rows.pop();
    if (rows.length !== block.ids) throw blockError(number, "it has another number of ids");
    return rows.map((row) => idRow(row, number));
  }

  async #read(number: number, kind: BlockKind, run: StoredRun): Promise<Uint8Array> {
    const { source, protection, codec } = this.#opened;
    const stored = await readExactly(source, run.offset, run.offset + run.storedBytes);
    if (run.sha256 !== undefined && sha256Hex(stored) !== run.sha256)
      throw blockError(number, "it was altered: its hash differs");
    const recovered = protection.recover(number, kind, stored);
    if (recovered === undefined) throw blockError(number, "it was altered: its seal is broken");
    try {
      return await codec.decompress(recovered, run.rawBytes);
    } catch (cause) {
      throw cause instanceof CoreError ? blockError(number, cause.message, cause) : cause;
    }
  }
}

/** The index of the last item for which `isAtMost` holds; it holds for a beginning of the list. */
function lastAtMost<Item>(
  items: readonly Item[],
  isAtMost: (item: Item) => boolean,
): number | undefined {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item !== undefined && isAtMost(item)) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? undefined : low - 1;
}

function idRow(text: string, number: number): readonly [string, number] {
  const row = blockCall(number, (): unknown => JSON.parse(text));
  if (Array.isArray(row) && typeof row[0] === "string" && typeof row[1] === "number")
    return [row[0], row[1]];
  throw blockError(number, "a row of it is no id with a line number");
}

function blockCall<Result>(number: number, work: () => Result): Result {
  try {
    return work();
  } catch (cause) {
    throw blockError(number, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function blockError(number: number, reason: string, cause?: unknown): CoreError {
  return new CoreError("damaged", `block ${number}: ${reason}`, { cause });
}

async function readExactly(source: SegmentSource, start: number, end: number): Promise<Uint8Array> {
  const bytes = await source.read(start, end);
  if (bytes.byteLength === end - start) return bytes;
  throw new CoreError(
    "damaged",
    `bytes ${start} to ${end} gave ${bytes.byteLength}; is the file cut off?`,
  );
}

/** Puts the segment's name before what went wrong. */
async function named<Result>(
  { tenant, segmentId }: SegmentReaderOptions,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof CoreError)) throw cause;
    const at = `segment ${segmentId} of ${tenant}`;
    throw new CoreError(cause.code, `${at}: ${cause.message}`, { cause, at });
  }
}
