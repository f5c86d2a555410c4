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

/** Reads a file in batches of so many lines, holding little more than one of them. */
export function* lineBatches(path: string, linesMax: number): Generator<LineBatch> {
  const file = openSync(path, "r");
  let pending = Buffer.alloc(0);
  let first = 1;
  let ends: number[] = [];
  let searched = 0;
  try {
    for (;;) {
      for (
        let end = pending.indexOf(LINE_END, searched);
        end >= 0;
        end = pending.indexOf(LINE_END, end + 1)
      ) {
        ends.push(end);
        searched = end + 1;
        if (ends.length < linesMax) continue;
        yield batchOf(first, pending, ends);
        first += ends.length;
        pending = pending.subarray(searched);
        end = -1;
        searched = 0;
        ends = [];
      }
      const longer = Buffer.allocUnsafeSlow(pending.length + READ_BYTES);
      const read = readSync(file, longer, pending.length, READ_BYTES, null);
      if (read === 0) break;
      longer.set(pending);
      searched = pending.length;
      pending = longer.subarray(0, pending.length + read);
    }
    if (ends.length > 0) yield batchOf(first, pending, ends);
  } finally {
    closeSync(file);
  }
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
