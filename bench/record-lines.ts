import { closeSync, openSync, readSync } from "node:fs";

const READ_BYTES = 4 * 1024 * 1024;
const LINE_END = 0x0a;

/** Lines of a JSON Lines file, copied together into one buffer. */
export interface LineBatch {
  /** Lines before this batch. */
  readonly first: number;
  /** The lines with their line ends. */
  readonly bytes: Buffer;
  /** Each line without its end, within `bytes`. */
  readonly lines: readonly Buffer[];
}

/** Reads a file in batches of so many lines, holding little more than one of them. */
export function* lineBatches(path: string, linesMax: number): Generator<LineBatch> {
  const file = openSync(path, "r");
  const chunk = Buffer.allocUnsafeSlow(READ_BYTES);
  let first = 0;
  let lines: Buffer[] = [];
  let rest = Buffer.alloc(0);
  const take = (): LineBatch => {
    const batch = joined(first, lines);
    first += lines.length;
    lines = [];
    return batch;
  };
  try {
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      const text = Buffer.concat([rest, chunk.subarray(0, read)]);
      let start = 0;
      for (let end = text.indexOf(LINE_END); end >= 0; end = text.indexOf(LINE_END, start)) {
        lines.push(text.subarray(start, end));
        start = end + 1;
        if (lines.length === linesMax) yield take();
      }
      rest = text.subarray(start);
    }
    if (rest.length > 0) lines.push(rest);
    if (lines.length > 0) yield take();
  } finally {
    closeSync(file);
  }
}

/** The JSON values of a batch's lines. */
export function parsedLines<Value>({ lines }: LineBatch): Value[] {
  return lines.map((line) => JSON.parse(line.toString("utf8")) as Value);
}

function joined(first: number, lines: readonly Buffer[]): LineBatch {
  const length = lines.reduce((sum, line) => sum + line.length + 1, 0);
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = 0;
  const copies = lines.map((line) => {
    const start = at;
    at += line.copy(bytes, at);
    bytes[at] = LINE_END;
    at += 1;
    return bytes.subarray(start, at - 1);
  });
  return { first, bytes, lines: copies };
}
