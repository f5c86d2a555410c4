import { once } from "node:events";

import { CommandError } from "./command-error.ts";

/** The world as a command sees it: the process's own, or one that a test has made. */
export interface Terminal {
  /** Writes to standard output and waits while the reader is slower than we are. */
  readonly write: (bytes: string | Uint8Array) => Promise<void>;
  /** Writes to standard error, for people. */
  readonly note: (text: string) => void;
  readonly input: () => AsyncIterable<Uint8Array>;
  /** True when standard output is read by a person. */
  readonly isInteractive: boolean;
  readonly isInputInteractive: boolean;
  /** Width in columns; `Infinity` when standard output is a file or a pipe. */
  readonly columns: number;
  /** Where a progress bar may be drawn; `undefined` when standard error is no terminal. */
  readonly progress: NodeJS.WriteStream | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
  /** Epoch milliseconds. */
  readonly clock: () => number;
  /** Calls back when the user asks to stop; disposing ends that. */
  readonly onInterrupt: (listener: () => void) => Disposable;
}

// A second request to stop is answered at once, with the code that shells use for an interrupt.
const INTERRUPTED_EXIT_CODE = 130;

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const { stdout, stderr, stdin } = process;
  // Without a listener a reader that went away (`… | head`) would be an uncaught exception.
  stdout.on("error", () => undefined);
  return {
    write: writeStandardOutput,
    note: (text) => void stderr.write(text),
    input: () => stdin as AsyncIterable<Uint8Array>,
    isInteractive: stdout.isTTY,
    isInputInteractive: stdin.isTTY,
    columns: stdout.isTTY ? stdout.columns : Number.POSITIVE_INFINITY,
    progress: stderr.isTTY ? stderr : undefined,
    environment: process.env,
    directory: process.cwd(),
    clock: Date.now,
    onInterrupt: listenForInterrupts,
  };
}

async function writeStandardOutput(bytes: string | Uint8Array): Promise<void> {
  const { stdout } = process;
  if (stdout.destroyed || stdout.errored !== null) throw closedOutput();
  if (stdout.write(bytes)) return;
  try {
    await once(stdout, "drain");
  } catch {
    throw closedOutput();
  }
}

function closedOutput(): CommandError {
  return new CommandError("output-closed", "whoever read the output has gone");
}

function listenForInterrupts(listener: () => void): Disposable {
  let count = 0;
  const heard = (): void => {
    count += 1;
    if (count > 1) process.exit(INTERRUPTED_EXIT_CODE);
    listener();
  };
  process.on("SIGINT", heard);
  process.on("SIGTERM", heard);
  return {
    [Symbol.dispose]() {
      process.off("SIGINT", heard);
      process.off("SIGTERM", heard);
    },
  };
}
