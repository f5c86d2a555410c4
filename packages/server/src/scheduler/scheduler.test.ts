import { expect, test } from "vitest";

import { readCron } from "./cron.ts";
import { nextRunAt, runScheduler } from "./scheduler.ts";
import type { JobRun, JobState, ScheduledJob } from "./scheduler.ts";

const START = Date.parse("2026-11-21T12:00:30Z");

function job(name: string, every: string, lane = "work"): ScheduledJob {
  return { name, schedule: readCron(every, "UTC"), lane };
}

interface Played {
  readonly runs: readonly JobRun[];
  readonly states: Map<string, JobState>;
}

/** Plays a schedule on a clock that jumps to where somebody waits for, until an instant. */
async function play(
  jobs: readonly ScheduledJob[],
  options: {
    readonly until: string;
    readonly states?: Map<string, JobState>;
    /** How long a run takes, and whether it fails. */
    readonly work?: (name: string, attempt: number) => number;
  },
): Promise<Played> {
  const stop = new AbortController();
  const end = Date.parse(options.until);
  const states = options.states ?? new Map<string, JobState>();
  const runs: JobRun[] = [];
  let now = START;
  const forward = (ms: number): void => {
    now += ms;
    if (now >= end) stop.abort();
  };
  const attempts = new Map<string, number>();
  await runScheduler(
    {
      jobs,
      states,
      runtime: {
        clock: () => now,
        random: (length) => new Uint8Array(length).fill(128),
        sleep: async (ms) => forward(ms),
      },
      perform: async ({ name }) => {
        const attempt = (attempts.get(name) ?? 0) + 1;
        attempts.set(name, attempt);
        forward(options.work?.(name, attempt) ?? 1_000);
        return { outcome: "done", summary: "worked" };
      },
      describe: (error) => ({ code: "failed", message: String(error) }),
      onRun: async (run) => void runs.push(run),
    },
    stop.signal,
  );
  return { runs, states };
}

const instant = (atMs: number | undefined): string =>
  atMs === undefined ? "never" : new Date(atMs).toISOString().slice(11, 19);

/** A job that was dealt with at noon, and is not owed a run. */
const settled = (...names: readonly string[]): Map<string, JobState> =>
  new Map(names.map((name) => [name, { scheduledAt: Date.parse("2026-11-21T12:00:00Z") }]));

test("a job runs once at each instant it is due, and not before", async () => {
  const { runs } = await play([job("a", "*/10 * * * *")], {
    until: "2026-11-21T12:35:00Z",
    states: settled("a"),
  });
  expect(
    runs.map(({ scheduledAt, startedAt }) => [instant(scheduledAt), instant(startedAt)]),
  ).toEqual([
    ["12:10:00", "12:10:00"],
    ["12:20:00", "12:20:00"],
    ["12:30:00", "12:30:00"],
  ]);
});

test("a job that never ran runs at the start", async () => {
  const { runs } = await play([job("a", "0 3 * * *")], { until: "2026-11-21T13:00:00Z" });
  expect(runs.map(({ startedAt }) => instant(startedAt))).toEqual(["12:00:30"]);
});

test("at the first start jobs come in the policy's order", async () => {
  const jobs = [job("hourly", "7 * * * *"), job("daily", "0 1 * * *"), job("monthly", "0 0 1 * *")];
  const { runs } = await play(jobs, { until: "2026-11-21T12:05:00Z" });
  expect(runs.map((one) => one.job)).toEqual(["hourly", "daily", "monthly"]);
});

test("runs that were missed are made up once", async () => {
  const states = new Map([["a", { scheduledAt: Date.parse("2026-11-18T02:00:00Z") }]]);
  const { runs } = await play([job("a", "0 * * * *")], { until: "2026-11-21T13:30:00Z", states });
  expect(
    runs.map(({ scheduledAt, startedAt }) => [instant(scheduledAt), instant(startedAt)]),
  ).toEqual([
    ["12:00:00", "12:00:30"],
    ["13:00:00", "13:00:00"],
  ]);
});

test("jobs of a lane do not overlap, and the one that waits longest comes first", async () => {
  const jobs = [job("often", "* * * * *"), job("rare", "5 * * * *")];
  const { runs } = await play(jobs, {
    until: "2026-11-21T12:07:30Z",
    states: settled("often", "rare"),
    // Longer than its own interval: it is due again whenever it ends.
    work: (name) => (name === "often" ? 90_000 : 1_000),
  });
  expect(runs.map(({ job: name, startedAt }) => [name, instant(startedAt)])).toEqual([
    ["often", "12:01:00"],
    ["often", "12:02:30"],
    ["often", "12:04:00"],
    ["often", "12:05:30"],
    ["rare", "12:07:00"],
    ["often", "12:07:01"],
  ]);
  const ends = runs.map(({ endedAt }) => endedAt);
  expect(runs.slice(1).every(({ startedAt }, index) => startedAt >= (ends[index] ?? 0))).toBe(true);
});

