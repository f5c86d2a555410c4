import { CoreError } from "../../errors.ts";
import { LINE_BYTES_MAX, lineHead } from "./line.ts";
import type { LineParts } from "./line.ts";

/** Many lines in one buffer, each followed by a line feed; the buffer may be shared memory. */
export interface Lines {
  readonly text: Uint8Array;
  /** Where each line begins, and the end: line `i` is `offsets[i]` to `offsets[i + 1] - 1`. */
  readonly offsets: Uint32Array;
}

/** How many lines there are. */
export function lineCount(lines: Lines): number {
  return lines.offsets.length - 1;
}

/** The bytes of line `index` without its line feed, as a view. */
export function lineAt(lines: Lines, index: number): Uint8Array {
  return lines.text.subarray(lines.offsets[index], (lines.offsets[index + 1] ?? 0) - 1);
}

/** Lines `from` to `to` (exclusive) as a view into the same text. */
export function sliceLines(lines: Lines, from: number, to: number): Lines {
  return { text: lines.text, offsets: lines.offsets.subarray(from, to + 1) };
}

/**
 * Finds the lines in text in which each is followed by a line feed.
 *
 * @throws CoreError `damaged` when the text does not end with a line feed or has another number of lines.
 */
export function splitLines(text: Uint8Array, expectedLines?: number): Lines {
  const buffer = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  const starts: number[] = [0];
  for (let at = buffer.indexOf(LINE_FEED); at >= 0; at = buffer.indexOf(LINE_FEED, at + 1))
    starts.push(at + 1);
  const found = starts.length - 1;
  if (starts[found] !== buffer.byteLength)
    throw new CoreError("damaged", "text of lines does not end with a line feed");
  if (expectedLines !== undefined && found !== expectedLines)
    throw new CoreError("damaged", `text has ${found} lines where ${expectedLines} should be`);
  return { text, offsets: Uint32Array.from(starts) };
}

/** Joins encoded lines; for small numbers of them, see {@link LineWriter} for many. */
export function joinLines(parts: readonly Uint8Array[]): Lines {
  const offsets = new Uint32Array(parts.length + 1);
  let length = 0;
  for (const [index, part] of parts.entries()) offsets[index + 1] = length += part.byteLength + 1;
  const text = new Uint8Array(new SharedArrayBuffer(length)).fill(LINE_FEED);
  for (const [index, part] of parts.entries()) text.set(part, offsets[index]);
  return { text, offsets };
}

const LINE_FEED = 0x0a;
const FIRST_BYTES = 256 * 1024;
const DATA_OPENING = `,"data":`;

/**
 * Writes lines one behind the other into shared memory without a buffer for each.
 *
 * A writer is used for one batch: add, then take.
 */
export class LineWriter {
  #buffer: Buffer;
  #length = 0;
  readonly #offsets: number[] = [0];

  constructor(bytes: number = FIRST_BYTES) {
    this.#buffer = sharedBuffer(bytes);
  }

  get count(): number {
    return this.#offsets.length - 1;
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.#length;
  }

  /**
   * Appends a line.
   *
   * @throws CoreError `invalid` when it is longer than {@link LINE_BYTES_MAX}.
   */
  add(parts: LineParts): void {
    const { data } = parts;
    const start = this.#length;
    const head = lineHead(parts);
    if (data === undefined) this.#text(`${head}}\n`);
    else if (typeof data === "string") this.#text(`${head}${DATA_OPENING}${data}}\n`);
    else {
      this.#text(head + DATA_OPENING);
      this.#bytes(data);
      this.#text("}\n");
    }
    if (this.#length - start - 1 > LINE_BYTES_MAX) {
      this.#length = start;
      throw new CoreError(
        "invalid",
        `record ${parts.id.slice(0, 80)} is longer than ${LINE_BYTES_MAX} bytes`,
      );
    }
    this.#offsets.push(this.#length);
  }

  /** The lines written; the writer must not be used again. */
  take(): Lines {
    return {
      text: new Uint8Array(this.#buffer.buffer, 0, this.#length),
      offsets: Uint32Array.from(this.#offsets),
    };
  }

  #text(text: string): void {
    // A UTF-16 unit takes at most three bytes of UTF-8.
    this.#reserve(text.length * 3);
    this.#length += this.#buffer.write(text, this.#length, "utf8");
  }

  #bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.byteLength) return;
    const larger = sharedBuffer(Math.max(needed, this.#buffer.byteLength * 2));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

// Buffers of lines that have been written, to be used again: a commit of a thousand records takes
// 3 MB, and the collector lets go of such memory late.
const SPARE_MAX = 4;
const SPARE_BYTES_MAX = 8 * 1024 * 1024;
const STEP_BYTES = 256 * 1024;
const spare: SharedArrayBuffer[] = [];

/** Gives a writer's lines back once they are stored: their memory is used again, so nobody may read them after. */
export function releaseLines({ text: { buffer } }: Lines): void {
  if (!(buffer instanceof SharedArrayBuffer) || buffer.byteLength > SPARE_BYTES_MAX) return;
  if (spare.length < SPARE_MAX && !spare.includes(buffer)) spare.push(buffer);
}

function sharedBuffer(bytes: number): Buffer {
  const fitting = spare.findIndex(
    ({ byteLength }) => byteLength >= bytes && byteLength <= bytes * 4,
  );
  const [used] = fitting < 0 ? [] : spare.splice(fitting, 1);
  const rounded = Math.ceil(bytes / STEP_BYTES) * STEP_BYTES;
  return Buffer.from(used ?? new SharedArrayBuffer(bytes < STEP_BYTES ? bytes : rounded));
}
