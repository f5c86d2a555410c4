import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { BlobStore } from "@custody/stores/blob/port";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { SALT_BYTES } from "../journal/format/aead.ts";
import { decodeHead } from "./key-backup-head.ts";
import type { ReadHead } from "./key-backup-head.ts";
import { isDestroyedText, openPack, packedText, packRevision, sealPack } from "./key-pack.ts";
import type { KeyPack, PackSealing } from "./key-pack.ts";

/** The revisions of each group that lie in a key backup; more than one after a crash. */
export type PackListing = ReadonlyMap<string, readonly string[]>;

/** What replacing a pack did. */
export interface PackChange {
  /** Bytes written. */
  readonly bytes: number;
  readonly isWritten: boolean;
}

/** The revisions of a group by their names. */
export interface ReadPacks {
  readonly there: ReadonlyMap<string, KeyPack>;
  /** Those that do not open. */
  readonly damaged: readonly string[];
}

const HEADS = "keys/head/";
const PACKS = "keys/packs/";
const PAGE = 1_000;
/** A pack that is replaced while it is read is listed again; more often is no race. */
const READ_ATTEMPTS_MAX = 5;
// A backup of keys that was listed may go on for as long as it must: nobody waits for its answer.
const scope: Scope = { tenant: SYSTEM_TENANT, actor: "service:custody", deadline: Infinity };

/**
 * Refuses a place in which a destroyed key would live on, or lie beside what it opens.
 *
 * @throws CoreError `usage`.
 */
export async function checkKeyPlace(store: BlobStore): Promise<void> {
  if (store.capabilities.canRetain)
    throw new CoreError(
      "usage",
      "the place has object lock, which would keep destroyed keys; choose a bucket without it for keys",
    );
  if ((await store.stat(scope, "repository")) !== undefined)
    throw new CoreError(
      "usage",
      "the place holds a backup of data; keep the keys elsewhere, so that who has one has not the other",
    );
}

/** The heads in a place, newest first; none where there is no key backup. */
export async function readHeads(
  store: BlobStore,
): Promise<readonly (ReadHead & { readonly key: string })[]> {
  const heads: (ReadHead & { readonly key: string })[] = [];
  for (const key of await keysBelow(store, HEADS)) {
    const bytes = await store.read(scope, key);
    if (bytes !== undefined)
      heads.push({ ...decodeHead(Buffer.from(bytes).toString("utf8")), key });
  }
  return heads.toSorted((left, right) => right.head.number - left.head.number);
}

/** Puts a new head and deletes the ones before it. */
export async function replaceHeads(
  store: BlobStore,
  text: string,
  number: number,
  before: readonly { readonly key: string }[],
): Promise<void> {
  const key = `${HEADS}${number.toString().padStart(12, "0")}`;
  await store.put(scope, key, Buffer.from(text));
  for (const old of before) if (old.key !== key) await store.delete(scope, old.key);
}

/** What packs a place holds. */
export async function listPacks(store: BlobStore): Promise<PackListing> {
  const listing = new Map<string, string[]>();
  for (const key of await keysBelow(store, PACKS)) {
    const [group = "", revision = ""] = key.slice(PACKS.length).split("/");
    const revisions = listing.get(group) ?? [];
    listing.set(group, [...revisions, revision]);
  }
  return listing;
}

/** The packs of a key backup, read and replaced one group at a time. */
export class KeyPacks {
  readonly #store: BlobStore;
  readonly #sealing: PackSealing;
  readonly #random: (length: number) => Uint8Array;

  constructor(
    store: BlobStore,
    sealing: PackSealing,
    random: (length: number) => Uint8Array = noRandom,
  ) {
    this.#store = store;
    this.#sealing = sealing;
    this.#random = random;
  }

