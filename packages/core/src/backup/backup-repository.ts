import { SYSTEM_TENANT, uuidV7 } from "@custody/contract/ids";
import type { BlobInfo, BlobStore } from "@custody/stores/blob/port";
import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import {
  canonicalBytes,
  HASH_HEX,
  Members,
  parseCanonical,
} from "../journal/format/canonical-object.ts";
import type { Runtime } from "../runtime.ts";
import type { KeyService } from "../keys/key-service.ts";
import { BACKUP_FORMAT, readManifest } from "./backup-manifest.ts";
import type { BackupManifest } from "./backup-manifest.ts";
import { BackupObjects, collectBytes, once, repositoryScope } from "./backup-objects.ts";

/** What a repository of backups is opened with. */
export interface BackupRepositoryParts {
  /** Any engine of the blob role; a directory or bucket of its own. */
  readonly blob: BlobStore;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  /** The installation's name: only its own backups are written and, when given, read. */
  readonly installation?: string;
}

/** A place where backups are kept. */
export interface BackupRepository {
  readonly repositoryId: string;
  /** The installation whose backups these are. */
  readonly installation: string;
  readonly blob: BlobStore;
  readonly scope: Scope;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  readonly objects: BackupObjects;
}

/** A backup as a list shows it. */
export interface BackupListing {
  readonly backupId: string;
  /** Absent when the manifest cannot be read; {@link BackupListing.fault} then says why. */
  readonly manifest?: BackupManifest;
  readonly fault?: string;
}

const REPOSITORY_KEY = "repository";
const MANIFESTS = "manifests/";
const LIST_PAGE = 1_000;

/**
 * Opens a repository of backups; an empty place becomes one when an installation is named.
 *
 * @throws CoreError `not-found` when there is none, `conflict` when it is another installation's,
 *   `no-key` when it was made under another backup key, `damaged` when its description was altered,
 *   `usage` when a newer Custody wrote it.
 */
export async function openBackupRepository(
  parts: BackupRepositoryParts,
): Promise<BackupRepository> {
  const { blob, keys, runtime, installation } = parts;
  const scope = repositoryScope(runtime);
  const objects = new BackupObjects(parts, await keys.backupKey());
  const opened = { blob, scope, keys, runtime, objects };
  const found = await blob.read(scope, REPOSITORY_KEY);
  if (found !== undefined) return { ...opened, ...readDescription(objects, found, installation) };
  if (installation === undefined)
    throw new CoreError("not-found", "there is no repository of backups at this place");
  if ((await blob.list(scope, "", { limit: 1 })).length > 0)
    throw new CoreError(
      "conflict",
      "the place holds something, and no repository of backups; give an empty directory or prefix",
    );
  const description = writeDescription(objects, {
    format: BACKUP_FORMAT,
    installation,
    repositoryId: uuidV7(runtime.clock(), runtime.random(10)),
  });
  await blob.put(scope, REPOSITORY_KEY, description, { ifAbsent: true }).catch(ignoreConflict);
  // Whoever was first has named it.
  const named = (await blob.read(scope, REPOSITORY_KEY)) ?? description;
  return { ...opened, ...readDescription(objects, named, installation) };
}

interface Description {
  readonly format: number;
  readonly installation: string;
  readonly repositoryId: string;
}

function writeDescription(objects: BackupObjects, description: Description): Uint8Array {
  const key = keyMark(objects);
  const mark = objects.tag("repository", canonicalBytes({ ...description, key }));
  return canonicalBytes({ ...description, key, mark });
}

/** Tells which backup key a repository belongs to, and not what the key is. */
function keyMark(objects: BackupObjects): string {
  return objects.tag("repository key", new Uint8Array(0));
}

function readDescription(
  objects: BackupObjects,
  bytes: Uint8Array,
  installation: string | undefined,
): Pick<BackupRepository, "repositoryId" | "installation"> {
  const what = "the description of a repository of backups";
  const parsed = parseCanonical(bytes, what);
  const members = new Members(parsed, what);
  const format = members.whole("format", 1);
  const key = members.text("key", HASH_HEX);
  if (key !== keyMark(objects))
    throw new CoreError(
      "no-key",
      `the repository belongs to installation ${members.text("installation")} and was made under another backup key`,
    );
  // In every format the mark is of all other members: a changed byte is not taken for a newer format.
  const { mark, ...marked } = parsed;
  if (mark !== objects.tag("repository", canonicalBytes(marked)))
    throw new CoreError("damaged", `${what} was altered`);
  if (format > BACKUP_FORMAT)
    throw new CoreError(
      "usage",
      `the repository of backups is of format ${format}; this version reads up to ${BACKUP_FORMAT}`,
    );
  members.allow(["format", "installation", "repositoryId", "key", "mark"]);
  const description = {
    format,
    installation: members.text("installation"),
    repositoryId: members.text("repositoryId"),
  };
  if (installation !== undefined && installation !== description.installation)
    throw new CoreError(
      "conflict",
      `the repository holds backups of installation ${description.installation}, not of ${installation}`,
    );
  return description;
}

