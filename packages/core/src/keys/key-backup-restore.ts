import { dirname } from "node:path";

import type { BlobStore } from "@custody/stores/blob/port";

import { CoreError } from "../errors.ts";
import { createDurably, inTurns, overwriteInPlace, readIfPresent } from "./durable-file.ts";
import { openHead } from "./key-backup-head.ts";
import type { KeyBackupHead, KeyBackupSecret } from "./key-backup-head.ts";
import { KeyPacks, listPacks, mergePacks, readHeads } from "./key-backup-place.ts";
import { keyBackupRecord, readKeyBackupRecord, writeKeyBackupRecord } from "./key-backup-record.ts";
import { destroyedText } from "./wrapped-key.ts";
import { isDestroyedText, packSealing } from "./key-pack.ts";
import type { KeyPack } from "./key-pack.ts";
import { keyPath } from "./keyring-files.ts";
import { keysDirectory, putKeyFile, recoveryFile } from "./root-key-file.ts";
import type { RootKey, RootKeyPlace } from "./root-key-file.ts";
import { claimKeyring } from "./keyring.ts";

/** What a restore of keys needs. */
export interface RestoreKeysOptions extends RootKeyPlace {
  /** The key backup. */
  readonly store: BlobStore;
  /**
   * Where it is: these keys go on as the ones that it is the copy of. Absent for a second copy beside
   * the living keys, for a drill say, which must not write into their backup.
   */
  readonly url?: string;
  /** The URL without credentials, as it may be kept; default as it is. */
  readonly shownUrl?: string;
  readonly secret: KeyBackupSecret;
  /** Strong random bytes. */
  readonly random: (length: number) => Uint8Array;
  /** Epoch milliseconds. */
  readonly clock: () => number;
}

/** What a restore of keys did. */
export interface RestoredKeys {
  /** The root key's id. */
  readonly rootKey: string;
  /** Keys that were written; those that were there already are not counted. */
  readonly keys: number;
  /** Keys that are marked as destroyed. */
  readonly destroyed: number;
}

/**
 * Writes a key file and a keyring from a key backup. Where there is a keyring under the same root key
 * already, only what is missing is written, so that a restore that was interrupted goes on, and a
 * keyring with holes is mended.
 *
 * @throws CoreError `not-found` where there is no key backup, `no-key` for a secret that does not open
 *   it, `damaged` when it was altered, `conflict` when there are keys under another root key.
 */
export async function restoreKeys(options: RestoreKeysOptions): Promise<RestoredKeys> {
  const { store, directory, random, url, clock, shownUrl = url } = options;
  const { root, head } = await openNewest(store, options.secret);
  const keys = keysDirectory(directory);
  const suffix = Buffer.from(random(8)).toString("hex");
  await claimKeyring(keys, root.id, suffix);
  const known = await readKeyBackupRecord(keys);
  const isAdopting = known === undefined || known.id === head.id;
  const record =
    url === undefined || shownUrl === undefined || !isAdopting
      ? undefined
      : keyBackupRecord(head.id, url, shownUrl);
  // Before the first key, so that none is destroyed later without its copy.
  if (record !== undefined) await writeKeyBackupRecord(keys, record);
  const packs = new KeyPacks(store, packSealing(root.key));
  let [written, destroyed] = [0, 0];
  for (const group of (await listPacks(store)).keys()) {
    const { there } = await packs.read(group);
    const done = await writeGroup({ keys, suffix }, mergePacks([...there.values()]));
    written += done.written;
    destroyed += done.destroyed;
  }
  const recovery = head.wrappings.find(({ kind }) => kind === "recovery");
  if (recovery !== undefined)
    await createDurably([{ path: recoveryFile(directory), text: recovery.wrapped }], suffix);
  if (record !== undefined) await writeKeyBackupRecord(keys, { ...record, syncedAt: clock() });
  // Last: an installation without its key file does not open, so that none opens with half of its keys.
  await putKeyFile(options, root, random);
  return { rootKey: root.id, keys: written, destroyed };
}

/**
 * Writes a lost key file anew from the head of the key backup, where the other keys are still there.
 *
 * @throws CoreError `not-found` where there is no key backup, `no-key` for a secret that does not open
 *   it and for keys here that are under another root key, `damaged` when it was altered, `conflict`
 *   when the key file holds another key.
 */
export async function recoverFromKeyBackup(
  options: Pick<RestoreKeysOptions, "store" | "secret" | "random" | "directory" | "keyFile">,
): Promise<{ readonly rootKey: string }> {
  const { store, secret, directory, random } = options;
  const { root } = await openNewest(store, secret);
  await claimKeyring(keysDirectory(directory), root.id, Buffer.from(random(8)).toString("hex"));
  await putKeyFile(options, root, random);
  return { rootKey: root.id };
}

async function openNewest(
  store: BlobStore,
  secret: KeyBackupSecret,
): Promise<{ readonly root: RootKey; readonly head: KeyBackupHead }> {
  const [newest] = await readHeads(store);
  if (newest === undefined)
    throw new CoreError("not-found", "there is no key backup in that place");
  return { root: await openHead(newest, secret), head: newest.head };
}

interface Target {
  readonly keys: string;
  readonly suffix: string;
}

async function writeGroup(
  { keys, suffix }: Target,
  pack: KeyPack,
): Promise<{ readonly written: number; readonly destroyed: number }> {
  const files = [...pack].map(([name, text]) => ({ name, text, path: keyPath(keys, name) }));
  let existed = 0;
  for (const inDirectory of Map.groupBy(files, ({ path }) => dirname(path)).values())
    existed += (await createDurably(inDirectory, suffix)).length;
  const gone = files.filter(({ name, text }) => isDestroyedText(name, text));
  if (existed > 0) {
    await inTurns(gone, async ({ name, path }) => {
      const text = (await readIfPresent(path)) ?? "";
      if (isDestroyedText(name, text)) return;
      await overwriteInPlace(path, destroyedText(Buffer.byteLength(text)));
    });
  }
  return { written: files.length - existed, destroyed: gone.length };
}
