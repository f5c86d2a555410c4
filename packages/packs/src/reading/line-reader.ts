import { ImportError } from "@custody/contract/importer";
import type { SourceLine } from "@custody/contract/importer";

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/**
 * Cuts UTF-8 into lines at `\n` or `\r\n`; a last line without an end counts, an empty rest does not.
 *
 * @throws ImportError `limit` at the line that is longer than `lineBytesMax`.
 */
export async function* readLines(
  chunks: AsyncIterable<Buffer>,
  lineBytesMax: number,
): AsyncGenerator<SourceLine> {
  let number = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      number += 1;
      checkLength(heldBytes + end - start, lineBytesMax, number);
      const part = chunk.subarray(start, end);
      yield { number, text: lineText(held.length === 0 ? part : Buffer.concat([...held, part])) };
      held = [];
      heldBytes = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      held.push(chunk.subarray(start));
      heldBytes += chunk.length - start;
      checkLength(heldBytes, lineBytesMax, number + 1);
    }
  }
  if (heldBytes > 0) yield { number: number + 1, text: lineText(Buffer.concat(held)) };
}

function lineText(line: Buffer): string {
  const end = line[line.length - 1] === RETURN ? line.length - 1 : line.length;
  return line.toString("utf8", 0, end);
}

function checkLength(bytes: number, bytesMax: number, number: number): void {
  if (bytes <= bytesMax) return;
  throw new ImportError("limit", `line ${number} is longer than ${bytesMax} bytes`, {
    at: `line ${number}`,
  });
}
