import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { BlobStore } from "@custody/stores/blob/port";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { BackupKind, BackupManifest } from "../backup/backup-manifest.ts";
import { listBackups, newestReadable, openBackupRepository } from "../backup/backup-repository.ts";
import type { BackupRepository } from "../backup/backup-repository.ts";
import { createBackup } from "../backup/create-backup.ts";
import type { CreateBackupOptions, CreateBackupParts } from "../backup/create-backup.ts";
import { drill } from "../backup/drill.ts";
import type { DrillPlace, SignedDrillReport } from "../backup/drill.ts";
import { openBackup } from "../backup/open-backup.ts";
import { restoreRecords } from "../backup/restore-records.ts";
import type {
  RecordsChoice,
  RestoredRecords,
  RestoreRecordsParts,
} from "../backup/restore-records.ts";
import { restoreBackup } from "../backup/restore.ts";
import type { RestorePoint } from "../backup/restore-cut.ts";
import { pruneByRule, tryPrune } from "../backup/retention-prune.ts";
import type { PruneByRuleOptions, PrunedBackups } from "../backup/retention-prune.ts";
import type { RetentionRule } from "../backup/retention.ts";
import { lagBehind, shipContinuously } from "../backup/ship-continuously.ts";
import type { ShipOptions, ShippingLag } from "../backup/ship-continuously.ts";
import { verifyBackup } from "../backup/verify-backup.ts";
import type { BackupVerifyReport, VerifyBackupOptions } from "../backup/verify-backup.ts";
import { CoreError } from "../errors.ts";
import type { Journal } from "../journal/journal.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { Runtime } from "../runtime.ts";
import type { AuditLog } from "./audit.ts";

/** A backup, as it is listed. Instants are epoch milliseconds. */
export interface BackupSummary {
  readonly backupId: string;
  readonly kind: BackupKind;
  readonly parent: string | null;
  /** When the journal was cut: what was committed later is not in it. */
  readonly createdAt: number;
  readonly finishedAt: number;
  /** The version of Custody that made it. */
  readonly version: string;
  readonly tenants: readonly BackedUpTenant[];
}

/** What a backup holds of one tenant. */
export interface BackedUpTenant {
  readonly tenant: string;
  readonly timeline: string;
  readonly entries: number;
  /** When its newest entry was received. */
  readonly newestAt: number;
  readonly segmentBytes: number;
  readonly blobs: number;
  readonly blobBytes: number;
}

/** What a backup of the moment is known by when it has been made. */
export interface CreatedBackup extends BackupSummary {
  /** What had to be written, before compression; all the rest was there. */
  readonly written: { readonly objects: number; readonly bytes: number };
}

/** A backup in a list: its summary, or what is wrong with it. */
export type ListedBackup =
  | (BackupSummary & { readonly isVerified: boolean })
  | { readonly backupId: string; readonly fault: string };

/**
 * The parts of the library that back it up. A place is a store of blobs for backups alone; the caller
 * opens and closes it. Backups are of all tenants.
 */
export interface BackupOperations {
  /**
   * Makes a backup while writing goes on. What an interrupted one has copied is not copied again.
   *
   * @throws CoreError `usage` where no key backup exists, `conflict` while the place is being pruned or
   *   when it holds another installation's backups.
   */
  create(scope: Scope, place: BlobStore, options: CreateBackupOptions): Promise<CreatedBackup>;
  /** Every backup in a place, oldest first. @throws CoreError `not-found` when it is no repository. */
  list(scope: Scope, place: BlobStore): Promise<readonly ListedBackup[]>;
  /**
   * Checks all of a backup without restoring it. What is wrong is answered, not thrown.
   *
   * @param backupId or `latest`.
   */
  verify(
    scope: Scope,
    place: BlobStore,
    backupId: string,
    options?: VerifyBackupOptions,
  ): Promise<BackupVerifyReport>;
  /**
   * Deletes the backups that a rule does not keep, and what only they needed.
   *
   * @throws CoreError `conflict` while backups are being made or when the place is another installation's,
   *   `damaged` when one of them cannot be read.
   */
  prune(
    scope: Scope,
    place: BlobStore,
    rule: RetentionRule,
    options?: PruneByRuleOptions,
  ): Promise<PrunedBackups>;
  /** Ships what is new to a place, again and again until the signal ends it; never throws for a failed round. */
  ship(scope: Scope, place: BlobStore, options: ShipOptions): Promise<void>;
  /**
   * Tries a restore of the newest backup to a random instant, in a scratch place. The signed report is
   * kept as a record of `custody/drills`.
   */
  drill(
    scope: Scope,
    place: BlobStore,
    options: { readonly makePlace: () => Promise<DrillPlace>; readonly signal?: AbortSignal },
  ): Promise<SignedDrillReport>;
  /**
   * Brings chosen records of the scope's tenant back into this installation, as they were at an instant:
   * committed anew under their ids where they differ from what is here.
   */
  restoreRecords(
    scope: Scope,
    place: BlobStore,
    options: RestoreRecordsOptions,
  ): Promise<Readonly<Record<string, RestoredRecords>>>;
  /** How far the newest backup in a place is behind what was committed. */
  lag(scope: Scope, place: BlobStore): Promise<ShippingLag & { readonly newest?: BackupSummary }>;
}

