import { isUtf8 } from "node:buffer";

import { ImportError } from "@custody/contract/importer";

const NEWLINE = 0x0a;
const SHORT_LINE = 128;

/**
 * Turns bytes into chunks of valid UTF-8 that cut no character, without a byte order mark.
 *
 * UTF-16 is recognised by its byte order mark (Unicode 16, §23.8). Invalid bytes are refused, or
 * with `isLenient` become U+FFFD.
 *
 * @throws ImportError `encoding` with the line of the first invalid byte.
 */
export async function* utf8Chunks(
  bytes: AsyncIterable<Buffer>,
  isLenient: boolean,
): AsyncGenerator<Buffer> {
  const iterator = bytes[Symbol.asyncIterator]();
  const rest: AsyncIterable<Buffer> = { [Symbol.asyncIterator]: () => iterator };
  try {
    let start = Buffer.alloc(0);
    while (start.length < 4) {
      const next = await iterator.next();
      if (next.done === true) break;
      start = Buffer.concat([start, next.value]);
    }
    const wide = wideEncoding(start);
    if (wide !== undefined) yield* fromUtf16(wide, start.subarray(2), rest, isLenient);
    else yield* checked(withoutMark(start), rest, isLenient);
  } finally {
    await iterator.return?.();
  }
}

type Wide = "utf-16le" | "utf-16be";

function wideEncoding(start: Buffer): Wide | undefined {
  if (start.length >= 4 && start.readUInt32LE() === 0x0000feff) {
    throw new ImportError("encoding", "the source is UTF-32; convert it to UTF-8");
  }
  if (start.length < 2) return undefined;
  const mark = start.readUInt16BE();
  return mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : undefined;
}

function withoutMark(start: Buffer): Buffer {
  const isMarked = start[0] === 0xef && start[1] === 0xbb && start[2] === 0xbf;
  return isMarked ? start.subarray(3) : start;
}

async function* fromUtf16(
  encoding: Wide,
  start: Buffer,
  rest: AsyncIterable<Buffer>,
  isLenient: boolean,
): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder(encoding, { fatal: !isLenient, ignoreBOM: true });
  let line = 1;
  const decode = (chunk: Buffer | undefined): Buffer => {
    try {
      const text = Buffer.from(decoder.decode(chunk, { stream: chunk !== undefined }), "utf8");
      line += countNewlines(text);
      return text;
    } catch (cause) {
      throw new ImportError("encoding", `invalid ${encoding.toUpperCase()} after line ${line}`, {
        cause,
        at: `line ${line}`,
      });
    }
  };
  if (start.length > 0) yield decode(start);
  for await (const chunk of rest) yield decode(chunk);
  const end = decode(undefined);
  if (end.length > 0) yield end;
}

async function* checked(
  start: Buffer,
  rest: AsyncIterable<Buffer>,
  isLenient: boolean,
): AsyncGenerator<Buffer> {
  let line = 1;
  let lineBytes = 0;
  let held = start;
  const settle = (text: Buffer): Buffer => {
    if (!isUtf8(text)) {
      if (!isLenient) refuse(text, line, lineBytes);
      return Buffer.from(text.toString("utf8"), "utf8");
    }
    line += countNewlines(text);
    const newline = text.lastIndexOf(NEWLINE);
    lineBytes = newline === -1 ? lineBytes + text.length : text.length - newline - 1;
    return text;
  };
  for await (const chunk of rest) {
    const joined = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const end = wholeCharacters(joined);
    held = joined.subarray(end);
    if (end > 0) yield settle(joined.subarray(0, end));
  }
  if (held.length > 0) yield settle(held);
}

/** Where the last whole character ends: at most three bytes of a begun one are left for later. */
function wholeCharacters(bytes: Buffer): number {
  const { length } = bytes;
  for (let back = 1; back <= Math.min(3, length); back += 1) {
    const byte = bytes[length - back] ?? 0;
    if (byte < 0x80) return length;
    if (byte >= 0xc0) {
      const wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return wanted > back ? length - back : length;
    }
  }
  return length;
}

function refuse(text: Buffer, firstLine: number, lineBytes: number): never {
  let low = 0;
  let high = text.length;
  // The longest valid beginning ends at the first invalid byte, give or take a begun character.
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const part = text.subarray(0, middle);
    if (isUtf8(part.subarray(0, wholeCharacters(part)))) low = middle;
    else high = middle - 1;
  }
  const before = text.subarray(0, wholeCharacters(text.subarray(0, low)));
  const line = firstLine + countNewlines(before);
  const newline = before.lastIndexOf(NEWLINE);
  const column = newline === -1 ? lineBytes + before.length + 1 : before.length - newline;
  throw new ImportError(
    "encoding",
    `the source is not UTF-8: an invalid byte at line ${line}, byte ${column}`,
    { at: `line ${line}, column ${column}` },
  );
}

/** How many line feeds lie in `bytes`. */
export function countNewlines(bytes: Buffer): number {
  let count = 0;
  const first = bytes.indexOf(NEWLINE);
  if (first === -1) return 0;
  // A call of indexOf costs about as much as looking at a hundred bytes.
  if (first < SHORT_LINE) {
    for (const byte of bytes) if (byte === NEWLINE) count += 1;
    return count;
  }
  for (let at = first; at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}
