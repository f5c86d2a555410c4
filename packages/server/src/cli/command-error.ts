/**
 * What the command line itself can fail with, beside the codes of the library.
 *
 * - `usage`: the command line is wrong.
 * - `no-such-file`, `unreadable-file`, `unwritable-file`: a file named on the command line.
 * - `interrupted`: the user asked to stop.
 * - `output-closed`: whoever read standard output has gone; not reported.
 */
export type CommandErrorCode =
  | "usage"
  | "no-such-file"
  | "unreadable-file"
  | "unwritable-file"
  | "not-found"
  | "interrupted"
  | "unsupported"
  | "output-closed";

/** Thrown by the command line's own code; carried to the user by `faultOf`. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly code: CommandErrorCode;
  readonly path: string | undefined;
  /** What to do next: a sentence, or a command. */
  readonly next: string | undefined;

  constructor(
    code: CommandErrorCode,
    message: string,
    options?: ErrorOptions & { readonly path?: string; readonly next?: string },
  ) {
    super(message, options);
    this.code = code;
    this.path = options?.path;
    this.next = options?.next;
  }
}

/** A wrong command line. */
export function usageError(message: string, next?: string): CommandError {
  return new CommandError("usage", message, next === undefined ? {} : { next });
}
