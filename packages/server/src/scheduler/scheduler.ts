import type { Runtime } from "@custody/core/runtime";

import type { Schedule } from "./cron.ts";

/** A job as the scheduler sees it: a name and when it is due. */
export interface ScheduledJob {
  readonly name: string;
  readonly schedule: Schedule;
  /** Jobs of one lane never run at once; those of two may. */
  readonly lane: string;
}

/** How a run ended: `found-wrong` is a check that found something, and is not tried again. */
export type RunOutcome = "done" | "found-wrong" | "failed" | "interrupted";

/** One run of a job. Instants are epoch milliseconds. */
export interface JobRun {
  readonly job: string;
  /** The instant it was due at; a missed one is made up later. */
  readonly scheduledAt: number;
  readonly startedAt: number;
  readonly endedAt: number;
  /** 1 for the first attempt at this instant. */
  readonly attempt: number;
  readonly outcome: RunOutcome;
  /** What was done or found, in words. */
  readonly summary: string;
  /** The code of the failure. */
  readonly code?: string;
  /** When it is tried again. */
  readonly retryAt?: number;
  /** Numbers and names of what was done, for programs. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What is remembered of a job: loss of it means that every job runs once at the next start. */
export interface JobState {
  /** The newest due instant that was dealt with. */
  readonly scheduledAt?: number;
  readonly last?: JobRun;
  /** The newest run that did what it should. */
  readonly lastDoneAt?: number;
  readonly retry?: {
    readonly at: number;
    readonly attempt: number;
    readonly scheduledAt: number;
  };
}

export interface SchedulerParts {
  readonly jobs: readonly ScheduledJob[];
  readonly runtime: Pick<Runtime, "clock" | "sleep" | "random">;
  readonly states: Map<string, JobState>;
  /** Does the work; a failure is thrown. */
  readonly perform: (
    job: ScheduledJob,
    signal: AbortSignal,
  ) => Promise<Pick<JobRun, "outcome" | "summary" | "details">>;
  /** The code and the words of a failure. */
  readonly describe: (error: unknown) => { readonly code: string; readonly message: string };
  /** Told after each run, when its job's state has been set. */
  readonly onRun: (run: JobRun) => Promise<void>;
}

// Four attempts within some twenty minutes; after that the next due instant is the next attempt.
const ATTEMPTS_MAX = 4;
const RETRY_MS = 30_000;
const RETRY_FACTOR = 4;
// A clock that is set forward is noticed after a minute, and so is a job that became due by it.
const LOOK_MS = 60_000;

/**
 * Runs jobs when they are due, until the signal ends it in order: what is running is told to stop,
 * and is made up at the next start.
 *
 * A job that was due while nothing ran is made up once, however often it was due. One that failed is
 * tried again after pauses that grow and are drawn at random, so that many do not come back at once.
 */
export async function runScheduler(parts: SchedulerParts, signal: AbortSignal): Promise<void> {
  const lanes = Map.groupBy(parts.jobs, ({ lane }) => lane);
  await Promise.all([...lanes.values()].map((jobs) => runLane(parts, jobs, signal)));
}

async function runLane(
  parts: SchedulerParts,
  jobs: readonly ScheduledJob[],
  signal: AbortSignal,
): Promise<void> {
  const { runtime, states } = parts;
  while (!signal.aborted) {
    const now = runtime.clock();
    const due = jobs
      .map((job) => ({ job, turn: turnOf(job, states.get(job.name), now) }))
      .filter(({ turn }) => turn.at <= now);
    // The one that waits longest comes first, so that a frequent job does not crowd out a rare one. At the
    // first start all are due, and come in the policy's order: there is no drill before a backup.
    const waitsSince = (one: (typeof due)[number]): number =>
      states.get(one.job.name)?.scheduledAt === undefined ? now : one.turn.at;
    const [first] = due.toSorted((a, b) => waitsSince(a) - waitsSince(b));
    if (first === undefined) await runtime.sleep(untilNext(parts, jobs, now), signal);
    else await runOnce(parts, first, signal);
  }
}

function untilNext({ states }: SchedulerParts, jobs: readonly ScheduledJob[], now: number): number {
  const next = jobs.map((job) => turnOf(job, states.get(job.name), now).at);
  return Math.max(1, Math.min(LOOK_MS, ...next.map((at) => at - now)));
}

interface Turn {
  /** When it is to run; infinity when never again. */
  readonly at: number;
  readonly scheduledAt: number;
  readonly attempt: number;
}

/** The next turn of a job: at a due instant that was missed, at a new attempt, or later. */
function turnOf({ schedule }: ScheduledJob, state: JobState | undefined, now: number): Turn {
  const due = schedule.previous(now);
  // After the clock was set back the newest instant lies ahead: nothing is due until it comes again.
  const isNew = due !== undefined && (state?.scheduledAt === undefined || due > state.scheduledAt);
  if (isNew) return { at: due, scheduledAt: due, attempt: 1 };
  const next = schedule.next(Math.max(now, state?.scheduledAt ?? now)) ?? Infinity;
  const { retry } = state ?? {};
  if (retry !== undefined && retry.at < next) return retry;
  return { at: next, scheduledAt: next, attempt: 1 };
}

/** When a job is next run, as far as can be told now; `undefined` when never. */
export function nextRunAt(
  job: ScheduledJob,
  state: JobState | undefined,
  now: number,
): number | undefined {
  const { at } = turnOf(job, state, now);
  return at === Infinity ? undefined : Math.max(at, now);
}

async function runOnce(
  parts: SchedulerParts,
  { job, turn }: { readonly job: ScheduledJob; readonly turn: Turn },
  signal: AbortSignal,
): Promise<void> {
  const { runtime, states } = parts;
  const { scheduledAt, attempt } = turn;
  const startedAt = runtime.clock();
  const ended = await attemptOnce(parts, job, signal);
  const retry =
    ended.outcome === "failed" && attempt < ATTEMPTS_MAX
      ? { at: runtime.clock() + pauseMs(runtime, attempt), attempt: attempt + 1, scheduledAt }
      : undefined;
  const run: JobRun = {
    job: job.name,
    scheduledAt,
    startedAt,
    endedAt: runtime.clock(),
    attempt,
    ...ended,
    ...(retry === undefined ? {} : { retryAt: retry.at }),
  };
  const before = states.get(job.name) ?? {};
  const isDone = run.outcome === "done";
  states.set(job.name, {
    // An interrupted run stays due: it is made up at the next start.
    ...(run.outcome === "interrupted"
      ? keptInstant(before)
      : { scheduledAt: Math.max(scheduledAt, before.scheduledAt ?? scheduledAt) }),
    last: run,
    ...lastDone(isDone ? run.endedAt : before.lastDoneAt),
    ...(retry === undefined ? {} : { retry }),
  });
  await parts.onRun(run);
}

function keptInstant({ scheduledAt }: JobState): Pick<JobState, "scheduledAt"> {
  return scheduledAt === undefined ? {} : { scheduledAt };
}

function lastDone(lastDoneAt: number | undefined): Pick<JobState, "lastDoneAt"> {
  return lastDoneAt === undefined ? {} : { lastDoneAt };
}

async function attemptOnce(
  { perform, describe }: SchedulerParts,
  job: ScheduledJob,
  signal: AbortSignal,
): Promise<Pick<JobRun, "outcome" | "summary" | "details" | "code">> {
  try {
    return await perform(job, signal);
  } catch (error) {
    const { code, message } = describe(error);
    const outcome = signal.aborted ? "interrupted" : "failed";
    return { outcome, summary: message, code };
  }
}

function pauseMs({ random }: Pick<Runtime, "random">, attempt: number): number {
  const [byte = 0] = random(1);
  return Math.round(RETRY_MS * RETRY_FACTOR ** (attempt - 1) * (0.5 + byte / 256));
}
