import { parseArgs } from "node:util";

/** What a child process is to do, given as its only argument in JSON. */
export interface RunRequest {
  /** JSON Lines of evidence. */
  readonly input: string;
  /** A fresh directory of its own. */
  readonly directory: string;
  readonly records: number;
  readonly durability: "durable" | "relaxed";
}

/** The request a child was started with. */
export function runRequest(): RunRequest {
  const { positionals } = parseArgs({ allowPositionals: true });
  // The parent is this benchmark itself.
  return JSON.parse(positionals[0] ?? "") as RunRequest;
}

/** Sends the answer to the parent and lets the process end. */
export function answer(facts: Readonly<Record<string, unknown>>): void {
  if (process.send === undefined) process.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`);
  else process.send(facts, () => process.disconnect());
}

/** Records committed together. */
export const BATCH_RECORDS = 1_000;
