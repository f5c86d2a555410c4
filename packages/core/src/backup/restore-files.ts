import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { SEALED_MAGIC } from "../keys/sealed-stream.ts";
import type { RestoreSource } from "./restore-source.ts";
import type { RestoreTarget } from "./restored-journal.ts";

/** What became of the blobs that are no segments. */
export interface RestoredFiles {
  files: number;
  bytes: number;
  /** Files whose key was destroyed, or is not in the key backup: they are left out. */
  readonly unreadable: { readonly tenant: string; readonly key: string }[];
}

/** By this the server marks stores as an installation's own; a restored one is another installation. */
const INSTALLATION = "installation";

/**
 * Brings a tenant's original files and other blobs over, all that the backup has: those that no
 * restored record names do no harm, and are found when the same file is imported again.
 */
export async function restoreFiles(
  source: RestoreSource,
  target: RestoreTarget,
  scope: Scope,
  restored: RestoredFiles,
): Promise<void> {
  const { blob } = target;
  for await (const info of source.blobs(scope.tenant)) {
    const { key, bytes } = info;
    if (scope.tenant === SYSTEM_TENANT && key === INSTALLATION) continue;
    const copy = await blob.stat(scope, key);
    if (copy?.bytes !== bytes) await blob.put(scope, key, source.blobBytes(scope.tenant, info));
    if (await canBeOpened(target, scope, key)) {
      restored.files += 1;
      restored.bytes += bytes;
      continue;
    }
    await blob.delete(scope, key);
    restored.unreadable.push({ tenant: scope.tenant, key });
  }
}

/** Brings over what the journal's store keeps by name, less what the replay has worked out itself. */
export async function restoreState(
  source: RestoreSource,
  target: RestoreTarget,
  scope: Scope,
): Promise<void> {
  for await (const { name, value } of source.state(scope.tenant)) {
    // An import after the cut was never made, so by which mapping files were imported is the replay's to say.
    if (!name.startsWith("imported/")) await target.journal.putState(scope, name, value);
  }
}

async function canBeOpened(
  { blob, keys }: RestoreTarget,
  scope: Scope,
  key: string,
): Promise<boolean> {
  const start = await blob.read(scope, key, { start: 0, end: SEALED_MAGIC.length });
  if (Buffer.from(start ?? []).toString("latin1") !== SEALED_MAGIC) return true;
  try {
    await keys.originalKey(scope.tenant, key);
    return true;
  } catch (cause) {
    if (cause instanceof CoreError && cause.code === "no-key") return false;
    throw cause;
  }
}
