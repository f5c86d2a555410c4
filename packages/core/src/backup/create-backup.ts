import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { BlobStore } from "@custody/stores/blob/port";
import type { JournalHead, JournalStore, SegmentRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { decodeTreeHead } from "../journal/format/tree-head.ts";
import { signManifest } from "./backup-manifest.ts";
import type { BackupKind, BackupManifest, TenantManifest } from "./backup-manifest.ts";
import { takeBackupLease } from "./backup-lease.ts";
import type { BackupLease } from "./backup-lease.ts";
import {
  deleteBackupManifest,
  listAll,
  newestReadable,
  nextBackupId,
  writeBackupManifest,
} from "./backup-repository.ts";
import type { BackupRepository } from "./backup-repository.ts";
import { copyBlobs, copySegments, copyState, readSegmentPages } from "./copy-files.ts";
import type { CopiedFiles } from "./copy-files.ts";
import { copyEntries, extendLocations, reusablePacks, scanLocations } from "./copy-journal.ts";
import type { SegmentPageRow } from "./object-pages.ts";
import { ObjectCopier } from "./object-copier.ts";
import type { Presence } from "./object-copier.ts";
import { ObjectNames } from "./object-names.ts";

/** What a backup is made of. */
export interface CreateBackupParts {
  readonly repository: BackupRepository;
  readonly journal: JournalStore;
  readonly blob: BlobStore;
  /** The version of Custody, for the manifest. */
  readonly version: string;
  readonly keyBackup: KeyBackupSteps;
}

/** The backup of the keys, without which a backup of the data cannot be read. */
export interface KeyBackupSteps {
  /** @throws CoreError when there is none. */
  readonly require: () => Promise<void>;
  /** Brings it up to date, so that it has every key that the data backup needs. */
  readonly sync: () => Promise<void>;
}

/** How a backup is made. */
export interface CreateBackupOptions {
  readonly kind: BackupKind;
  /**
   * Blobs of these keys are not copied: the newest backup's are taken over, as they were then, and one
   * that it does not hold is in none. Segments are never left out. Default none.
   */
  readonly leavesOut?: (key: string) => boolean;
  readonly onProgress?: (progress: BackupProgress) => void;
  readonly signal?: AbortSignal;
}

/** How far a backup is. */
export interface BackupProgress {
  readonly tenant: string;
  /** The journal is counted in entries, segments and blobs in bytes. */
  readonly phase: "journal" | "segments" | "blobs";
  readonly done: number;
  /** Absent where it is not known beforehand. */
  readonly of?: number;
}

/** What became of a backup. */
export interface BackupReport {
  readonly manifest: BackupManifest;
  /** What had to be written, before compression; all the rest was there. */
  readonly written: { readonly objects: number; readonly bytes: number };
}

/** Compactions that may get in the way of one backup. */
const MOVES_MAX = 10;
const CATALOGUE_PAGE = 256;

/**
 * Makes a backup while writing goes on: nothing is locked, and no writer waits.
 *
 * The journal of each tenant is cut at its head as it was at the beginning; what lies before it never
 * changes. The manifest is written last: a backup that was interrupted is none, and what it copied
 * is found by the next.
 *
 * @throws CoreError `conflict` while a prune is at work, `damaged` when the installation's own files are.
 */
export async function createBackup(
  parts: CreateBackupParts,
  options: CreateBackupOptions,
): Promise<BackupReport> {
  const { repository, keyBackup } = parts;
  const { runtime } = repository;
  await keyBackup.require();
  const backupId = await nextBackupId(repository);
  const lease = await takeBackupLease(repository, "create", backupId);
  try {
    const newest = trustsNothing(options) ? undefined : await newestReadable(repository);
    const parent = options.kind === "full" ? undefined : newest;
    const copier = new ObjectCopier({
      objects: repository.objects,
      presence: await presenceOf(repository, options.kind, parent),
      onStep: async () => {
        options.signal?.throwIfAborted();
        await lease.touch();
      },
    });
    const creation = { ...parts, copier, options, parent, newest };
    const heads = await readHeads(parts);
    const createdAt = runtime.clock();
    const tenants: TenantManifest[] = [];
    for (const [tenant, head] of heads) tenants.push(await copyTenant(creation, tenant, head));
    // Made on first use: were it made after the sync, whoever has the key backup alone could not trust the manifest.
    const signer = await repository.keys.signer(SYSTEM_TENANT);
    await keyBackup.sync();
    const manifest = {
      backupId,
      kind: options.kind === "incremental" && parent === undefined ? "full" : options.kind,
      parent: parent?.backupId ?? null,
      createdAt,
      finishedAt: runtime.clock(),
      installation: repository.installation,
      repository: repository.repositoryId,
      version: parts.version,
      tenants,
    } as const;
    const signed = await signManifest(manifest, signer);
    options.signal?.throwIfAborted();
    await lease.confirm();
    await writeBackupManifest(repository, backupId, signed.bytes);
    await requireUnswept(repository, backupId, lease);
    return { manifest: signed.manifest, written: copier.written };
  } finally {
    await lease.release();
  }
}

/** A prune that took this for dead while the manifest was on its way has not seen it, and swept what it names. */
async function requireUnswept(
  repository: BackupRepository,
  backupId: string,
  lease: BackupLease,
): Promise<void> {
  try {
    await lease.require();
  } catch (cause) {
    await deleteBackupManifest(repository, backupId);
    throw cause;
  }
}

interface Creation extends CreateBackupParts {
  readonly copier: ObjectCopier;
  readonly options: CreateBackupOptions;
  readonly parent: BackupManifest | undefined;
  /** Where blobs that are left out are taken over from. */
  readonly newest: BackupManifest | undefined;
}

/** Whether nothing of an earlier backup is used. */
function trustsNothing({ kind, leavesOut }: CreateBackupOptions): boolean {
  return kind === "full" && leavesOut === undefined;
}

async function presenceOf(
  repository: BackupRepository,
  kind: BackupKind,
  parent: BackupManifest | undefined,
): Promise<Presence> {
  if (kind === "full") return { kind: "read" };
  if (kind === "continuous" && parent !== undefined) return { kind: "asked" };
  const stored = new ObjectNames();
  for await (const { key, bytes } of listAll(repository, "objects/"))
    stored.add(key.slice(key.lastIndexOf("/") + 1), bytes);
  return { kind: "listed", stored };
}

/**
 * Every tenant's head, by name. That of `_system` is read last: what the others refer to in it was
 * committed before, so it is in the backup too.
 */
async function readHeads({
  journal,
  repository,
}: CreateBackupParts): Promise<readonly (readonly [string, JournalHead])[]> {
  const tenants = await journal.tenants();
  const isSystem = (tenant: string): boolean => tenant === SYSTEM_TENANT;
  const ordered = [...tenants.filter((name) => !isSystem(name)), ...tenants.filter(isSystem)];
  const heads: (readonly [string, JournalHead])[] = [];
  for (const tenant of ordered) {
    const head = await journal.head({ ...repository.scope, tenant });
    if (head !== undefined && head.sequence > 0) heads.push([tenant, head]);
  }
  return heads.toSorted(([left], [right]) => (left < right ? -1 : 1));
}

async function copyTenant(
  creation: Creation,
  tenant: string,
  head: JournalHead,
): Promise<TenantManifest> {
  const { journal, blob, repository, copier, parent, newest } = creation;
  const scope: Scope = { ...repository.scope, tenant };
  const earlier = parent?.tenants.find((known) => known.tenant === tenant);
  const hash = Buffer.from(head.lastEntryHash).toString("hex");
  // Whatever changes a tenant's journal or blobs leaves an entry.
  if (creation.options.kind === "continuous" && earlier?.head.hash === hash) return earlier;
  const parts = { journal, blob, scope, objects: repository.objects, copier };
  const signed = await journal.treeHead(scope, head.sequence);
  if (signed === undefined)
    throw new CoreError(
      "damaged",
      `the latest entries of ${tenant} have no signed head; run verify`,
    );
  const copied = await copyJournal(creation, parts, head, earlier);
  let blobBytes = 0;
  const onBytes = (bytes: number): void => {
    blobBytes += bytes;
    creation.options.onProgress?.({ tenant, phase: "blobs", done: blobBytes });
  };
  const known = newest?.tenants.find((one) => one.tenant === tenant);
  // A full backup has no parent: it reads every blob again, but for those that are left out.
  const earlierBlobs = known && { blobs: known.blobs, createdAt: parent?.createdAt ?? 0 };
  const blobs = await copyBlobs({ ...parts, onBytes }, earlierBlobs, creation.options.leavesOut);
  return {
    tenant,
    head: {
      timeline: head.timeline,
      sequence: head.sequence,
      hash,
      receivedAt: head.lastReceivedAt,
    },
    treeHead: decodeTreeHead(signed),
    packs: copied.packs,
    locations: copied.locations,
    segments: copied.segments.pages,
    blobs: blobs.pages,
    state: await copyState({ ...parts, onBytes: () => undefined }),
    totals: {
      segments: copied.segments.files,
      segmentBytes: copied.segments.bytes,
      blobs: blobs.files,
      blobBytes: blobs.bytes,
    },
  };
}

type TenantParts = Pick<CreateBackupParts, "journal" | "blob"> & {
  readonly scope: Scope;
  readonly objects: BackupRepository["objects"];
  readonly copier: ObjectCopier;
};

async function copyJournal(
  { options }: Creation,
  tenantParts: TenantParts,
  head: JournalHead,
  earlier: TenantManifest | undefined,
): Promise<Pick<TenantManifest, "packs" | "locations"> & { readonly segments: CopiedFiles }> {
  const { journal, scope, objects } = tenantParts;
  const { tenant } = scope;
  const onEntries = (done: number, of: number): void =>
    options.onProgress?.({ tenant, phase: "journal", done, of });
  const parts = { ...tenantParts, onEntries };
  const base = earlier === undefined ? [] : await reusablePacks(parts, earlier);
  const packs = await copyEntries(parts, base, head.sequence);
  // Read after the packs: an entry that was moved while it was packed is then seen to have moved.
  let catalogue = await readCatalogue(journal, scope);
  const isContinued = earlier !== undefined && (await continues(journal, scope, earlier));
  const parent = isContinued
    ? await readSegmentPages(objects, earlier)
    : new Map<string, SegmentPageRow>();
  let locations = isContinued
    ? await extendLocations(
        parts,
        { sequence: earlier.head.sequence, locations: earlier.locations, segmentIds: parent },
        head.sequence,
        catalogue,
      )
    : undefined;
  for (let move = 0; move < MOVES_MAX; move += 1) {
    locations ??= await scanLocations(parts, head.sequence);
    const of = bytesOf(locations.segmentIds, catalogue);
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      options.onProgress?.({ tenant, phase: "segments", done, of: Math.max(of, done) });
    };
    const known = { catalogue, parent };
    const segments = await copySegments({ ...tenantParts, onBytes }, locations.segmentIds, known);
    if (segments !== "moved") return { packs, locations: locations.pages, segments };
    locations = undefined;
    catalogue = await readCatalogue(journal, scope);
  }
  throw new CoreError(
    "conflict",
    `the segments of ${tenant} were compacted ${MOVES_MAX} times while they were copied; try again`,
  );
}

/** Whether all entries of an earlier backup are still those of the journal: no restore has left them. */
export async function continues(
  journal: Pick<JournalStore, "entry">,
  scope: Scope,
  { head }: Pick<TenantManifest, "head">,
): Promise<boolean> {
  const entry = await journal.entry(scope, head.sequence);
  return entry !== undefined && Buffer.from(entry.hash).toString("hex") === head.hash;
}

async function readCatalogue(
  journal: JournalStore,
  scope: Scope,
): Promise<ReadonlyMap<string, SegmentRow>> {
  const rows = new Map<string, SegmentRow>();
  let after: string | undefined;
  for (;;) {
    const page = await journal.segments(scope, after, CATALOGUE_PAGE);
    for (const row of page) rows.set(row.segmentId, row);
    after = page.at(-1)?.segmentId;
    if (page.length < CATALOGUE_PAGE) return rows;
  }
}

function bytesOf(ids: ReadonlySet<string>, catalogue: ReadonlyMap<string, SegmentRow>): number {
  let bytes = 0;
  for (const id of ids) bytes += catalogue.get(id)?.bytes ?? 0;
  return bytes;
}