/** Which records are brought back, from which backup, as of when. */
export interface RestoreRecordsOptions extends RecordsChoice {
  /** Or `latest`. */
  readonly backupId: string;
  readonly to: RestorePoint;
  /** Makes the scratch place that the journal is restored in first. */
  readonly makePlace: () => Promise<DrillPlace>;
  readonly signal?: AbortSignal;
}

/** What backup operations work with. */
export interface BackupOperationsParts {
  readonly journal: JournalStore;
  readonly blob: BlobStore;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  readonly audit: AuditLog;
  readonly journalWriter: Journal;
  readonly identity?: InstallationIdentity;
}

/** Who makes backups: only one installation writes into a repository. */
export interface InstallationIdentity {
  readonly installation: string;
  /** The version of Custody, which manifests name. */
  readonly version: string;
}

/** Makes the backups' part of the library. */
export function createBackupOperations(parts: BackupOperationsParts): BackupOperations {
  const audited = async <Result>(
    { scope, action, repository }: AuditedStep,
    work: () => Promise<Result>,
  ): Promise<Result> => {
    // Backups are of all tenants, so what was done is told in the installation's own journal.
    const whole = { ...scope, tenant: SYSTEM_TENANT };
    return parts.audit.around(whole, { action, resource: repository.repositoryId }, work);
  };
  return {
    create: async (scope, place, options) => {
      const creating = await creatingParts(parts, place);
      const { repository } = creating;
      return audited({ scope, action: "backup.create", repository }, async () => {
        const { manifest, written } = await createBackup(creating, options);
        return { ...summaryOf(manifest), written };
      });
    },
    list: async (_scope, place) => listWithVerified(parts, await reading(parts, place)),
    verify: async (scope, place, backupId, options) => {
      const repository = await reading(parts, place);
      return audited({ scope, action: "backup.verify", repository }, async () => {
        const report = await verifyBackup(repository, backupId, options);
        if (report.ok) await rememberVerified(parts, repository, report.backupId);
        return report;
      });
    },
    prune: async (scope, place, rule, options = {}) => {
      const repository = await writing(parts, place);
      const verified = await verifiedIds(parts, repository);
      if (options.isTrial === true) return tryPrune(repository, { rule, verified });
      return audited({ scope, action: "backup.prune", repository }, () =>
        pruneByRule(repository, { rule, verified, ...options }),
      );
    },
    ship: async (_scope, place, options) =>
      shipContinuously(await creatingParts(parts, place), options),
    drill: async (scope, place, options) => {
      const { journal, blob, keys, runtime, journalWriter } = parts;
      const source = await openBackup(await reading(parts, place), "latest");
      const commit = journalWriter.commit.bind(journalWriter);
      return drill({ ...options, source, keys, runtime, commit, live: { journal, blob } }, scope);
    },
    restoreRecords: async (scope, place, { backupId, to, makePlace, signal, ...choice }) => {
      const { journal, journalWriter } = parts;
      const repository = await reading(parts, place);
      const source = await openBackup(repository, backupId);
      await using scratch = await makePlace();
      const stop = signal === undefined ? {} : { signal };
      await restoreBackup(source, scratch.target, { to, tenant: scope.tenant, ...stop });
      const commit: RestoreRecordsParts["commit"] = async (where, records, options) =>
        (await journalWriter.commit(where, records, options)).receipt;
      const from = { scratch: scratch.target, backupId: source.manifest.backupId, journal, commit };
      return await audited({ scope, action: "backup.restore-records", repository }, () =>
        restoreRecords(from, scope, choice),
      );
    },
    lag: async (_scope, place) => {
      const repository = await reading(parts, place);
      const newest = await newestReadable(repository);
      const lag = await lagBehind({ journal: parts.journal, repository }, newest);
      return newest === undefined ? lag : { ...lag, newest: summaryOf(newest) };
    },
  };
}