  revision(pack: KeyPack): string {
    return packRevision(this.#sealing, pack);
  }

  /**
   * The group's revisions as they lie there, each opened.
   *
   * @param options.isLenient answers which are damaged in place of failing.
   * @throws CoreError `damaged` naming the blob.
   */
  async read(group: string, options: { readonly isLenient?: boolean } = {}): Promise<ReadPacks> {
    for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt += 1) {
      const packs = await this.#readListed(group);
      if (packs?.damaged[0] !== undefined && options.isLenient !== true)
        throw damagedPack(packKey(group, packs.damaged[0]));
      if (packs !== undefined) return packs;
    }
    throw new CoreError("failed", `the pack ${group} of keys is replaced all the time`);
  }

  /**
   * Makes `pack` the group's only revision: the new one is put first, then the others are deleted, so
   * that whoever reads always finds all keys.
   */
  async replace(
    group: string,
    pack: KeyPack,
    known: { readonly revisions: readonly string[]; readonly isForced?: boolean },
  ): Promise<PackChange> {
    const revision = this.revision(pack);
    const isWritten = known.isForced === true || !known.revisions.includes(revision);
    const bytes = isWritten ? await this.#put(group, revision, pack) : 0;
    for (const old of known.revisions)
      if (old !== revision) await this.#store.delete(scope, packKey(group, old));
    return { bytes, isWritten };
  }

  /** Marks keys as destroyed in a group, and leaves no revision in which they are not. */
  async destroy(group: string, names: readonly string[]): Promise<void> {
    const { there } = await this.read(group);
    const destroyed = names.map((name) => [name, DESTROYED] as const);
    const merged = mergePacks([...there.values(), new Map(destroyed)]);
    await this.replace(group, merged, { revisions: [...there.keys()] });
  }

  /** `undefined` when a listed pack has gone in the meantime. */
  async #readListed(group: string): Promise<ReadPacks | undefined> {
    const there = new Map<string, KeyPack>();
    const damaged: string[] = [];
    for (const key of await keysBelow(this.#store, `${PACKS}${group}/`)) {
      const bytes = await this.#store.read(scope, key);
      if (bytes === undefined) return undefined;
      const revision = key.slice(key.lastIndexOf("/") + 1);
      const pack = openPack(this.#sealing, group, bytes);
      // A pack that was put under another's name would be taken for that one's content.
      if (pack === undefined || this.revision(pack) !== revision) damaged.push(revision);
      else there.set(revision, pack);
    }
    return { there, damaged };
  }

  async #put(group: string, revision: string, pack: KeyPack): Promise<number> {
    const salt = Uint8Array.from(this.#random(SALT_BYTES));
    const sealed = sealPack(this.#sealing, group, pack, salt);
    await this.#store.put(scope, packKey(group, revision), sealed);
    return sealed.byteLength;
  }
}

/**
 * One pack of several: a destroyed key wins over one that is there.
 *
 * @throws CoreError `conflict` when two of them hold different keys under one name.
 */
export function mergePacks(packs: readonly KeyPack[]): KeyPack {
  const merged = new Map<string, string>();
  for (const pack of packs) {
    for (const [name, given] of pack) {
      const text = packedText(name, given);
      const known = merged.get(name);
      if (known === undefined || isDestroyedText(name, text)) merged.set(name, text);
      else if (known !== text && !isDestroyedText(name, known))
        throw new CoreError("conflict", `the key backup has two different keys ${name}`);
    }
  }
  return merged;
}

const DESTROYED = packedText("destroyed", '{"version":1,"destroyed":true}');

function packKey(group: string, revision: string): string {
  return `${PACKS}${group}/${revision}`;
}

function damagedPack(key: string): CoreError {
  return new CoreError(
    "damaged",
    `the key backup's ${key} was altered, or is another's; while the keys here are whole, \`custody keys backup --full\` writes it anew`,
    { at: key },
  );
}

function noRandom(): never {
  throw new CoreError("usage", "a key backup that is only read needs no randomness");
}

async function keysBelow(store: BlobStore, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for (;;) {
    const after = keys.at(-1);
    const options = { limit: PAGE, ...(after === undefined ? {} : { after }) };
    const page = await store.list(scope, prefix, options);
    keys.push(...page.map(({ key }) => key));
    if (page.length < PAGE) return keys;
  }
}