test("two lanes do not wait for each other", async () => {
  let release: (() => void) | undefined;
  const stop = new AbortController();
  const seen: string[] = [];
  await runScheduler(
    {
      jobs: [job("slow", "* * * * *", "one"), job("quick", "* * * * *", "two")],
      states: new Map(),
      runtime: {
        clock: () => START,
        random: (length) => new Uint8Array(length),
        sleep: (_ms, signal) =>
          new Promise((resolve) => {
            signal?.addEventListener("abort", () => resolve());
            if (signal?.aborted === true) resolve();
          }),
      },
      perform: async ({ name }) => {
        seen.push(`${name} begins`);
        if (name === "slow") await new Promise<void>((resolve) => (release = resolve));
        return { outcome: "done", summary: "" };
      },
      describe: (error) => ({ code: "failed", message: String(error) }),
      onRun: async ({ job: name }) => {
        seen.push(`${name} ends`);
        if (name === "quick") release?.();
        else stop.abort();
      },
    },
    stop.signal,
  );
  expect(seen).toEqual(["slow begins", "quick begins", "quick ends", "slow ends"]);
});

function failing(times: number): (name: string, attempt: number) => number {
  return (_name, attempt) => {
    if (attempt <= times) throw new Error("the store is down");
    return 1_000;
  };
}

test("what failed is tried again after growing pauses, and then it is done", async () => {
  const { runs, states } = await play([job("a", "0 * * * *")], {
    until: "2026-11-21T12:59:00Z",
    work: failing(2),
  });
  expect(
    runs.map(({ outcome, attempt, startedAt, retryAt }) => [
      outcome,
      attempt,
      instant(startedAt),
      instant(retryAt),
    ]),
  ).toEqual([
    ["failed", 1, "12:00:30", "12:01:00"],
    ["failed", 2, "12:01:00", "12:03:00"],
    ["done", 3, "12:03:00", "never"],
  ]);
  expect(states.get("a")).toMatchObject({ last: { summary: "worked" } });
  expect(states.get("a")).not.toHaveProperty("retry");
});

test("after four attempts the next due instant is waited for", async () => {
  const { runs } = await play([job("a", "0 * * * *")], {
    until: "2026-11-21T13:00:30Z",
    work: failing(4),
  });
  expect(runs.map(({ outcome, attempt }) => [outcome, attempt])).toEqual([
    ["failed", 1],
    ["failed", 2],
    ["failed", 3],
    ["failed", 4],
    ["done", 1],
  ]);
  expect(instant(runs[4]?.scheduledAt)).toBe("13:00:00");
});

test("a due instant takes the place of a new attempt at an older one", async () => {
  const { runs } = await play([job("a", "* * * * *")], {
    until: "2026-11-21T12:01:10Z",
    work: failing(1),
  });
  expect(runs.map(({ attempt, scheduledAt }) => [attempt, instant(scheduledAt)])).toEqual([
    [1, "12:00:00"],
    [1, "12:01:00"],
  ]);
});

test("a run that is interrupted is made up at the next start", async () => {
  const states = new Map<string, JobState>();
  const work = (): number => {
    throw new Error("stopped");
  };
  const stop = new AbortController();
  const parts = {
    jobs: [job("a", "0 * * * *")],
    states,
    runtime: {
      clock: () => START,
      random: (length: number) => new Uint8Array(length),
      sleep: async () => undefined,
    },
    perform: async () => {
      stop.abort();
      return { outcome: "done" as const, summary: `${work()}` };
    },
    describe: (error: unknown) => ({ code: "interrupted", message: String(error) }),
    onRun: async () => undefined,
  };
  await runScheduler(parts, stop.signal);
  expect(states.get("a")).toMatchObject({ last: { outcome: "interrupted" } });
  expect(states.get("a")).not.toHaveProperty("scheduledAt");
  const [again] = (await play(parts.jobs, { until: "2026-11-21T12:10:00Z", states })).runs;
  expect(again).toMatchObject({ outcome: "done", attempt: 1 });
  expect(instant(again?.scheduledAt)).toBe("12:00:00");
});

test("a clock that is set back makes nothing run twice", async () => {
  const states = new Map([["a", { scheduledAt: Date.parse("2026-11-21T15:00:00Z") }]]);
  const { runs } = await play([job("a", "0 * * * *")], { until: "2026-11-21T16:30:00Z", states });
  expect(runs.map(({ scheduledAt }) => instant(scheduledAt))).toEqual(["16:00:00"]);
});

test("the next run is told: now for what is owed, else when it is due", () => {
  const hourly = job("a", "0 * * * *");
  expect(nextRunAt(hourly, undefined, START)).toBe(START);
  expect(instant(nextRunAt(hourly, settled("a").get("a"), START))).toBe("13:00:00");
});
