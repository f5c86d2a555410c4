import { ContractError } from "@custody/contract/errors";
import { ImportError } from "@custody/contract/importer";
import { CoreError } from "@custody/core/errors";
import { StoreError } from "@custody/stores/errors";
import { CommanderError } from "commander";

import { CommandError } from "./command-error.ts";

/** A failure as the user is told it. The codes are listed in docs/reference/command-line.md. */
export interface Fault {
  readonly code: string;
  readonly message: string;
  /** Where: `line 12`, a JSON pointer, `entry 7 of acme`. */
  readonly at?: string;
  /** The file it is about. */
  readonly path?: string;
  /** What to do next. */
  readonly next?: string;
  /** Milliseconds after which the same is likely to be taken. */
  readonly retryAfterMs?: number;
}

/** Thrown where the fault is known already. */
export class FaultError extends Error {
  override readonly name = "FaultError";
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** The exit codes that scripts may rely on. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const USAGE_CODES: ReadonlySet<string> = new Set(["usage", "invalid-filter", "invalid-id"]);

const NEXT_STEPS: Readonly<Record<string, string>> = {
  malformed: "mend the file, or keep its good rows with --lenient",
  empty: "the file holds nothing; nothing was committed",
  "unknown-format": "name the format with --format; `custody import --help` lists them",
  encoding: "the file must be UTF-8 or UTF-16; --lenient replaces what is not",
  "not-found": "`custody find TYPE` lists what there is",
  "would-lose": "see docs/how-to/change-a-record-type.md before you accept the loss",
  damaged: "run `custody verify` to see what is wrong, and restore from a backup",
  "no-key":
    "set CUSTODY_KEY_FILE to this data directory's key, or run `custody keys recover` with the recovery key",
  unavailable:
    "see that what is named can be reached, or wait until the process that holds it has ended; then run the same command again",
  full: "free some space and run the same command again: it resumes",
  busy: "wait for the time it says and run the same command again: nothing of it was written",
  "read-only": "make the data directory writable for this user",
  corrupt: "run `custody rebuild ROLE`: every store is rebuilt from the journal",
  "invalid-filter": "see docs/reference/command-line.md for the operators",
  interrupted: "run the same command again: it resumes",
};

/** Turns anything thrown into what the user is told. */
export function faultOf(error: unknown): Fault {
  if (error instanceof FaultError) return error.fault;
  if (error instanceof CommandError) return described(error.code, error.message, error);
  if (error instanceof CommanderError) return ofCommander(error);
  if (error instanceof CoreError || error instanceof ImportError) {
    return described(error.code, error.message, error);
  }
  if (error instanceof StoreError || error instanceof ContractError) {
    return described(error.code, error.message);
  }
  if (error instanceof Error && error.name === "AbortError") {
    return described("interrupted", "stopped before the end");
  }
  if (isSystemError(error)) return ofSystem(error);
  return {
    code: "internal",
    message: `a fault in Custody itself: ${error instanceof Error ? error.message : String(error)}`,
    next: "run it again with CUSTODY_DEBUG=1 and report what it prints",
  };
}

/** 2 when the command line is wrong, 1 for any other failure. */
export function exitCodeOf(fault: Fault): ExitCode {
  return USAGE_CODES.has(fault.code) ? EXIT.usage : EXIT.failed;
}

function described(
  code: string,
  message: string,
  place: {
    readonly at?: string | undefined;
    readonly path?: string | undefined;
    readonly next?: string | undefined;
    readonly retryAfterMs?: number | undefined;
  } = {},
): Fault {
  const next = place.next ?? NEXT_STEPS[code];
  return {
    code,
    message,
    ...(place.at === undefined ? {} : { at: place.at }),
    ...(place.path === undefined ? {} : { path: place.path }),
    ...(next === undefined ? {} : { next }),
    ...(place.retryAfterMs === undefined ? {} : { retryAfterMs: place.retryAfterMs }),
  };
}

function ofCommander(error: CommanderError): Fault {
  const [first = "", ...rest] = error.message.replace(/^error: /, "").split("\n");
  const suggestion = rest.find((line) => line.startsWith("(Did you mean"));
  return {
    code: "usage",
    message: first,
    next: suggestion?.slice(1, -1) ?? "`custody help` lists the commands",
  };
}

const SYSTEM_CODES: Readonly<Record<string, readonly [code: string, reason: string]>> = {
  ENOENT: ["no-such-file", "there is no such file"],
  ENOTDIR: ["no-such-file", "a part of the path is no directory"],
  EISDIR: ["unreadable-file", "it is a directory"],
  EACCES: ["unreadable-file", "this user may not do that"],
  EPERM: ["unreadable-file", "this user may not do that"],
  EEXIST: ["unwritable-file", "it is there already"],
  EROFS: ["read-only", "the file system is read-only"],
  ENOSPC: ["full", "no space is left"],
};

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && "code" in error;
}

function ofSystem(error: NodeJS.ErrnoException): Fault {
  const [code, reason] = SYSTEM_CODES[error.code ?? ""] ?? ["failed", error.message];
  const path = error.path;
  return described(code, path === undefined ? reason : `${path}: ${reason}`, { path });
}
