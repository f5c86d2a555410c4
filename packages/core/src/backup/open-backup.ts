import { CoreError } from "../errors.ts";
import type { BackedUpEntry, BackedUpSegment, BackupContents } from "./backup-contents.ts";
import type { BackupManifest, TenantManifest } from "./backup-manifest.ts";
import type { BackupObjects } from "./backup-objects.ts";
import { newestReadable, readBackupManifest } from "./backup-repository.ts";
import type { BackupRepository } from "./backup-repository.ts";
import { readSegmentPages } from "./copy-files.ts";
import { readPack } from "./journal-pack.ts";
import type { UnpackedEntry } from "./journal-pack.ts";
import { LocationCursor, readLocations } from "./line-locations.ts";
import { BLOB_ROWS, readPages, SEGMENT_ROWS, STATE_ROWS } from "./object-pages.ts";
import type { SegmentPageRow } from "./object-pages.ts";

/**
 * Opens a backup for reading; its manifest is checked now, everything else as it is read.
 *
 * @param backupId or `latest`.
 * @throws CoreError `not-found`, `damaged` with the reason, `usage` when a newer Custody wrote it.
 */
export async function openBackup(
  repository: BackupRepository,
  backupId: string,
): Promise<BackupContents> {
  const manifest = await readBackupManifest(repository, backupId);
  return backupContents(repository.objects, manifest);
}

/**
 * Opens the newest backup that can be read, for what it knows of holds and erasures since another; `undefined`
 * when it is that other one. A newer one that is damaged must not keep an older one from being restored.
 */
export async function openNewestBeside(
  repository: BackupRepository,
  backupId: string,
): Promise<BackupContents | undefined> {
  const newest = await newestReadable(repository);
  if (newest === undefined || newest.backupId === backupId) return undefined;
  return backupContents(repository.objects, newest);
}

/** What lies in the backup of a manifest that was read. */
function backupContents(objects: BackupObjects, manifest: BackupManifest): BackupContents {
  const tenantOf = (name: string): TenantManifest => requireTenant(manifest, name);
  const catalogues = new Map<string, Promise<ReadonlyMap<string, SegmentPageRow>>>();
  const catalogue = (tenant: string): Promise<ReadonlyMap<string, SegmentPageRow>> => {
    const known = catalogues.get(tenant) ?? readSegmentPages(objects, tenantOf(tenant));
    catalogues.set(tenant, known);
    return known;
  };
  return {
    manifest,
    entries: (tenant, range) => backedUpEntries(objects, tenantOf(tenant), range),
    async *segments(tenant) {
      for await (const { row } of readPages(objects, tenantOf(tenant).segments, SEGMENT_ROWS))
        yield row;
    },
    async segment(tenant, segmentId): Promise<BackedUpSegment | undefined> {
      const found = (await catalogue(tenant)).get(segmentId);
      if (found === undefined) return undefined;
      return { row: found.row, bytes: () => objects.stream(found.content) };
    },
    blobs: (tenant) => readPages(objects, tenantOf(tenant).blobs, BLOB_ROWS),
    blobBytes: (_tenant, { content }) => objects.stream(content),
    state: (tenant) => readPages(objects, tenantOf(tenant).state, STATE_ROWS),
  };
}

function requireTenant({ tenants, backupId }: BackupManifest, name: string): TenantManifest {
  const found = tenants.find(({ tenant }) => tenant === name);
  if (found !== undefined) return found;
  throw new CoreError("not-found", `backup ${backupId} holds no tenant ${name}`);
}

async function* backedUpEntries(
  objects: BackupObjects,
  tenant: TenantManifest,
  range: { readonly after: number; readonly to?: number },
): AsyncGenerator<BackedUpEntry> {
  const to = Math.min(range.to ?? tenant.head.sequence, tenant.head.sequence);
  if (range.after >= to) return;
  const locations = await LocationCursor.behind(
    readLocations(objects, tenant.locations),
    range.after,
  );
  for await (const unpacked of unpackedEntries(objects, tenant, locations.next)) {
    const { sequence } = unpacked.entry;
    if (sequence > to) return;
    const entry = await placeEntry(unpacked, locations);
    if (sequence > range.after) yield entry;
  }
}

/** The entries of a backup's packs from a sequence on, up to the cut. */
export async function* unpackedEntries(
  objects: BackupObjects,
  { tenant, packs, head }: TenantManifest,
  first: number,
): AsyncGenerator<UnpackedEntry> {
  let next = 1;
  for (const pack of packs) {
    if (pack.from !== next || pack.to < pack.from)
      throw new CoreError("damaged", `the backup has no pack of entry ${next} of ${tenant}`);
    next = pack.to + 1;
    if (pack.to < first) continue;
    for (const unpacked of readPack(await objects.read(pack), { ...pack, tenant }))
      if (unpacked.entry.sequence >= first) yield unpacked;
  }
  if (next !== head.sequence + 1)
    throw new CoreError(
      "damaged",
      `the packs of ${tenant} end at entry ${next - 1}, not at the cut`,
    );
}

/** An entry as a journal's store holds it, at the place where its lines lay at the cut. */
export async function placeEntry(
  { entry, hash, bytes, lines, treeHead, receipt }: UnpackedEntry,
  locations: LocationCursor,
): Promise<BackedUpEntry> {
  const { sequence, commit, type, operation, count, receivedAt, tenant } = entry;
  const location = await locations.take({ sequence, count });
  const isInline = location.kind === "inline";
  if (isInline && lines === undefined)
    throw new CoreError("damaged", `entry ${sequence} of ${tenant} lacks its inline lines`);
  return {
    sequence,
    hash,
    bytes,
    commit,
    type,
    operation,
    count,
    receivedAt,
    location,
    ...(isInline && lines !== undefined ? { inlineLines: lines } : {}),
    ...(treeHead === undefined ? {} : { treeHead }),
    ...(receipt === undefined ? {} : { receipt }),
  };
}
