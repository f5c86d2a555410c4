import type { PolicyJob } from "@custody/core/backup/policy";
import type { Custody } from "@custody/core/custody";
import type { Runtime } from "@custody/core/runtime";

import { readCron } from "./cron.ts";
import { isWorthRecording, recordRuns } from "./job-records.ts";
import { performJob } from "./perform-job.ts";
import type { JobSurroundings } from "./perform-job.ts";
import { runScheduler } from "./scheduler.ts";
import type { JobRun, ScheduledJob, SchedulerParts } from "./scheduler.ts";
import type { SchedulerFile } from "./scheduler-file.ts";
import { JobInstallation } from "./job-installation.ts";

/** What a policy's jobs run with. */
export interface SchedulePolicyParts extends JobSurroundings {
  /** Opens the installation; it is closed whenever no job needs it. */
  readonly open: () => Promise<Custody>;
  readonly runtime: Runtime;
  readonly file: SchedulerFile;
  readonly describe: SchedulerParts["describe"];
  /** Told after each run. */
  readonly onRun: (run: JobRun) => Promise<void>;
}

/** A policy's jobs as the scheduler takes them. Shipping goes on while others work. */
export function scheduledJobsOf({
  policy,
}: Pick<JobSurroundings, "policy">): readonly ScheduledJob[] {
  return policy.jobs.map(({ name, kind, every }) => ({
    name,
    schedule: readCron(every, policy.timeZone),
    lane: kind === "ship" ? "ship" : "work",
  }));
}

/** Runs the jobs of a policy on an installation until the signal ends it in order. */
export async function schedulePolicy(
  parts: SchedulePolicyParts,
  signal: AbortSignal,
): Promise<void> {
  const { policy, runtime, file } = parts;
  const { states, unrecorded } = file.memory;
  const byName = new Map(policy.jobs.map((job) => [job.name, job]));
  const shared = new JobInstallation(parts.open, runtime);
  const recorded = new Map<string, JobRun>();
  const record = async (): Promise<void> => {
    const runs = unrecorded.map((run) => ({ run, kind: kindOf(byName, run) }));
    const never = new AbortController();
    // A run is written down also when the scheduler is told to end: what was done is done.
    await shared.use((custody) => recordRuns(custody, runs), never.signal);
    unrecorded.splice(0, runs.length);
  };
  await runScheduler(
    {
      jobs: scheduledJobsOf(parts),
      runtime,
      states,
      describe: parts.describe,
      perform: (job, stop) => perform(parts, { shared, job: byName.get(job.name), stop }),
      onRun: async (run) => {
        const job = byName.get(run.job);
        const intervalMs = job === undefined ? 0 : intervalOf(job, policy.timeZone, run.startedAt);
        if (isWorthRecording(run, { recorded: recorded.get(run.job), intervalMs })) {
          unrecorded.push(run);
          recorded.set(run.job, run);
        }
        file.save();
        await parts.onRun(run);
        if (unrecorded.length > 0 && run.code !== "unavailable") {
          // What cannot be written now is remembered, and written with the next run.
          await record().then(file.save, () => undefined);
        }
      },
    },
    signal,
  );
}

function perform(
  parts: SchedulePolicyParts,
  run: {
    readonly shared: JobInstallation;
    readonly job: PolicyJob | undefined;
    readonly stop: AbortSignal;
  },
): ReturnType<SchedulerParts["perform"]> {
  const { job, shared, stop } = run;
  if (job === undefined) throw new Error("a job that is not in the policy");
  return shared.use((custody) => performJob({ ...parts, custody, signal: stop }, job), stop);
}

function kindOf(jobs: ReadonlyMap<string, PolicyJob>, { job }: JobRun): string {
  // A run may have been remembered under an earlier policy.
  return jobs.get(job)?.kind ?? "unknown";
}

function intervalOf({ every }: PolicyJob, timeZone: string, atMs: number): number {
  const { next } = readCron(every, timeZone);
  const first = next(atMs);
  const second = first === undefined ? undefined : next(first);
  return first === undefined || second === undefined ? Infinity : second - first;
}
