import { closeSync, openSync, readSync } from "node:fs";

const READ_BYTES = 4 * 1024 * 1024;
const LINE_END = 0x0a;

/** Lines of a JSON Lines file that lie together in one buffer. */
export interface LineBatch {
  /** The number of the first line, counted from 1. */
  readonly first: number;
  /** The lines with their line ends. */
  readonly bytes: Buffer;
  /** Each line without its end, within `bytes`. */
  readonly lines: readonly Buffer[];
}

/** Reads a file in batches of so many lines. A batch's bytes are good until the next one is asked for. */
export function* lineBatches(path: string, linesMax: number): Generator<LineBatch> {
  const file = openSync(path, "r");
  let first = 1;
  // One buffer for the whole file: a new one each time would be the collector's main work.
  let buffer = Buffer.allocUnsafeSlow(2 * READ_BYTES);
  let length = 0;
  try {
    for (let isEnd = false; !isEnd;) {
      if (length + READ_BYTES > buffer.length) {
        const longer = Buffer.allocUnsafeSlow(2 * (length + READ_BYTES));
        longer.set(buffer.subarray(0, length));
        buffer = longer;
      }
      const read = readSync(file, buffer, length, READ_BYTES, null);
      isEnd = read === 0;
      length += read;
      let rest = buffer.subarray(0, length);
      for (
        let ends = lineEnds(rest, linesMax);
        ends.length === linesMax || (isEnd && ends.length > 0);
        ends = lineEnds(rest, linesMax)
      ) {
        const batch = batchOf(first, rest, ends);
        yield batch;
        first += ends.length;
        rest = rest.subarray(batch.bytes.length);
      }
      length = rest.length;
      buffer.set(rest);
    }
  } finally {
    closeSync(file);
  }
}

function lineEnds(bytes: Buffer, linesMax: number): readonly number[] {
  const ends: number[] = [];
  let end = bytes.indexOf(LINE_END);
  while (end >= 0 && ends.length < linesMax) {
    ends.push(end);
    end = bytes.indexOf(LINE_END, end + 1);
  }
  return ends;
}

/** The JSON values of a batch's lines. */
export function parsedLines<Value>({ lines }: LineBatch): Value[] {
  return lines.map((line) => JSON.parse(line.toString("utf8")) as Value);
}

function batchOf(first: number, pending: Buffer, ends: readonly number[]): LineBatch {
  const lines = ends.map((end, index) => {
    const start = index === 0 ? 0 : (ends[index - 1] ?? 0) + 1;
    return pending.subarray(start, end);
  });
  return { first, bytes: pending.subarray(0, (ends.at(-1) ?? -1) + 1), lines };
}
