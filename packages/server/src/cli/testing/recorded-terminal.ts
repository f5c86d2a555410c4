import { tmpdir } from "node:os";

import type { Terminal } from "../terminal.ts";

/** A terminal that keeps what was written to it. */
export interface RecordedTerminal {
  readonly terminal: Terminal;
  readonly output: () => string;
  readonly notes: () => string;
  /** Asks to stop, as Ctrl-C does. */
  readonly interrupt: () => void;
}

/** Makes a terminal for a test: no colours, no person, a clock that stands still. */
export function recordedTerminal(
  options: {
    readonly environment?: Readonly<Record<string, string>>;
    readonly directory?: string;
    readonly input?: string;
    readonly columns?: number;
    readonly isInteractive?: boolean;
  } = {},
): RecordedTerminal {
  let output = "";
  let notes = "";
  const listeners = new Set<() => void>();
  return {
    output: () => output,
    notes: () => notes,
    interrupt: () => listeners.forEach((listener) => listener()),
    terminal: {
      write: async (bytes) => {
        output += typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("utf8");
      },
      note: (text) => {
        notes += text;
      },
      input: async function* () {
        yield Buffer.from(options.input ?? "");
      },
      isInteractive: options.isInteractive ?? false,
      isInputInteractive: false,
      columns: options.columns ?? Infinity,
      progress: undefined,
      environment: options.environment ?? {},
      directory: options.directory ?? tmpdir(),
      clock: () => Date.UTC(2026, 10, 21, 12),
      onInterrupt: (listener) => {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
    },
  };
}
