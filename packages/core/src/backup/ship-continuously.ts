import type { BackupManifest } from "./backup-manifest.ts";
import { deleteBackupManifest, newestReadable } from "./backup-repository.ts";
import { continues, createBackup } from "./create-backup.ts";
import type { CreateBackupOptions, CreateBackupParts } from "./create-backup.ts";

/** How far what was shipped is behind what was committed. */
export interface ShippingLag {
  /** Entries that no backup holds yet, of all tenants. */
  readonly entries: number;
  /** Age in milliseconds of the oldest of them; 0 when there are none. */
  readonly ms: number;
}

/** What a round of shipping did. */
export interface ShippingRound {
  /** Absent when there was nothing new, or the round failed. */
  readonly backupId?: string;
  readonly lag: ShippingLag;
  /** Plain bytes written. */
  readonly bytes: number;
  /** Why the round failed; it is tried again after a pause. */
  readonly error?: unknown;
}

/** How shipping goes on. */
export interface ShipOptions {
  /** Ends it, after the step under way. */
  readonly signal: AbortSignal;
  /** From the end of one round to the next; default 5 seconds. */
  readonly pauseMs?: number;
  /** As of {@link CreateBackupOptions}. */
  readonly leavesOut?: CreateBackupOptions["leavesOut"];
  /** Told after each round. */
  readonly onRound?: (round: ShippingRound) => void;
}

const PAUSE_MS = 5_000;
const FAILURE_PAUSE_MS = 1_000;
/** Longest pause after failures: a place that is back is used again within a minute. */
const FAILURE_PAUSE_MS_MAX = 60_000;

/** Backups of this run that are kept: the newest, and one before it should that be damaged. */
const OWN_KEPT = 2;

/**
 * Ships the journal to a repository again and again, so that an installation can be restored to any
 * instant up to a few seconds ago. Resolves when the signal ends it.
 *
 * Each round is a backup of its own that replaces those of earlier rounds: the newest holds all instants
 * before it. What fails is tried again, with growing pauses.
 */
export async function shipContinuously(
  parts: CreateBackupParts,
  options: ShipOptions,
): Promise<void> {
  const { signal, pauseMs = PAUSE_MS, onRound } = options;
  const { runtime } = parts.repository;
  const own: string[] = [];
  let failures = 0;
  let lag: ShippingLag = { entries: 0, ms: 0 };
  while (!signal.aborted) {
    const round = await shipOnce(parts, own, { ...options, lag });
    if (signal.aborted && round.error !== undefined) return;
    ({ lag } = round);
    failures = round.error === undefined ? 0 : failures + 1;
    onRound?.(round);
    const failurePause = FAILURE_PAUSE_MS * 2 ** Math.min(failures - 1, 10);
    await runtime.sleep(
      failures === 0 ? pauseMs : Math.min(failurePause, FAILURE_PAUSE_MS_MAX),
      signal,
    );
  }
}

async function shipOnce(
  parts: CreateBackupParts,
  own: string[],
  { signal, leavesOut, lag: known }: ShipOptions & { readonly lag: ShippingLag },
): Promise<ShippingRound> {
  let shipped: BackupManifest | undefined;
  try {
    shipped = await newestReadable(parts.repository);
    if (shipped !== undefined && (await lagBehind(parts, shipped)).entries === 0)
      return { lag: { entries: 0, ms: 0 }, bytes: 0 };
    const { manifest, written } = await createBackup(parts, {
      kind: "continuous",
      signal,
      ...(leavesOut === undefined ? {} : { leavesOut }),
    });
    shipped = manifest;
    own.push(manifest.backupId);
    await dropReplaced(parts, own);
    const lag = await lagBehind(parts, manifest);
    return { backupId: manifest.backupId, lag, bytes: written.bytes };
  } catch (error) {
    // Where neither repository nor journal answers, the lag is at least what it was.
    const lag = shipped === undefined ? known : await lagBehind(parts, shipped).catch(() => known);
    return { lag, bytes: 0, error };
  }
}

async function dropReplaced({ repository }: CreateBackupParts, own: string[]): Promise<void> {
  while (own.length > OWN_KEPT) {
    const [oldest] = own;
    if (oldest !== undefined) await deleteBackupManifest(repository, oldest);
    own.shift();
  }
}

/**
 * How far a backup is behind the journals; without one, all of them are. So is a journal of another
 * history than the backup's, however long both are.
 */
export async function lagBehind(
  { journal, repository }: Pick<CreateBackupParts, "journal" | "repository">,
  shipped: BackupManifest | undefined,
): Promise<ShippingLag> {
  const now = repository.runtime.clock();
  let [entries, ms] = [0, 0];
  for (const tenant of await journal.tenants()) {
    const scope = { ...repository.scope, tenant };
    const head = (await journal.head(scope))?.sequence ?? 0;
    const own = shipped?.tenants.find((one) => one.tenant === tenant);
    const isOfHistory = own !== undefined && (await continues(journal, scope, own));
    const known = isOfHistory ? own.head.sequence : 0;
    if (head <= known) continue;
    entries += head - known;
    const oldest = await journal.entry(scope, known + 1);
    ms = Math.max(ms, now - (oldest?.receivedAt ?? now));
  }
  return { entries, ms };
}
