import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { decodeEntry } from "../journal/format/entry.ts";
import { SEALED_MAGIC } from "../keys/sealed-stream.ts";
import type { RestoreSource } from "./restore-source.ts";
import type { RestoreTarget } from "./restored-journal.ts";

/** A file without its key. */
export interface UnreadableFile {
  readonly tenant: string;
  readonly key: string;
  /** False when nobody destroyed its key: the key backup lacks it, and is not whole. */
  readonly isErased: boolean;
}

/** What became of the blobs that are no segments. */
export interface RestoredFiles {
  files: number;
  bytes: number;
  /** Files that are left out, as nothing opens them. */
  readonly unreadable: UnreadableFile[];
}

const IMPORTED = "imported/";
const IMPORT = "import/";
const TYPE = "type/";

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
    const isErased = await target.keys.isOriginalDestroyed(scope.tenant, key);
    restored.unreadable.push({ tenant: scope.tenant, key, isErased });
  }
}

/** Brings over what the journal's store keeps by name, less what the replay has worked out itself. */
export async function restoreState(
  source: RestoreSource,
  target: RestoreTarget,
  scope: Scope,
): Promise<void> {
  for await (const { name, value } of source.state(scope.tenant)) {
    // By which mapping files were imported is the replay's to say.
    if (name.startsWith(IMPORTED)) continue;
    const isFit =
      (await isAnsweredImport(target, scope, name)) &&
      (await isWrittenType(target, scope, { name, value }));
    if (isFit) await target.journal.putState(scope, name, value);
  }
}

/** An import after the cut was never made, and what it answered is not to be told again. */
async function isAnsweredImport(
  { journal }: RestoreTarget,
  scope: Scope,
  name: string,
): Promise<boolean> {
  if (!name.startsWith(IMPORT)) return true;
  return (await journal.receipt(scope, "import", name.slice(IMPORT.length))) !== undefined;
}

/**
 * What a type was when the backup was made is what it was at the cut where an entry before the cut is of
 * that version. Where a later version came only after the cut, the software of then is to open what is
 * restored, so nothing is known of the type.
 */
async function isWrittenType(
  { journal, registry }: RestoreTarget,
  scope: Scope,
  { name, value }: { readonly name: string; readonly value: string },
): Promise<boolean> {
  if (!name.startsWith(TYPE)) return true;
  const type = name.slice(TYPE.length);
  const declared = registry.get(type);
  const home = declared === undefined ? scope : registry.home(scope, declared);
  const last = await journal.entry(home, await journal.lastSequence(home, [type]));
  const { version } = JSON.parse(value) as { readonly version: number };
  return last !== undefined && decodeEntry(last.bytes).typeVersion === version;
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
