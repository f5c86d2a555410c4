import { CoreError } from "../errors.ts";
import type { BackedUpEntry } from "./backup-contents.ts";
import { tenantOf } from "./restore-source.ts";
import type { RestoreSource } from "./restore-source.ts";

/** The point to which is restored: an instant (epoch milliseconds), a sequence, or all there is. */
export type RestorePoint = { readonly time: number } | { readonly sequence: number } | "latest";

/** How many entries of a tenant's journal are taken over, and when the last of them was received. */
export interface Cut {
  readonly sequence: number;
  readonly receivedAt: number | undefined;
}

const ENTRIES_PER_STEP = 256;

/**
 * Finds where a tenant's journal is cut: always behind a whole commit. A commit is in when its last entry
 * was received by the instant, or has at most the sequence.
 *
 * @throws CoreError `usage` for a sequence or an instant that the backup does not reach.
 */
export async function findCut(
  source: RestoreSource,
  tenant: string,
  point: RestorePoint,
): Promise<Cut> {
  const known = tenantOf(source, tenant);
  if (known === undefined) return { sequence: 0, receivedAt: undefined };
  const { sequence: end, receivedAt } = known.head;
  if (point === "latest") return { sequence: end, receivedAt };
  if ("sequence" in point && point.sequence > end) {
    throw new CoreError(
      "usage",
      `the backup holds ${end} entries of ${tenant}, not ${point.sequence}; use a later one`,
    );
  }
  if ("time" in point) requireReached(source, point.time);
  const next =
    "sequence" in point ? point.sequence + 1 : await firstAfter(source, tenant, point.time);
  return commitEndBefore(source, tenant, next);
}

/**
 * What was committed between the cut and a later instant is not in a backup: its end would be taken for the
 * state at that instant. A clock that went back leaves entries that are later than the cut.
 */
function requireReached({ manifest }: RestoreSource, time: number): void {
  const { createdAt, tenants, backupId } = manifest;
  if (createdAt === undefined) return;
  const reached = Math.max(createdAt, ...tenants.map(({ head }) => head.receivedAt));
  if (time <= reached) return;
  throw new CoreError(
    "usage",
    `backup ${backupId} was made of the journal as of ${new Date(reached).toISOString()}, and tells nothing of ` +
      `${new Date(time).toISOString()}; use a later one, or restore to its end with latest`,
  );
}

/** The sequence of the first entry received later than an instant; instants never fall along a journal. */
async function firstAfter(source: RestoreSource, tenant: string, time: number): Promise<number> {
  let low = 1;
  let high = (tenantOf(source, tenant)?.head.sequence ?? 0) + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const entry = await entryAt(source, tenant, middle);
    if (entry.receivedAt > time) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The end of the last commit that lies wholly before an entry. */
async function commitEndBefore(source: RestoreSource, tenant: string, next: number): Promise<Cut> {
  const end = tenantOf(source, tenant)?.head.sequence ?? 0;
  const open = next > end ? undefined : (await entryAt(source, tenant, next)).commit;
  for (let to = next - 1; to > 0; to -= ENTRIES_PER_STEP) {
    const after = Math.max(0, to - ENTRIES_PER_STEP);
    let last: BackedUpEntry | undefined;
    for await (const entry of source.entries(tenant, { after, to })) {
      if (entry.commit !== open) last = entry;
    }
    if (last !== undefined) return { sequence: last.sequence, receivedAt: last.receivedAt };
  }
  return { sequence: 0, receivedAt: undefined };
}

async function entryAt(
  source: RestoreSource,
  tenant: string,
  sequence: number,
): Promise<BackedUpEntry> {
  const range = { after: sequence - 1, to: sequence };
  for await (const entry of source.entries(tenant, range)) return entry;
  throw new CoreError("damaged", `the backup lacks entry ${sequence} of ${tenant}`);
}
