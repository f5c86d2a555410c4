import { uuidV7 } from "@custody/contract/ids";

import { CoreError } from "../errors.ts";
import type { BackupManifest, ObjectRef } from "./backup-manifest.ts";
import { takeBackupLease } from "./backup-lease.ts";
import { deleteBackupManifest, listAll, listBackups } from "./backup-repository.ts";
import type { BackupListing, BackupRepository } from "./backup-repository.ts";
import { BLOB_ROWS, readPages, SEGMENT_ROWS } from "./object-pages.ts";
import { ObjectNames } from "./object-names.ts";

/** What a prune did. */
export interface PruneReport {
  readonly kept: readonly string[];
  readonly deleted: readonly string[];
  /** Objects that no backup needs any more, and their stored bytes. */
  readonly swept: { readonly objects: number; readonly bytes: number };
}

/** How a repository is pruned. */
export interface PruneOptions {
  /** Chooses the ids of the backups to keep, out of all there are, oldest first. */
  readonly keep: (backups: readonly BackupListing[]) => readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * Deletes backups and the objects that only they needed.
 *
 * What is kept is read first: an object goes only once it is known that nothing kept names it. Manifests
 * go before objects, so a crash at any step leaves every kept backup whole, and the next prune sweeps
 * the rest.
 *
 * @throws CoreError `conflict` while a create or another prune is at work, `usage` when an id to keep is
 *   none of the repository's, `damaged` when a backup to be kept cannot be read: then nothing is deleted.
 */
export async function pruneBackups(
  repository: BackupRepository,
  { keep, signal }: PruneOptions,
): Promise<PruneReport> {
  const { runtime } = repository;
  const id = uuidV7(runtime.clock(), runtime.random(10));
  const lease = await takeBackupLease(repository, "prune", id);
  try {
    const step = async (): Promise<void> => {
      signal?.throwIfAborted();
      await lease.touch();
    };
    const listings = await listBackups(repository);
    const kept = new Set(keep(listings));
    const manifests = keptManifests(listings, kept);
    const needed = new ObjectNames();
    for (const manifest of manifests)
      for await (const { object } of objectsOf(repository, manifest)) {
        needed.add(object);
        await step();
      }
    const deleted = listings.filter(({ backupId }) => !kept.has(backupId));
    await lease.confirm();
    for (const { backupId } of deleted) {
      await step();
      await deleteBackupManifest(repository, backupId);
    }
    const swept = await sweep(repository, needed, step);
    return { kept: [...kept], deleted: deleted.map(({ backupId }) => backupId), swept };
  } finally {
    await lease.release();
  }
}

function keptManifests(
  listings: readonly BackupListing[],
  kept: ReadonlySet<string>,
): readonly BackupManifest[] {
  const known = new Map(listings.map((listing) => [listing.backupId, listing]));
  return [...kept].map((backupId) => {
    const listing = known.get(backupId);
    if (listing === undefined)
      throw new CoreError("usage", `there is no backup ${backupId} to keep`);
    if (listing.manifest !== undefined) return listing.manifest;
    throw new CoreError(
      "damaged",
      `backup ${backupId} is to be kept and cannot be read, so nothing is deleted: ${listing.fault ?? ""}`,
    );
  });
}

/** Everything a backup needs, pages included. */
async function* objectsOf(
  { objects }: BackupRepository,
  { tenants }: BackupManifest,
): AsyncGenerator<ObjectRef> {
  for (const { packs, locations, segments, blobs, state } of tenants) {
    yield* [...packs, ...locations, ...segments, ...blobs, ...state];
    for await (const { content } of readPages(objects, segments, SEGMENT_ROWS)) yield content;
    for await (const { content } of readPages(objects, blobs, BLOB_ROWS)) yield content;
  }
}

async function sweep(
  repository: BackupRepository,
  needed: ObjectNames,
  step: () => Promise<void>,
): Promise<PruneReport["swept"]> {
  const { blob, scope } = repository;
  let [objects, bytes] = [0, 0];
  for await (const info of listAll(repository, "objects/")) {
    await step();
    if (needed.has(info.key.slice(info.key.lastIndexOf("/") + 1))) continue;
    await blob.delete(scope, info.key);
    objects += 1;
    bytes += info.bytes;
  }
  return { objects, bytes };
}
