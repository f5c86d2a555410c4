import { Cron } from "croner";

/** When a job is due, in epoch milliseconds. */
export interface Schedule {
  /** The first instant after `atMs`; `undefined` when there is none any more. */
  readonly next: (atMs: number) => number | undefined;
  /** The last instant at or before `atMs`; `undefined` when there was none. */
  readonly previous: (atMs: number) => number | undefined;
}

/**
 * Reads cron text: minute, hour, day of month, month, day of week, as in `crontab(5)`.
 *
 * @param timeZone an IANA name; `UTC` has no hour twice or never.
 * @throws Error from the library when the text or the zone is none: see {@link cronProblem}.
 */
export function readCron(every: string, timeZone: string): Schedule {
  // Without a function to call nothing is scheduled: it only answers when.
  const cron = new Cron(every, { timezone: timeZone, mode: "5-part", paused: true });
  return {
    next: (atMs) => cron.nextRun(new Date(atMs))?.getTime(),
    // The instant itself counts, and the library looks strictly before.
    previous: (atMs) => cron.previousRuns(1, new Date(atMs + 1_000))[0]?.getTime(),
  };
}

/** What is wrong with a cron text, with what to write in its place; `undefined` when nothing is. */
export function cronProblem(every: string, timeZone: string): string | undefined {
  try {
    return readCron(every, timeZone).next(0) === undefined
      ? `never comes: ${every}; write a day that exists`
      : undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `is no time: ${why}; write five parts, minute hour day month weekday: 7 * * * *`;
  }
}
