import type { BackupPolicy, PolicyJob } from "@custody/core/backup/policy";
import { tierOfBlob } from "@custody/core/backup/policy-tiers";
import type { CreateBackupOptions } from "@custody/core/backup/create-backup";
import type { DrillPlace } from "@custody/core/backup/drill";
import type { ShippingRound } from "@custody/core/backup/ship-continuously";
import type { Custody } from "@custody/core/custody";
import { CoreError } from "@custody/core/errors";
import { BACKGROUND_THROTTLE } from "@custody/core/operations/reconcile/pace";
import type { BlobStore } from "@custody/stores/blob/port";

import { SCHEDULER_SCOPE } from "./job-records.ts";
import type { JobRun } from "./scheduler.ts";

/** What jobs find their places by. */
export interface JobSurroundings {
  readonly policy: BackupPolicy;
  /** Opens a repository of the policy by its name; the job closes it. */
  readonly openRepository: (name: string) => Promise<BlobStore>;
  /** Makes the place that a drill restores in. */
  readonly makeScratchPlace: () => Promise<DrillPlace>;
}

/** What a job works with. */
export interface JobParts extends JobSurroundings {
  readonly custody: Custody;
  readonly signal: AbortSignal;
}

/** What a job did or found. */
export type JobResult = Pick<JobRun, "outcome" | "summary" | "details">;

/** Does what a job of a policy says. @throws whatever keeps it from being done. */
export async function performJob(parts: JobParts, job: PolicyJob): Promise<JobResult> {
  switch (job.kind) {
    case "compact":
      return compactAll(parts);
    case "reconcile":
      return reconcileAll(parts, job);
    default: {
      const name = job.repository ?? Object.keys(parts.policy.repositories)[0] ?? "default";
      await using place = await parts.openRepository(name);
      return await ON_REPOSITORY[job.kind]({ ...parts, place, repository: name }, job);
    }
  }
}

type RepositoryParts = JobParts & { readonly place: BlobStore; readonly repository: string };

const ON_REPOSITORY: Readonly<
  Record<
    "ship" | "backup" | "verify" | "drill" | "prune",
    (parts: RepositoryParts, job: PolicyJob) => Promise<JobResult>
  >
> = {
  ship,
  backup,
  verify,
  prune,
  drill,
};

/** One round: the schedule says when the next is. */
async function ship(
  { custody, place, signal, policy }: RepositoryParts,
  job: PolicyJob,
): Promise<JobResult> {
  const one = new AbortController();
  const rounds: ShippingRound[] = [];
  await custody.backup.ship(SCHEDULER_SCOPE, place, {
    signal: AbortSignal.any([signal, one.signal]),
    ...leavingOut(policy, job),
    onRound: (round) => {
      rounds.push(round);
      one.abort();
    },
  });
  const [round] = rounds;
  if (round === undefined) throw interrupted();
  if (round.error instanceof Error) throw round.error;
  const { backupId, bytes, lag } = round;
  const summary =
    backupId === undefined
      ? "nothing was new"
      : `${bytes} bytes shipped, ${lag.entries} entries behind`;
  return { outcome: "done", summary, details: { ...round } };
}

async function backup(
  { custody, place, signal, policy }: RepositoryParts,
  job: PolicyJob,
): Promise<JobResult> {
  const made = await custody.backup.create(SCHEDULER_SCOPE, place, {
    kind: job.full === true ? "full" : "incremental",
    signal,
    ...leavingOut(policy, job),
  });
  const { backupId, kind, written } = made;
  return {
    outcome: "done",
    summary: `${kind} backup ${backupId}: ${written.bytes} bytes in ${written.objects} objects written`,
    details: { backup: backupId, ...written },
  };
}

/** The blobs of tiers that the job does not name are left as they were backed up last. */
function leavingOut(
  policy: BackupPolicy,
  { tiers }: PolicyJob,
): Pick<CreateBackupOptions, "leavesOut"> {
  if (tiers === undefined) return {};
  return { leavesOut: (key) => !tiers.includes(tierOfBlob(policy.tiers, key)) };
}

async function verify({ custody, place, signal }: RepositoryParts): Promise<JobResult> {
  const report = await custody.backup.verify(SCHEDULER_SCOPE, place, "latest", { signal });
  const { backupId, checked, fault } = report;
  if (fault === undefined)
    return {
      outcome: "done",
      summary: `backup ${backupId} is whole: ${checked.entries} entries`,
      details: { backup: backupId, ...checked },
    };
  return {
    outcome: "found-wrong",
    summary: `backup ${backupId} is damaged: ${fault.reason}`,
    details: { backup: backupId, ...fault },
  };
}

async function drill({
  custody,
  place,
  signal,
  makeScratchPlace,
}: RepositoryParts): Promise<JobResult> {
  const { report } = await custody.backup.drill(SCHEDULER_SCOPE, place, {
    makePlace: makeScratchPlace,
    signal,
  });
  const { ok, backup: drilled, rtoMs, rpoMs, keyless, differences, proofs } = report;
  return {
    outcome: ok ? "done" : "found-wrong",
    summary: ok
      ? `backup ${drilled} restored, whole, in ${rtoMs} ms`
      : `backup ${drilled} restored with ${differences} differences, ${keyless} without a key, ${proofs.held} of ${proofs.tried} proofs held; see custody/drills`,
    details: { backup: drilled, rtoMs, rpoMs, differences },
  };
}

async function prune({
  custody,
  place,
  signal,
  policy,
  repository,
}: RepositoryParts): Promise<JobResult> {
  const rule = policy.repositories[repository]?.keep;
  if (rule === undefined) throw new CoreError("usage", `no rule says what ${repository} keeps`);
  const { kept, deleted, swept } = await custody.backup.prune(SCHEDULER_SCOPE, place, rule, {
    signal,
  });
  return {
    outcome: "done",
    summary: `${deleted.length} backups deleted, ${kept.length} kept`,
    details: { deleted, kept: kept.map(({ id }) => id), ...swept },
  };
}

async function compactAll({ custody, signal }: JobParts): Promise<JobResult> {
  let moved = 0;
  for (const tenant of await custody.tenants()) {
    if (signal.aborted) throw interrupted();
    const { entries } = await custody.compact({ ...SCHEDULER_SCOPE, tenant });
    moved += entries;
  }
  return { outcome: "done", summary: `${moved} entries moved`, details: { entries: moved } };
}

async function reconcileAll(
  { custody, signal }: JobParts,
  { deep = false, repair = false }: PolicyJob,
): Promise<JobResult> {
  const report = await custody.reconcile(SCHEDULER_SCOPE, {
    allTenants: true,
    deep,
    repair,
    resume: true,
    throttle: BACKGROUND_THROTTLE,
    signal,
  });
  const sum = (of: (one: (typeof report.projections)[number]) => number): number =>
    report.projections.reduce((total, one) => total + of(one), 0);
  const [differences, repaired] = [sum((one) => one.differences), sum((one) => one.repaired)];
  if (report.ok) return { outcome: "done", summary: "the stores hold what the journal says" };
  const { length: notCompared } = report.notCompared;
  const isMended = report.files === undefined && notCompared === 0 && repaired >= differences;
  return {
    outcome: isMended ? "done" : "found-wrong",
    summary: `${differences} differences, ${repaired} repaired, ${notCompared} projections not compared; \`custody reconcile --all-tenants\` lists them`,
    details: { differences, repaired, notCompared },
  };
}

function interrupted(): CoreError {
  return new CoreError("failed", "it was told to stop");
}