/** Every backup of a repository, oldest first; one that cannot be read is listed with the reason. */
export async function listBackups(repository: BackupRepository): Promise<readonly BackupListing[]> {
  const listings: BackupListing[] = [];
  for (const backupId of await backupIds(repository)) {
    try {
      listings.push({ backupId, manifest: await readBackupManifest(repository, backupId) });
    } catch (cause) {
      if (!(cause instanceof CoreError)) throw cause;
      listings.push({ backupId, fault: cause.message });
    }
  }
  return listings;
}

/**
 * Reads and checks a manifest.
 *
 * @param backupId or `latest`: the newest there is, which must be whole.
 * @throws CoreError `not-found`, `damaged` with the reason, `usage` for a newer format.
 */
export async function readBackupManifest(
  repository: BackupRepository,
  backupId: string,
): Promise<BackupManifest> {
  const id = backupId === "latest" ? await latestBackup(repository) : backupId;
  const { blob, scope, objects, keys } = repository;
  const sealed = id === undefined ? undefined : await blob.stream(scope, `${MANIFESTS}${id}`);
  if (id === undefined || sealed === undefined)
    throw new CoreError("not-found", `there is no backup ${backupId} in the repository`);
  const at = `the manifest of backup ${id}`;
  try {
    const bytes = await collectBytes(objects.open(`manifest ${id}`, sealed));
    const { publicKey } = await keys.signer(SYSTEM_TENANT);
    const manifest = readManifest(bytes, publicKey);
    if (manifest.backupId !== id) throw new CoreError("damaged", "it names another backup");
    if (manifest.installation !== repository.installation)
      throw new CoreError("damaged", `it is of installation ${manifest.installation}`);
    if (manifest.repository !== repository.repositoryId)
      throw new CoreError("damaged", "it was written for another repository");
    return manifest;
  } catch (cause) {
    if (!(cause instanceof CoreError)) throw cause;
    const advice = backupId === "latest" && cause.code === "damaged" ? OTHERS : "";
    throw new CoreError(cause.code, `${at}: ${cause.message}${advice}`, { cause, at });
  }
}

const OTHERS =
  "; `custody backup list` shows which ones can be read, and such a one can be named in place of latest";

async function latestBackup(repository: BackupRepository): Promise<string | undefined> {
  return (await backupIds(repository)).at(-1);
}

/** The ids of all backups, oldest first. */
async function backupIds(repository: BackupRepository): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { key } of listAll(repository, MANIFESTS)) ids.push(key.slice(MANIFESTS.length));
  return ids;
}

/**
 * The id of a backup that begins now: it sorts behind all others, whatever the clock does.
 */
export async function nextBackupId(repository: BackupRepository): Promise<string> {
  const { runtime } = repository;
  const newest = await latestBackup(repository);
  const now = Math.max(runtime.clock(), newest === undefined ? 0 : timeOf(newest) + 1);
  return uuidV7(now, runtime.random(10));
}

/** The milliseconds in a UUIDv7. */
function timeOf(id: string): number {
  return Number.parseInt(id.replace("-", "").slice(0, 12), 16) || 0;
}

/** The newest backup whose manifest can be read; `undefined` when there is none. */
export async function newestReadable(
  repository: BackupRepository,
): Promise<BackupManifest | undefined> {
  for (const backupId of (await backupIds(repository)).toReversed()) {
    try {
      return await readBackupManifest(repository, backupId);
    } catch (cause) {
      if (!(cause instanceof CoreError)) throw cause;
    }
  }
  return undefined;
}

/** Writes a signed manifest, sealed; refuses to replace one. */
export async function writeBackupManifest(
  { blob, scope, objects }: BackupRepository,
  backupId: string,
  signed: Uint8Array,
): Promise<number> {
  const sealed = await collectBytes(objects.seal(`manifest ${backupId}`, once(signed)));
  await blob.put(scope, `${MANIFESTS}${backupId}`, sealed, { ifAbsent: true });
  return sealed.byteLength;
}

/** Deletes a backup's manifest; its objects stay until they are swept. */
export async function deleteBackupManifest(
  { blob, scope }: BackupRepository,
  backupId: string,
): Promise<void> {
  await blob.delete(scope, `${MANIFESTS}${backupId}`);
}

/** All blobs of a repository that begin with a prefix, in order, a page at a time. */
export async function* listAll(
  { blob, scope }: Pick<BackupRepository, "blob" | "scope">,
  prefix: string,
): AsyncGenerator<BlobInfo> {
  let after: string | undefined;
  for (;;) {
    const page = await blob.list(scope, prefix, {
      limit: LIST_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    yield* page;
    after = page.at(-1)?.key;
    if (page.length < LIST_PAGE) return;
  }
}

function ignoreConflict(cause: unknown): void {
  if (!(cause instanceof StoreError) || cause.code !== "conflict") throw cause;
}
