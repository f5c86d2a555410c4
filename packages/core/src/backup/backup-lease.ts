import { parseJson } from "@custody/contract/json";

import { CoreError } from "../errors.ts";
import { canonicalBytes, Members } from "../journal/format/canonical-object.ts";
import { listAll } from "./backup-repository.ts";
import type { BackupRepository } from "./backup-repository.ts";

/** How long whoever works on a repository may be silent before it counts as dead. */
export const BACKUP_LEASE_MS: number = 10 * 60 * 1000;

const PENDING = "pending/";

/** What a lease is for: any number may create at once, whoever sweeps must be alone. */
export type LeaseUse = "create" | "prune";

/** The right to work on a repository, kept by telling from time to time that one is alive. */
export interface BackupLease {
  /** Tells it when it is time. @throws CoreError `conflict` when the lease was taken for dead. */
  readonly touch: () => Promise<void>;
  /** Tells it now; asked for before what cannot be taken back. @throws CoreError `conflict`. */
  readonly confirm: () => Promise<void>;
  /** Asks whether it was held all along, and tells nothing. @throws CoreError `conflict` when it was not. */
  readonly require: () => Promise<void>;
  readonly release: () => Promise<void>;
}

/**
 * Takes a lease: writes its own first and looks for others then, so that of two that come at once
 * at least one sees the other.
 *
 * @throws CoreError `conflict` when a prune and anything else would work at once.
 */
export async function takeBackupLease(
  repository: BackupRepository,
  use: LeaseUse,
  id: string,
): Promise<BackupLease> {
  const { blob, scope, runtime } = repository;
  const key = `${PENDING}${id}`;
  let renewAt = 0;
  const write = async (): Promise<void> => {
    const now = runtime.clock();
    await blob.put(scope, key, canonicalBytes({ use, expiresAt: now + BACKUP_LEASE_MS }));
    renewAt = now + BACKUP_LEASE_MS / 3;
  };
  const require = async (): Promise<void> => {
    if ((await blob.stat(scope, key)) === undefined)
      throw new CoreError(
        "conflict",
        `the ${use} was silent for more than ${BACKUP_LEASE_MS / 60_000} minutes, or another machine's clock is ahead by as much, and it was taken for dead; run it again`,
      );
  };
  const confirm = async (): Promise<void> => {
    await require();
    await write();
  };
  // A lease that cannot be given back ends by itself; what was done under it is done.
  const release = (): Promise<void> => blob.delete(scope, key).catch(() => undefined);
  await write();
  try {
    await refuseOthers(repository, use, key);
  } catch (cause) {
    await release();
    throw cause;
  }
  return {
    touch: async () => {
      // A clock that jumps back must not keep the lease from being renewed.
      const now = runtime.clock();
      if (now >= renewAt || now < renewAt - BACKUP_LEASE_MS) await confirm();
    },
    confirm,
    require,
    release,
  };
}

async function refuseOthers(
  repository: BackupRepository,
  use: LeaseUse,
  own: string,
): Promise<void> {
  const { blob, scope, runtime } = repository;
  for await (const { key, modifiedAt } of listAll(repository, PENDING)) {
    if (key === own) continue;
    const bytes = await blob.read(scope, key);
    if (bytes === undefined) continue;
    const other = readLease(bytes) ?? { use: "create", expiresAt: modifiedAt + BACKUP_LEASE_MS };
    if (other.expiresAt <= runtime.clock()) {
      await blob.delete(scope, key);
      continue;
    }
    if (use === "create" && other.use === "create") continue;
    const until = new Date(other.expiresAt).toISOString();
    throw new CoreError(
      "conflict",
      `another ${other.use} works on the repository (${key}); try again when it is done, or after ${until} if it died`,
    );
  }
}

function readLease(
  bytes: Uint8Array,
): { readonly use: LeaseUse; readonly expiresAt: number } | undefined {
  try {
    const members = new Members(parseJson(Buffer.from(bytes).toString("utf8")), "a lease");
    const use = members.get("use") === "prune" ? "prune" : "create";
    return { use, expiresAt: members.whole("expiresAt", 0) };
  } catch {
    // What is no lease is taken for one just written: whoever wrote it may be at work.
    return undefined;
  }
}
