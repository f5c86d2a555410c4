import { hash } from "node:crypto";

import { CoreError } from "../errors.ts";
import { inTurns, readIfPresent } from "./durable-file.ts";
import type { KeyPacks, PackListing } from "./key-backup-place.ts";
import { mergePacks } from "./key-backup-place.ts";
import { isDestroyedText, packedText } from "./key-pack.ts";
import type { KeyPack } from "./key-pack.ts";
import type { KeyBackupReport } from "./key-service.ts";
import { keyPath, listKeyNames } from "./keyring-files.ts";
import { parseWrapped, unwrapKey } from "./wrapped-key.ts";
import type { WrappingKey } from "./wrapped-key.ts";

/** A keyring and its copy. */
export interface KeyCopies {
  /** The keyring's directory. */
  readonly keys: string;
  /** What the keyring's keys are wrapped under. */
  readonly wrapping: WrappingKey;
  readonly packs: KeyPacks;
  readonly listing: PackListing;
}

/** A group as it was found to be the same here and there. */
export interface SeenGroup {
  /** Of the names here: key files never change but by being destroyed, which is told. */
  readonly names: string;
  readonly revision: string;
  readonly keys: number;
  readonly destroyed: number;
}

/** How packs are brought up to date. */
export interface SyncPacksOptions {
  /** Reads every pack; one that is damaged is written anew. */
  readonly isFull: boolean;
  /** What earlier syncs of this process saw, so that keys need not be read again. */
  readonly seen: Map<string, SeenGroup>;
  /** Destroys a key here that the copy says was destroyed. */
  readonly destroyHere: (name: string) => Promise<void>;
}

/**
 * Makes the packs say what the keyring says. A key is never lost: what is only in the copy stays there,
 * and a destroyed key wins over one that is there, on whichever side.
 *
 * @throws CoreError `conflict` when two different keys bear one name, `damaged` for an altered pack.
 */
export async function syncPacks(
  copies: KeyCopies,
  options: SyncPacksOptions,
): Promise<KeyBackupReport> {
  const report = { ...NOTHING };
  const groups = await listKeyNames(copies.keys);
  await inTurns([...groups], async ([group, names]) => {
    await syncGroup(copies, { group, names, report }, options);
  });
  return report;
}

/** Whether the packs hold what the keyring holds and nothing else, by their names alone. */
export async function arePacksCurrent({ keys, packs, listing }: KeyCopies): Promise<boolean> {
  for (const [group, names] of await listKeyNames(keys)) {
    const here = await readKeyTexts(keys, names);
    const wanted = here.size === 0 ? [] : [packs.revision(here)];
    if ((listing.get(group) ?? []).join() !== wanted.join()) return false;
  }
  return true;
}

/** The texts of keys as packs hold them; a file that went away meanwhile is left out. */
export async function readKeyTexts(
  keys: string,
  names: readonly string[],
): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const name of names) {
    const text = await readIfPresent(keyPath(keys, name));
    if (text !== undefined) texts.set(name, packedText(name, text));
  }
  return texts;
}

/** The key in a text; `undefined` when it does not open. */
export function openText(
  wrapping: WrappingKey,
  name: string,
  text: string,
): Uint8Array | "destroyed" | undefined {
  try {
    const wrapped = parseWrapped(name, text);
    return wrapped.kind === "destroyed" ? "destroyed" : unwrapKey(wrapping, name, wrapped);
  } catch (error) {
    if (error instanceof CoreError) return undefined;
    throw error;
  }
}

const NOTHING = {
  keys: 0,
  destroyed: 0,
  written: 0,
  bytes: 0,
  missingHere: 0,
  damagedHere: 0,
  destroyedHere: 0,
};

interface GroupSync {
  readonly group: string;
  readonly names: readonly string[];
  readonly report: typeof NOTHING;
}

async function syncGroup(
  copies: KeyCopies,
  { group, names, report }: GroupSync,
  { isFull, seen, destroyHere }: SyncPacksOptions,
): Promise<void> {
  const { packs, listing } = copies;
  const revisions = listing.get(group) ?? [];
  if (names.length === 0 && revisions.length === 0) return;
  const fingerprint = fingerprintOf(names);
  const before = seen.get(group);
  const isKnown = before?.names === fingerprint && revisions.join() === before.revision;
  if (!isFull && isKnown) return add(report, before);
  const here = await readKeyTexts(copies.keys, names);
  const revision = packs.revision(here);
  const now = { names: fingerprint, revision, ...countKeys(here) };
  if (!isFull && revisions.join() === revision) {
    seen.set(group, now);
    return add(report, now);
  }
  const { there, damaged } = await packs.read(group, { isLenient: isFull });
  const merged = mergeSides(copies, { here, there: mergePacks([...there.values()]) }, report);
  // The copy first: were the file here destroyed first, a crash would leave nothing that knew why.
  const { isWritten, bytes } = await packs.replace(group, merged, {
    revisions: [...there.keys(), ...damaged],
    isForced: damaged.length > 0,
  });
  if (isWritten) report.written += 1;
  report.bytes += bytes;
  for (const [name, text] of here) {
    if (isDestroyedText(name, text) || !isDestroyedText(name, merged.get(name) ?? "")) continue;
    await destroyHere(name);
    report.destroyedHere += 1;
  }
  add(report, countKeys(merged));
  if (packs.revision(merged) === revision) seen.set(group, now);
}

function add(
  report: typeof NOTHING,
  { keys, destroyed }: Pick<SeenGroup, "keys" | "destroyed">,
): void {
  report.keys += keys;
  report.destroyed += destroyed;
}

function countKeys(pack: KeyPack): Pick<SeenGroup, "keys" | "destroyed"> {
  let destroyed = 0;
  for (const [name, text] of pack) if (isDestroyedText(name, text)) destroyed += 1;
  return { keys: pack.size - destroyed, destroyed };
}

/** Names which set of names it is, in whichever order they were listed. */
function fingerprintOf(names: readonly string[]): string {
  return hash("sha256", names.toSorted().join("\n"), "hex");
}

/** What the copy has to say of a group, of what is here and what is there. */
function mergeSides(
  { wrapping }: KeyCopies,
  { here, there }: { readonly here: KeyPack; readonly there: KeyPack },
  report: typeof NOTHING,
): KeyPack {
  const merged = new Map(here);
  for (const [name, copy] of there) {
    const own = here.get(name);
    if (own === copy) continue;
    if (own === undefined) {
      if (!isDestroyedText(name, copy)) report.missingHere += 1;
      merged.set(name, copy);
    } else if (isDestroyedText(name, copy)) {
      merged.set(name, copy);
    } else if (!isDestroyedText(name, own) && !isOwnKey(wrapping, { name, own, copy })) {
      report.damagedHere += 1;
      merged.set(name, copy);
    }
  }
  return merged;
}

/** False when the file here does not open and its copy does. */
function isOwnKey(
  wrapping: WrappingKey,
  { name, own, copy }: { readonly name: string; readonly own: string; readonly copy: string },
): boolean {
  const mine = openText(wrapping, name, own);
  const other = openText(wrapping, name, copy);
  if (mine === undefined) return other === undefined;
  if (other === undefined || Buffer.compare(Buffer.from(mine), Buffer.from(other)) === 0)
    return true;
  throw new CoreError(
    "conflict",
    `the key ${name} here is another one than in the key backup; was an old copy of the data directory put back?`,
    { at: name },
  );
}
