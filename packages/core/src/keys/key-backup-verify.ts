import type { KeyPack } from "./key-pack.ts";
import { isDestroyedText } from "./key-pack.ts";
import { openText, readKeyTexts } from "./key-backup-packs.ts";
import type { KeyCopies } from "./key-backup-packs.ts";
import { listKeyNames } from "./keyring-files.ts";

/** What is wrong with a key, or a pack of keys, in a key backup. */
export interface KeyFault {
  /** The key, or the pack's blob. */
  readonly at: string;
  readonly kind: KeyFaultKind;
}

/**
 * - `missing`: it is here and not there.
 * - `missing-here`: it is there and not here.
 * - `different`: there it is another key.
 * - `unreadable`: it does not open there, though it does here.
 * - `unreadable-here`: it does not open here.
 * - `not-destroyed`: it was destroyed here, and there is a copy there.
 * - `not-destroyed-here`: it was destroyed there, and is here.
 * - `damaged-pack`: a pack was altered.
 * - `not-opened-by-service`: the key service that is configured does not open it.
 */
export type KeyFaultKind =
  | "missing"
  | "missing-here"
  | "different"
  | "unreadable"
  | "unreadable-here"
  | "not-destroyed"
  | "not-destroyed-here"
  | "damaged-pack"
  | "not-opened-by-service";

/** What a comparison of a key backup with the keys here found. */
export interface KeyBackupCheck {
  readonly ok: boolean;
  /** Keys there, without destroyed ones. */
  readonly keys: number;
  readonly destroyed: number;
  readonly packs: number;
  /** How many faults there are. */
  readonly faultCount: number;
  /** The first hundred of them. */
  readonly faults: readonly KeyFault[];
  /** The key service that opens it; checked where it was given. */
  readonly keyService?: { readonly name: string; readonly isChecked: boolean };
}

const FAULTS_TOLD_MAX = 100;

/** Opens every key there and here and compares them. */
export async function verifyPacks(copies: KeyCopies): Promise<KeyBackupCheck> {
  const faults: KeyFault[] = [];
  let [keys, destroyed, packs, faultCount] = [0, 0, 0, 0];
  for (const [group, names] of await listKeyNames(copies.keys)) {
    const here = await readKeyTexts(copies.keys, names);
    const { there, damaged } = await copies.packs.read(group, { isLenient: true });
    packs += there.size + damaged.length;
    const found = [
      ...damaged.map((revision) => ({ at: `${group}/${revision}`, kind: "damaged-pack" as const })),
      ...compareGroup(copies, here, [...there.values()]),
    ];
    faultCount += found.length;
    faults.push(...found.slice(0, FAULTS_TOLD_MAX - faults.length));
    for (const [, isDestroyed] of statesOf([...there.values()])) {
      if (isDestroyed) destroyed += 1;
      else keys += 1;
    }
  }
  return { ok: faultCount === 0, keys, destroyed, packs, faultCount, faults };
}

/** The same comparison with one fault more, told first. */
export function withFault(check: KeyBackupCheck, fault: KeyFault): KeyBackupCheck {
  const faults = [fault, ...check.faults].slice(0, FAULTS_TOLD_MAX);
  return { ...check, ok: false, faultCount: check.faultCount + 1, faults };
}

function statesOf(packs: readonly KeyPack[]): ReadonlyMap<string, boolean> {
  const states = new Map<string, boolean>();
  for (const pack of packs)
    for (const [name, text] of pack)
      states.set(name, states.get(name) === true || isDestroyedText(name, text));
  return states;
}

function compareGroup(
  copies: KeyCopies,
  here: KeyPack,
  packs: readonly KeyPack[],
): readonly KeyFault[] {
  const faults: KeyFault[] = [];
  const names = new Set([...here.keys(), ...packs.flatMap((pack) => [...pack.keys()])]);
  for (const at of names) {
    const texts = packs.flatMap((pack) => pack.get(at) ?? []);
    const kind = compareKey(copies, at, { here: here.get(at), there: texts });
    if (kind !== undefined) faults.push({ at, kind });
  }
  return faults;
}

/** A key may be in several revisions: one that was not deleted is a copy as well. */
function compareKey(
  { wrapping }: KeyCopies,
  name: string,
  { here, there }: { readonly here: string | undefined; readonly there: readonly string[] },
): KeyFaultKind | undefined {
  const copies = there.filter((text) => !isDestroyedText(name, text));
  const isDestroyedThere = copies.length < there.length;
  if (here === undefined) return isDestroyedThere ? undefined : "missing-here";
  if (isDestroyedText(name, here)) {
    if (copies.length > 0) return "not-destroyed";
    return isDestroyedThere ? undefined : "missing";
  }
  if (isDestroyedThere) return "not-destroyed-here";
  if (copies.length === 0) return "missing";
  const own = openText(wrapping, name, here);
  if (own === undefined) return "unreadable-here";
  for (const text of copies) {
    const copy = openText(wrapping, name, text);
    if (copy === undefined) return "unreadable";
    if (!Buffer.from(own).equals(Buffer.from(copy))) return "different";
  }
  return undefined;
}
