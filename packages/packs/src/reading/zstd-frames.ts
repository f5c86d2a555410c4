import { ImportError } from "@custody/contract/importer";

// RFC 8878 §3.1.1: magic numbers, little-endian.
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_MASK = 0xfffffff0;

const FRAME_MAGIC_BYTES: Uint8Array = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd);

const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

/** A run of bytes of one frame. */
export interface FramePiece {
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
}

type Step =
  | "magic"
  | "skip-size"
  | "descriptor"
  | "header"
  | "block"
  | "copy"
  | "skip"
  | "checksum";

/** Steps in which no byte belongs to a frame that is decoded. */
const OUTSIDE: ReadonlySet<Step> = new Set<Step>(["magic", "skip-size", "skip"]);

/**
 * Cuts a zstd file into its frames without decompressing it.
 *
 * Node's zstd decoder stops after the first frame of a chunk and drops the rest without an error
 * (measured with Node 24.21), so every frame gets a decoder of its own.
 */
export class ZstdFrames {
  #step: Step = "magic";
  #wanted = 4;
  #header = Buffer.alloc(0);
  #left = 0;
  #isLastBlock = false;
  #hasChecksum = false;
  #isSingleSegment = false;

  /** True between frames: where a file may end. */
  get isComplete(): boolean {
    return this.#step === "magic" && this.#header.length === 0;
  }

  /** Takes the next bytes of the file and gives the pieces of frames in them. */
  *feed(chunk: Uint8Array): Generator<FramePiece> {
    let at = 0;
    let start = OUTSIDE.has(this.#step) ? -1 : 0;
    while (at < chunk.length) {
      const before = this.#step;
      at += this.#take(chunk, at);
      if (before === "magic" && this.#step === "descriptor") {
        // The number may have been cut, so it is given anew.
        yield { bytes: FRAME_MAGIC_BYTES, isLast: false };
        start = at;
      } else if (start >= 0 && this.isComplete) {
        yield { bytes: chunk.subarray(start, at), isLast: true };
        start = -1;
      }
    }
    if (start >= 0 && start < at) yield { bytes: chunk.subarray(start, at), isLast: false };
  }

  /** Consumes bytes for the present step; answers how many. */
  #take(chunk: Uint8Array, at: number): number {
    const available = chunk.length - at;
    if (this.#step === "copy" || this.#step === "skip" || this.#step === "checksum") {
      const taken = Math.min(available, this.#left);
      this.#left -= taken;
      if (this.#left === 0) this.#endRun();
      return taken;
    }
    const taken = Math.min(available, this.#wanted - this.#header.length);
    this.#header = Buffer.concat([this.#header, chunk.subarray(at, at + taken)]);
    if (this.#header.length === this.#wanted) this.#readHeader();
    return taken;
  }

  #endRun(): void {
    if (this.#step === "copy" && !this.#isLastBlock) this.#expect("block", 3);
    else if (this.#step === "copy" && this.#hasChecksum) this.#run("checksum", 4);
    else this.#expect("magic", 4);
  }

  #readHeader(): void {
    const header = this.#header;
    switch (this.#step) {
      case "magic":
        return this.#readMagic(header.readUInt32LE());
      case "skip-size":
        return this.#run("skip", header.readUInt32LE());
      case "descriptor":
        return this.#readDescriptor(header.readUInt8());
      case "header":
        return this.#expect("block", 3);
      default:
        return this.#readBlock(header.readUIntLE(0, 3));
    }
  }

  #readMagic(magic: number): void {
    if (magic === FRAME_MAGIC) this.#expect("descriptor", 1);
    else if ((magic & SKIPPABLE_MASK) >>> 0 === SKIPPABLE_MAGIC) this.#expect("skip-size", 4);
    else
      throw new ImportError("malformed", "the zstd file goes on with something that is no frame");
  }

  #readDescriptor(descriptor: number): void {
    this.#isSingleSegment = (descriptor & 0x20) !== 0;
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    const sizeFlag = descriptor >> 6;
    const contentSize =
      sizeFlag === 0 && this.#isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0);
    const dictionary = DICTIONARY_ID_BYTES[descriptor & 0x03] ?? 0;
    const length = (this.#isSingleSegment ? 0 : 1) + dictionary + contentSize;
    this.#expect("header", length);
  }

  #readBlock(header: number): void {
    this.#isLastBlock = (header & 1) === 1;
    const kind = (header >> 1) & 3;
    if (kind === RESERVED_BLOCK) throw new ImportError("malformed", "the zstd file is damaged");
    this.#run("copy", kind === RLE_BLOCK ? 1 : header >> 3);
  }

  #expect(step: Step, bytes: number): void {
    this.#step = step;
    this.#wanted = bytes;
    this.#header = Buffer.alloc(0);
  }

  #run(step: Step, bytes: number): void {
    this.#step = step;
    this.#left = bytes;
    this.#header = Buffer.alloc(0);
    if (bytes === 0) this.#endRun();
  }
}
