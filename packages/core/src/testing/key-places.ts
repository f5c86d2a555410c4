import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

import { openFileBlobStore } from "@custody/stores/blob/files";
import type { BlobStore } from "@custody/stores/blob/port";
import { StoreError } from "@custody/stores/errors";
import { afterEach, beforeEach } from "vitest";

import { restoreKeys } from "../keys/key-backup-restore.ts";
import type { RestoreKeysOptions } from "../keys/key-backup-restore.ts";
import { openPack, packSealing } from "../keys/key-pack.ts";
import type { KeyOptions } from "../keys/key-service.ts";
import { openLocalKeyService } from "../keys/local-key-service.ts";
import type { LocalKeys } from "../keys/local-key-service.ts";
import { createKeyFile, readKeyFile } from "../keys/root-key-file.ts";
import type { RootKeyPlace } from "../keys/root-key-file.ts";

/** Strong random bytes. */
export const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
/** A clock that stands still. */
export const clock = (): number => 1_795_000_000_000;
/** Makes a key that is not there. */
export const CREATE: KeyOptions = { create: true };
/** Whose keys {@link makeKeys} makes. */
export const PEOPLE: readonly string[] = ["ana", "bob", "cy"];

/** A new directory for each test. */
export let folder: string;
/** A new installation of keys in it. */
export let place: RootKeyPlace;
export let recoveryKey: string;
/** Where its key backup is to be. */
export let copy: string;

/** Makes the places of this file anew before each test, and removes them after it. */
export function useKeyPlaces(): void {
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "custody-key-backup-"));
    place = { keyFile: join(folder, "root.key"), directory: join(folder, "data") };
    copy = join(folder, "copy");
    recoveryKey = await createKeyFile(place, random);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
}

/** A directory as a place. */
export const files = (directory: string): Promise<BlobStore> => openFileBlobStore({ directory });

/** Keys whose backup is at a path. */
export function open(
  options: {
    readonly at?: RootKeyPlace;
    readonly url?: string;
    readonly through?: (store: BlobStore) => BlobStore;
  } = {},
): Promise<LocalKeys> {
  const { at = place, url = copy, through = (store: BlobStore) => store } = options;
  const backup = { url, clock, open: async (path: string) => through(await files(path)) };
  return openLocalKeyService({ ...at, random, backup });
}

/** An installation with three people's keys, an original's, and a tenant's; each key as hexadecimal. */
export async function makeKeys(keys: LocalKeys): Promise<readonly string[]> {
  const made = [
    await keys.tenantKey("acme", "2026-11", CREATE),
    await keys.hashKey("acme"),
    await keys.backupKey(),
    await keys.originalKey("acme", "report", CREATE),
    ...(await keys.subjectKeys("acme", PEOPLE, CREATE)),
  ];
  return made.map((key) => Buffer.from(key ?? []).toString("hex"));
}

/** The keys that {@link makeKeys} makes, as they are found. */
export async function keysOf(keys: LocalKeys): Promise<readonly string[]> {
  const found = [
    await keys.tenantKey("acme", "2026-11"),
    await keys.hashKey("acme"),
    await keys.backupKey(),
    await keys.originalKey("acme", "report"),
    ...(await keys.subjectKeys("acme", PEOPLE)),
  ];
  return found.map((key) => Buffer.from(key ?? []).toString("hex"));
}

let restored = 0;

/** Restores into a new place and answers it. */
export async function restore(options: Partial<RestoreKeysOptions> = {}): Promise<RootKeyPlace> {
  restored += 1;
  const at = {
    keyFile: join(folder, `restored-${restored}.key`),
    directory: join(folder, `restored-${restored}`),
  };
  const secret = { kind: "recovery", typed: recoveryKey } as const;
  await restoreKeys({ ...at, store: await files(copy), secret, random, clock, ...options });
  return at;
}

/** The paths of all files of the key backup. */
export async function blobs(): Promise<readonly string[]> {
  const found = await readdir(copy, { recursive: true, withFileTypes: true });
  return found.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
}

/** Fails from the n-th write on, as a process that has died does no more. */
export function dyingAt(call: number): {
  readonly through: (store: BlobStore) => BlobStore;
  readonly calls: () => number;
} {
  let calls = 0;
  const live = async <Answer>(work: () => Promise<Answer>): Promise<Answer> => {
    calls += 1;
    if (calls >= call) throw new StoreError("unavailable", "the place is away");
    return work();
  };
  return {
    calls: () => calls,
    through: (store) => ({
      ...store,
      put: (...given) => live(() => store.put(...given)),
      delete: (...given) => live(() => store.delete(...given)),
    }),
  };
}

/** The text of every key in every pack that lies there, also in packs that count no more. */
export async function packTexts(): Promise<readonly string[]> {
  const sealing = packSealing((await readKeyFile(place)).key);
  const paths = (await blobs()).filter((path) => path.includes("packs"));
  const packs = paths.map(async (path) =>
    openPack(sealing, basename(dirname(path)), await readFile(path)),
  );
  return (await Promise.all(packs)).flatMap((pack) => [...(pack?.values() ?? [])]);
}
