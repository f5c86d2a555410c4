import { ImportError } from "@custody/contract/importer";
import type { JsonFragment, Source, SourceHead, SourceLine } from "@custody/contract/importer";

import { decompress } from "./decompression.ts";
import { pathTree } from "./json-paths.ts";
import { JsonScanner } from "./json-scanner.ts";
import { readLines } from "./line-reader.ts";
import { READING_LIMITS } from "./reading-limits.ts";
import type { ReadingLimits } from "./reading-limits.ts";
import { utf8Chunks } from "./unicode.ts";

export interface SourceOptions {
  /** The file's name, with or without folders and compression endings. */
  readonly name: string;
  /** True to replace invalid bytes by U+FFFD instead of refusing them. Default false. */
  readonly isLenient?: boolean;
  readonly limits?: Partial<ReadingLimits>;
}

/** Characters of a source that `detect` gets to see. */
const HEAD_LENGTH_MAX = 64 * 1024;

/**
 * Opens a source: unpacks, decodes and bounds it as it streams, and reads its beginning.
 *
 * It can be read once. A source that is not read to its end must be closed.
 *
 * @throws ImportError `malformed`, `encoding`, `limit` or `unknown-format` where the beginning is
 *   already wrong; reading throws the same for the rest.
 */
export async function openSource(
  bytes: AsyncIterable<Uint8Array>,
  options: SourceOptions,
): Promise<OpenedSource> {
  const limits: ReadingLimits = { ...READING_LIMITS, ...options.limits };
  const unpacked = decompress(bytes, limits);
  const chunks = utf8Chunks(unpacked, options.isLenient ?? false)[Symbol.asyncIterator]();
  const start: Buffer[] = [];
  let startBytes = 0;
  let isWhole = false;
  while (startBytes <= HEAD_LENGTH_MAX && !isWhole) {
    const next = await chunks.next();
    if (next.done === true) isWhole = true;
    else {
      start.push(next.value);
      startBytes += next.value.length;
    }
  }
  const text = Buffer.concat(start).toString("utf8");
  const name = plainName(options.name);
  const head: SourceHead = {
    name,
    text: text.slice(0, HEAD_LENGTH_MAX),
    isWhole: isWhole && text.length <= HEAD_LENGTH_MAX,
  };
  return new OpenedSource(head, { start, chunks, limits });
}

/** The file's name without folders and compression endings. */
function plainName(name: string): string {
  const last = name.split(/[\\/]/).at(-1) ?? name;
  return last.replace(/\.(?:gz|gzip|zst|zstd|bz2)$/i, "");
}

/** A source whose beginning is known. */
export class OpenedSource implements Source, AsyncDisposable {
  readonly name: string;
  readonly head: SourceHead;
  readonly #start: Buffer[];
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #limits: ReadingLimits;
  #isTaken = false;

  constructor(
    head: SourceHead,
    rest: { start: Buffer[]; chunks: AsyncIterator<Buffer>; limits: ReadingLimits },
  ) {
    this.name = head.name;
    this.head = head;
    this.#start = rest.start;
    this.#chunks = rest.chunks;
    this.#limits = rest.limits;
  }

  async *text(): AsyncGenerator<string> {
    for await (const chunk of this.#take()) yield chunk.toString("utf8");
  }

  lines(): AsyncIterable<SourceLine> {
    return readLines(this.#take(), this.#limits.lineBytesMax);
  }

  async *json(paths: readonly string[]): AsyncGenerator<JsonFragment> {
    const scanner = new JsonScanner(pathTree(paths), this.#limits);
    for await (const chunk of this.#take()) yield* scanner.feed(chunk);
    yield* scanner.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return?.();
  }

  async *#take(): AsyncGenerator<Buffer> {
    if (this.#isTaken) throw new ImportError("malformed", "a source can be read only once");
    this.#isTaken = true;
    try {
      // Parts are let go as they are given out, so that the beginning is not kept while reading.
      for (let part = this.#start.shift(); part !== undefined; part = this.#start.shift()) {
        yield part;
      }
      for (;;) {
        const next = await this.#chunks.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await this.#chunks.return?.();
    }
  }
}
