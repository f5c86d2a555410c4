import { FaultError } from "../fault.ts";
import type { Fault } from "../fault.ts";
import { countOf } from "../output/quantity.ts";

/** A file that was not imported, and why. */
export interface FailedFile {
  readonly path: string;
  readonly fault: Fault;
}

const FILE_CODES: ReadonlySet<string> = new Set([
  "malformed",
  "empty",
  "unknown-format",
  "encoding",
  "limit",
  "invalid",
  "invalid-record",
  "conflict",
  "no-such-file",
  "unreadable-file",
]);

/** Whether the fault lies in the file, so that the next file may fare better. */
export function isOfOneFile({ code }: Fault): boolean {
  return FILE_CODES.has(code);
}

/** The failure of a command that could not import every file: the first one, and how many more. */
export function failedFiles(failed: readonly FailedFile[]): FaultError {
  const [first, ...others] = failed;
  const fault = first?.fault ?? { code: "failed", message: "no file was imported" };
  const more = others.length === 0 ? "" : ` (and ${countOf(others.length, "more file")} failed)`;
  return new FaultError({
    ...fault,
    message: `${fault.message}${more}`,
    ...(first === undefined ? {} : { path: first.path }),
  });
}
