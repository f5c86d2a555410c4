import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";

import type { Invariant } from "./violation.ts";

/** Which seeds to run, and in how many processes. */
export interface SeedRange {
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
  /** Told whenever some seeds more are done; every seed below `doneBelow` is. */
  readonly onProgress?: (progress: SeedProgress) => void;
}

/** How far a range of seeds has come. */
export interface SeedProgress {
  readonly done: number;
  readonly doneBelow: number;
  readonly failures: readonly SeedFailure[];
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

/** What a child is asked for: the seeds from `first` up to, not including, `end`. */
export interface SeedTask {
  readonly first: number;
  readonly end: number;
}

/** What a child says of a task. */
export interface SeedMessage {
  readonly failures: readonly SeedFailure[];
  readonly events: number;
}

// Few enough that the jobs end together, and enough that asking for them costs nothing.
const SEEDS_PER_TASK = 25;

/** Runs seeds in processes of their own, each of which takes the next few when it is done. */
export async function runSeeds(range: SeedRange): Promise<SeedReport> {
  const { from, count, jobs, onProgress } = range;
  const startedAt = performance.now();
  const end = from + count;
  const failures: SeedFailure[] = [];
  const open = new Set<number>();
  let [next, done, events] = [from, 0, 0];
  const work = async (): Promise<void> => {
    const child = fork(new URL("./seed-child.ts", import.meta.url));
    try {
      while (next < end) {
        const task = { first: next, end: Math.min(next + SEEDS_PER_TASK, end) };
        next = task.end;
        open.add(task.first);
        const said = await answerOf(child, task);
        open.delete(task.first);
        failures.push(...said.failures);
        events += said.events;
        done += task.end - task.first;
        onProgress?.({ done, doneBelow: Math.min(next, ...open), failures });
      }
    } finally {
      if (child.connected) child.disconnect();
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  failures.sort((left, right) => left.seed - right.seed);
  return { failures, events, tookMs: performance.now() - startedAt };
}

function answerOf(child: ChildProcess, task: SeedTask): Promise<SeedMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<SeedMessage>();
  const onMessage = (said: unknown): void => resolve(said as SeedMessage);
  const onExit = (code: number | null, signal: string | null): void =>
    reject(
      new Error(`seeds ${task.first} to ${task.end - 1} ended without a word: ${code ?? signal}`),
    );
  child.once("message", onMessage).once("error", reject).once("exit", onExit);
  child.send(task);
  return promise.finally(() =>
    child.off("message", onMessage).off("error", reject).off("exit", onExit),
  );
}
