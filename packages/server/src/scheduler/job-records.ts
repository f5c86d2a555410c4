import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { Custody } from "@custody/core/custody";
import { scheduledJobs } from "@custody/core/system-types";
import type { Scope } from "@custody/stores/scope";

import type { JobRun } from "./scheduler.ts";

/** Whose journal the runs of jobs are written to, and by whom. */
export const SCHEDULER_SCOPE: Scope = {
  tenant: SYSTEM_TENANT,
  actor: "service:scheduler",
  deadline: Infinity,
};

// One round of shipping a minute would be 1,440 records a day that say the same.
const QUIET_MS = 3_600_000;

/**
 * Whether a run is to be written to the journal: every one of a job that runs at most each hour; of one
 * that runs more often those that end otherwise than the one before, and one an hour.
 */
export function isWorthRecording(
  run: JobRun,
  { recorded, intervalMs }: { readonly recorded: JobRun | undefined; readonly intervalMs: number },
): boolean {
  if (intervalMs >= QUIET_MS || recorded === undefined) return true;
  return run.outcome !== recorded.outcome || run.startedAt - recorded.startedAt >= QUIET_MS;
}

/** Writes runs into the journal of the installation; a run that is there already is left as it is. */
export async function recordRuns(
  custody: Custody,
  runs: readonly { readonly run: JobRun; readonly kind: string }[],
): Promise<void> {
  if (runs.length === 0) return;
  const put = runs.map(({ run, kind }) => ({ fields: fieldsOf(run, kind) }));
  await custody.commit(SCHEDULER_SCOPE, [{ type: scheduledJobs.name, put }]);
}

function fieldsOf(run: JobRun, kind: string): Readonly<Record<string, unknown>> {
  const { job, attempt, outcome, summary, code, details } = run;
  return {
    id: `${job} ${instant(run.startedAt)}`,
    job,
    kind,
    scheduled_at: instant(run.scheduledAt),
    started_at: instant(run.startedAt),
    ended_at: instant(run.endedAt),
    attempt,
    outcome,
    summary,
    ...(code === undefined ? {} : { code }),
    ...(details === undefined ? {} : { details }),
  };
}

function instant(atMs: number): string {
  return new Date(atMs).toISOString();
}
