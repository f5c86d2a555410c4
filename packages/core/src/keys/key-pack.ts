import { createHmac, hash } from "node:crypto";

import {
  aeadOpen,
  aeadSeal,
  counterNonce,
  deriveKey,
  SALT_BYTES,
  TAG_BYTES,
} from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";
import { destroyedText, parseWrapped } from "./wrapped-key.ts";

/** Keys of one group by name, each as its file holds it: wrapped, or destroyed. */
export type KeyPack = ReadonlyMap<string, string>;

/** Seals packs and names them. */
export interface PackSealing {
  /** The keys that are derived from the root key. */
  readonly sealKey: Uint8Array;
  readonly nameKey: Uint8Array;
}

/** The keys of a key backup, of the root key. */
export function packSealing(rootKey: Uint8Array): PackSealing {
  const derive = (use: string): Uint8Array =>
    deriveKey(rootKey, new Uint8Array(0), associatedData(use));
  return {
    sealKey: derive("custody key pack sealing v1"),
    nameKey: derive("custody key pack names v1"),
  };
}

/** How many groups keys fall into: a pack stays small, and all packs fit on one page of a listing. */
export const KEY_GROUPS = 256;

/** The group of a key, two hex digits: its pack is the one that is replaced when the key changes. */
export function keyGroup(name: string): string {
  return hash("sha256", name, "hex").slice(0, 2);
}

/** Text of a key as packs hold it: what is left of a destroyed one is always the same. */
export function packedText(name: string, text: string): string {
  return isDestroyedText(name, text) ? destroyedText() : text;
}

/** Whether a key's text says that it was destroyed; false for one that cannot be read. */
export function isDestroyedText(name: string, text: string): boolean {
  try {
    return parseWrapped(name, text).kind === "destroyed";
  } catch {
    return false;
  }
}

/** The name of a pack's content: the same keys have the same, and it tells nothing about them. */
export function packRevision({ nameKey }: PackSealing, pack: KeyPack): string {
  return createHmac("sha256", nameKey).update(packText(pack)).digest("hex").slice(0, 32);
}

/**
 * Seals a pack as it lies in a key backup.
 *
 * @param group binds the pack to its place.
 * @param salt 16 random bytes never used before.
 */
export function sealPack(
  sealing: PackSealing,
  group: string,
  pack: KeyPack,
  salt: Uint8Array,
): Uint8Array {
  const header = Buffer.concat([MAGIC, salt]);
  return Buffer.concat([header, aeadSeal(aead(sealing, group, header), packText(pack))]);
}

/** Opens what {@link sealPack} sealed; `undefined` when a single bit differs. */
export function openPack(
  sealing: PackSealing,
  group: string,
  bytes: Uint8Array,
): KeyPack | undefined {
  const header = bytes.subarray(0, HEADER_BYTES);
  const isPack = MAGIC.equals(header.subarray(0, MAGIC.length));
  if (!isPack || bytes.byteLength < HEADER_BYTES + TAG_BYTES) return undefined;
  const opened = aeadOpen(aead(sealing, group, header), bytes.subarray(HEADER_BYTES));
  if (opened === undefined) return undefined;
  return new Map(JSON.parse(opened.toString("utf8")) as [string, string][]);
}

const MAGIC = Buffer.from("CUSTODYK\u0001", "latin1");
const HEADER_BYTES = MAGIC.length + SALT_BYTES;

function aead({ sealKey }: PackSealing, group: string, header: Uint8Array) {
  const salt = header.subarray(MAGIC.length);
  return {
    key: deriveKey(sealKey, salt, associatedData("custody key pack v1")),
    nonce: counterNonce(0),
    associated: associatedData("custody key pack v1", group, header),
  };
}

function packText(pack: KeyPack): Buffer {
  const entries = [...pack].toSorted(([left], [right]) => (left < right ? -1 : 1));
  return Buffer.from(JSON.stringify(entries));
}