interface AuditedStep {
  readonly scope: Scope;
  readonly action: string;
  readonly repository: BackupRepository;
}

/** A repository as it is; also one of another installation that has the same keys, as after a restore. */
function reading(
  { keys, runtime }: BackupOperationsParts,
  blob: BlobStore,
): Promise<BackupRepository> {
  return openBackupRepository({ blob, keys, runtime });
}

/** A repository of this installation that exists. */
async function writing(parts: BackupOperationsParts, blob: BlobStore): Promise<BackupRepository> {
  const { installation } = requireIdentity(parts);
  const repository = await reading(parts, blob);
  if (repository.installation === installation) return repository;
  throw new CoreError(
    "conflict",
    `the repository holds backups of installation ${repository.installation}, not of ${installation}`,
  );
}

async function creatingParts(
  parts: BackupOperationsParts,
  place: BlobStore,
): Promise<CreateBackupParts> {
  const { journal, blob, keys, runtime } = parts;
  const { installation, version } = requireIdentity(parts);
  // Before a place is made a repository: who has no key backup is told so, and leaves nothing behind.
  await keys.backup?.require();
  const repository = await openBackupRepository({ blob: place, keys, runtime, installation });
  const keyBackup = {
    require: async () => keys.backup?.require(),
    sync: async () => void (await keys.backup?.sync()),
  };
  return { repository, journal, blob, version, keyBackup };
}

function requireIdentity({ identity }: BackupOperationsParts): InstallationIdentity {
  if (identity !== undefined) return identity;
  throw new CoreError("usage", "an installation without a name cannot be backed up");
}

function summaryOf(manifest: BackupManifest): BackupSummary {
  const { backupId, kind, parent, createdAt, finishedAt, version, tenants } = manifest;
  return {
    backupId,
    kind,
    parent,
    createdAt,
    finishedAt,
    version,
    tenants: tenants.map(({ tenant, head, totals }) => ({
      tenant,
      timeline: head.timeline,
      entries: head.sequence,
      newestAt: head.receivedAt,
      segmentBytes: totals.segmentBytes,
      blobs: totals.blobs,
      blobBytes: totals.blobBytes,
    })),
  };
}

async function listWithVerified(
  parts: BackupOperationsParts,
  repository: BackupRepository,
): Promise<readonly ListedBackup[]> {
  const verified = await verifiedIds(parts, repository);
  const listings = await listBackups(repository);
  return listings.map(({ backupId, manifest, fault }) =>
    manifest === undefined
      ? { backupId, fault: fault ?? "its manifest cannot be read" }
      : { ...summaryOf(manifest), isVerified: verified.includes(backupId) },
  );
}

// Which backups were found whole is remembered, not recorded: its loss protects one backup less from pruning.
const VERIFIED_STATE = "backup-verified/";
const VERIFIED_KEPT = 100;

async function verifiedIds(
  { journal }: BackupOperationsParts,
  { scope, repositoryId }: BackupRepository,
): Promise<readonly string[]> {
  const text = await journal.state(scope, `${VERIFIED_STATE}${repositoryId}`);
  return text === undefined ? [] : text.split(" ");
}

async function rememberVerified(
  parts: BackupOperationsParts,
  repository: BackupRepository,
  backupId: string,
): Promise<void> {
  const others = (await verifiedIds(parts, repository)).filter((id) => id !== backupId);
  // Ids sort by time.
  const newest = [...others, backupId].toSorted().slice(-VERIFIED_KEPT);
  const name = `${VERIFIED_STATE}${repository.repositoryId}`;
  await parts.journal.putState(repository.scope, name, newest.join(" "));
}
