import { fork } from "node:child_process";

import type { Invariant } from "./violation.ts";

/** Which seeds to run, and in how many processes. */
export interface SeedRange {
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
}

/** A seed that broke an invariant. */
export interface SeedFailure {
  readonly seed: number;
  readonly invariant: Invariant;
  readonly reason: string;
}

/** What a range of seeds came to. */
export interface SeedReport {
  readonly failures: readonly SeedFailure[];
  readonly events: number;
  readonly tookMs: number;
}

/** What a child says: at its end, or now and then. */
export interface SeedMessage {
  readonly failures: readonly SeedFailure[];
  readonly events: number;
}

/** Runs seeds in processes of their own, each a part of the range. */
export async function runSeeds({ from, count, jobs }: SeedRange): Promise<SeedReport> {
  const startedAt = performance.now();
  const size = Math.ceil(count / jobs);
  const parts = Array.from({ length: jobs }, (_, job) => {
    return { first: from + job * size, last: Math.min(from + (job + 1) * size, from + count) };
  });
  const reports = await Promise.all(parts.map(({ first, last }) => runPart(first, last)));
  return {
    failures: reports.flatMap(({ failures }) => failures),
    events: reports.reduce((sum, { events }) => sum + events, 0),
    tookMs: performance.now() - startedAt,
  };
}

function runPart(first: number, end: number): Promise<SeedMessage> {
  const child = fork(new URL("./seed-child.ts", import.meta.url), [String(first), String(end)]);
  return new Promise((resolve, reject) => {
    let message: SeedMessage | undefined;
    child.on("message", (said) => (message = said as SeedMessage));
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (message !== undefined) resolve(message);
      else
        reject(new Error(`seeds ${first} to ${end - 1} ended without a word: ${code ?? signal}`));
    });
  });
}
