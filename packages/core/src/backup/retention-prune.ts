import { CoreError } from "../errors.ts";
import { listBackups } from "./backup-repository.ts";
import type { BackupListing, BackupRepository } from "./backup-repository.ts";
import { pruneBackups } from "./prune-backups.ts";
import type { PruneReport } from "./prune-backups.ts";
import { retain } from "./retention.ts";
import type { RetainedBackup, RetentionRule } from "./retention.ts";

/** What a prune did or would do. */
export interface PrunedBackups {
  readonly kept: readonly RetainedBackup[];
  readonly deleted: readonly string[];
  /** Objects that nothing kept needs; absent where nothing was to be deleted yet. */
  readonly swept?: PruneReport["swept"];
}

/** How a place is pruned. */
export interface PruneByRuleOptions {
  /** Says what would be deleted, and deletes nothing. */
  readonly isTrial?: boolean;
  /** Deletes backups that cannot be read; without it, one such stops the prune. */
  readonly dropUnreadable?: boolean;
  readonly signal?: AbortSignal;
}

/** What decides which backups are kept. */
export interface PruneRule {
  readonly rule: RetentionRule;
  /** Ids of backups that were found whole. */
  readonly verified: readonly string[];
}

/** Says what a prune would delete, and deletes nothing. */
export async function tryPrune(
  repository: BackupRepository,
  { rule, verified }: PruneRule,
): Promise<PrunedBackups> {
  const listings = await listBackups(repository);
  const kept = retained(listings, { rule, verified, now: repository.runtime.clock() });
  const keptIds = new Set(kept.map(({ id }) => id));
  const readable = listings.filter(({ manifest }) => manifest !== undefined);
  const deleted = readable.map(({ backupId }) => backupId).filter((id) => !keptIds.has(id));
  return { kept, deleted };
}

/** Deletes what a rule does not keep. @throws CoreError `damaged` for a backup that cannot be read. */
export async function pruneByRule(
  repository: BackupRepository,
  { rule, verified, dropUnreadable = false, signal }: PruneRule & PruneByRuleOptions,
): Promise<PrunedBackups> {
  let kept: readonly RetainedBackup[] = [];
  const { deleted, swept } = await pruneBackups(repository, {
    // Asked under the lease, as backups may have come since.
    keep: (listings) => {
      if (!dropUnreadable) requireReadable(listings);
      kept = retained(listings, { rule, verified, now: repository.runtime.clock() });
      return kept.map(({ id }) => id);
    },
    ...(signal === undefined ? {} : { signal }),
  });
  return { kept, deleted, swept };
}

function requireReadable(listings: readonly BackupListing[]): void {
  const bad = listings.find(({ manifest }) => manifest === undefined);
  if (bad === undefined) return;
  throw new CoreError(
    "damaged",
    `backup ${bad.backupId} cannot be read, so nothing is deleted: ${bad.fault ?? ""}`,
    { at: `backup ${bad.backupId}` },
  );
}

function retained(
  listings: readonly BackupListing[],
  by: PruneRule & { readonly now: number },
): readonly RetainedBackup[] {
  const aged = listings.flatMap(({ backupId: id, manifest }) =>
    manifest === undefined
      ? []
      : [{ id, createdAt: manifest.createdAt, isVerified: by.verified.includes(id) }],
  );
  return retain(aged, by.rule, by.now);
}
