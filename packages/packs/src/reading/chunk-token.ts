import { countNewlines } from "./unicode.ts";

const NEWLINE = 0x0a;
const EMPTY = Buffer.alloc(0);

/** A place in a text. */
export interface Place {
  readonly line: number;
  /** Counted in bytes of UTF-8, from 1. */
  readonly column: number;
}

/**
 * The chunk being walked, and the token in it that is being collected, which may have begun in an
 * earlier chunk.
 */
export class ChunkToken {
  chunk: Buffer = EMPTY;
  #start = -1;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #place: Place | undefined;
  #takenAt = 0;
  #takenPlace: Place | undefined;
  #line: number;
  #bytesBefore = 0;
  #lineStart: number;

  constructor(from: Place) {
    this.#line = from.line;
    this.#lineStart = 1 - from.column;
  }

  /** Begins to collect at an offset of the chunk. */
  begin(at: number): void {
    this.#start = at;
  }

  /** Bytes collected up to an offset. */
  bytesTo(at: number): number {
    return this.#partBytes + at - this.#start;
  }

  /** Ends collecting before an offset and gives the bytes. */
  take(end: number): Buffer {
    const last = this.chunk.subarray(Math.max(this.#start, 0), end);
    const token = this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last]);
    this.#takenAt = this.#start;
    this.#takenPlace = this.#place;
    this.#start = -1;
    this.#parts = [];
    this.#partBytes = 0;
    this.#place = undefined;
    return token;
  }

  /** Where the token that was last taken began; counted only when a message needs it. */
  takenPlace(): Place {
    return this.#takenPlace ?? this.placeOf(this.#takenAt);
  }

  /** Leaves the chunk, keeping the part of the token that lies in it; answers the bytes kept. */
  leaveChunk(): number {
    if (this.#start >= 0) {
      this.#place ??= this.placeOf(this.#start);
      const part = this.chunk.subarray(this.#start);
      this.#parts.push(part);
      this.#partBytes += part.length;
      this.#start = 0;
    }
    const newline = this.chunk.lastIndexOf(NEWLINE);
    if (newline !== -1) {
      this.#line += countNewlines(this.chunk);
      this.#lineStart = this.#bytesBefore + newline + 1;
    }
    this.#bytesBefore += this.chunk.length;
    this.chunk = EMPTY;
    return this.#partBytes;
  }

  /** Where an offset of the chunk lies in the text. */
  placeOf(at: number): Place {
    const before = this.chunk.subarray(0, at);
    const newline = before.lastIndexOf(NEWLINE);
    const lineStart = newline === -1 ? this.#lineStart : this.#bytesBefore + newline + 1;
    return {
      line: this.#line + countNewlines(before),
      column: this.#bytesBefore + at - lineStart + 1,
    };
  }
}
