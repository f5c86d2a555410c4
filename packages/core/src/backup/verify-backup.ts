import { StoreError } from "@custody/stores/errors";
import type { SegmentRow } from "@custody/stores/relational/journal";

import { CoreError } from "../errors.ts";
import { decodeEntry, NO_PREVIOUS } from "../journal/format/entry.ts";
import { gzipCodec } from "../journal/format/codec.ts";
import { inlinePeriod, openLines } from "../journal/format/inline-lines.ts";
import { lineCount } from "../journal/format/lines.ts";
import { leafHashes, merkleRoot } from "../journal/format/merkle.ts";
import { decodeTreeHead, requireTreeHead } from "../journal/format/tree-head.ts";
import { TreeFrontier } from "../journal/format/tree-frontier.ts";
import { TimelineCheck } from "../verify/timeline-check.ts";
import type { BackedUpEntry } from "./backup-contents.ts";
import type { BackupManifest, ObjectRef, TenantManifest } from "./backup-manifest.ts";
import { readBackupManifest } from "./backup-repository.ts";
import type { BackupRepository } from "./backup-repository.ts";
import { readSegmentPages } from "./copy-files.ts";
import { LocationCursor, readLocations } from "./line-locations.ts";
import { BLOB_ROWS, readPages, STATE_ROWS } from "./object-pages.ts";
import type { SegmentPageRow } from "./object-pages.ts";
import { placeEntry, unpackedEntries } from "./open-backup.ts";

/** What a check of a backup found. */
export interface BackupVerifyReport {
  readonly ok: boolean;
  readonly backupId: string;
  readonly checked: {
    readonly tenants: number;
    readonly entries: number;
    readonly segments: number;
    readonly blobs: number;
    /** Plain bytes of everything that was read. */
    readonly bytes: number;
  };
  /** The first thing found wrong. */
  readonly fault?: { readonly tenant?: string; readonly at: string; readonly reason: string };
}

/** How a backup is checked. */
export interface VerifyBackupOptions {
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal;
}

type Checked = {
  -readonly [Name in keyof BackupVerifyReport["checked"]]: BackupVerifyReport["checked"][Name];
};

/**
 * Checks all of a backup without restoring it: the seal, length and hash of every object, the chain of
 * entries, the tree against its signed heads, that the lines of every entry are there, and that every
 * segment's file is the one that was committed.
 *
 * Lines in segments are covered by the segment's hash; that they are those of their entries is checked
 * by `verify` on the installation, and again by a drill.
 */
export async function verifyBackup(
  repository: BackupRepository,
  backupId: string,
  options: VerifyBackupOptions = {},
): Promise<BackupVerifyReport> {
  const checked: Checked = { tenants: 0, entries: 0, segments: 0, blobs: 0, bytes: 0 };
  let tenant: string | undefined;
  let id = backupId;
  try {
    const manifest = await readBackupManifest(repository, backupId);
    id = manifest.backupId;
    const progress = new Progress(manifest, checked, options);
    for (const one of manifest.tenants) {
      ({ tenant } = one);
      await new TenantCheck(repository, one, progress).run();
      checked.tenants += 1;
    }
    return { ok: true, backupId: id, checked };
  } catch (cause) {
    const at = faultOf(cause, id);
    if (at === undefined) throw cause;
    const fault = { ...(tenant === undefined ? {} : { tenant }), ...at };
    return { ok: false, backupId: id, checked, fault };
  }
}

/** What is wrong with the backup; `undefined` for an error that says nothing about it. */
function faultOf(
  cause: unknown,
  backupId: string,
): { readonly at: string; readonly reason: string } | undefined {
  if (cause instanceof StoreError && cause.code === "corrupt")
    return { at: `backup ${backupId}`, reason: cause.message };
  if (!(cause instanceof CoreError) || !["damaged", "usage", "no-key"].includes(cause.code))
    return undefined;
  return { at: cause.at ?? `backup ${backupId}`, reason: cause.message };
}

class Progress {
  readonly checked: Checked;
  readonly #options: VerifyBackupOptions;
  readonly #of: number;

  constructor({ tenants }: BackupManifest, checked: Checked, options: VerifyBackupOptions) {
    this.checked = checked;
    this.#options = options;
    this.#of = tenants.reduce(
      (sum, { packs, totals }) =>
        sum +
        totals.segmentBytes +
        totals.blobBytes +
        packs.reduce((bytes, pack) => bytes + pack.bytes, 0),
      0,
    );
  }

  add(bytes: number): void {
    this.#options.signal?.throwIfAborted();
    this.checked.bytes += bytes;
    this.#options.onProgress?.(Math.min(this.checked.bytes, this.#of), this.#of);
  }
}

/** The check of one tenant's part. */
class TenantCheck {
  readonly #repository: BackupRepository;
  readonly #manifest: TenantManifest;
  readonly #progress: Progress;
  readonly #frontier = new TreeFrontier();
  #previous = NO_PREVIOUS;
  #receivedAt = 0;
  readonly #timelines = new TimelineCheck();

  constructor(repository: BackupRepository, manifest: TenantManifest, progress: Progress) {
    this.#repository = repository;
    this.#manifest = manifest;
    this.#progress = progress;
  }

  async run(): Promise<void> {
    const { objects } = this.#repository;
    const segments = await readSegmentPages(objects, this.#manifest);
    await this.#checkEntries(segments);
    await this.#checkSegments(segments);
    let blobs = 0;
    for await (const blob of readPages(objects, this.#manifest.blobs, BLOB_ROWS)) {
      if (blob.bytes !== blob.content.bytes)
        throw this.#damaged(`blob ${blob.key}`, "its length is not that of its object");
      await this.#read(blob.content);
      blobs += 1;
      this.#progress.checked.blobs += 1;
    }
    if (blobs !== this.#manifest.totals.blobs)
      throw this.#damaged("the blobs", `there are ${blobs}, not ${this.#manifest.totals.blobs}`);
    for await (const _ of readPages(objects, this.#manifest.state, STATE_ROWS));
  }

  async #checkEntries(segments: ReadonlyMap<string, SegmentPageRow>): Promise<void> {
    const { objects, keys } = this.#repository;
    const { locations, head, treeHead, tenant, packs } = this.#manifest;
    const { publicKey } = await keys.signer(tenant);
    const cursor = await LocationCursor.behind(readLocations(objects, locations), 0);
    for await (const unpacked of unpackedEntries(objects, this.#manifest, 1)) {
      const entry = await placeEntry(unpacked, cursor);
      this.#checkChain(entry);
      this.#checkHead(entry, publicKey);
      await this.#checkLines(entry, segments);
      this.#progress.checked.entries += 1;
    }
    await cursor.end();
    for (const pack of packs) this.#progress.add(pack.bytes);
    const isCut =
      this.#previous === head.hash &&
      this.#timelines.present === head.timeline &&
      this.#receivedAt === head.receivedAt;
    if (!isCut) throw this.#damaged(`entry ${head.sequence}`, "it is not the one of the cut");
    requireTreeHead(treeHead, publicKey);
    const root = Buffer.from(this.#frontier.root()).toString("hex");
    const isSigned =
      treeHead.tenant === tenant &&
      treeHead.timeline === head.timeline &&
      treeHead.size === head.sequence &&
      treeHead.root === root;
    if (!isSigned) throw this.#damaged("the signed tree head", "it signs another tree");
  }

  #checkChain(stored: BackedUpEntry): void {
    const entry = decodeEntry(stored.bytes);
    const at = `entry ${entry.sequence}`;
    if (entry.previous !== this.#previous)
      throw this.#damaged(at, "it does not follow the entry before it");
    const wrongTimeline = this.#timelines.pass(entry, this.#frontier);
    if (wrongTimeline !== undefined) throw this.#damaged(at, wrongTimeline);
    if (entry.receivedAt < this.#receivedAt)
      throw this.#damaged(at, "it was received before the entry before it");
    this.#receivedAt = entry.receivedAt;
    this.#previous = Buffer.from(stored.hash).toString("hex");
    this.#frontier.append(stored.hash);
  }

  #checkHead({ treeHead, receipt, sequence }: BackedUpEntry, publicKey: Uint8Array): void {
    if (treeHead === undefined) {
      // A restore appends what lies between two heads at once, and has no place for the rest.
      if (receipt === undefined && sequence < this.#manifest.head.sequence) return;
      throw this.#damaged(`entry ${sequence}`, "its commit ends there, and no signed head does");
    }
    const head = requireTreeHead(decodeTreeHead(treeHead), publicKey);
    const root = Buffer.from(this.#frontier.root()).toString("hex");
    const isThis =
      head.tenant === this.#manifest.tenant &&
      head.timeline === this.#timelines.present &&
      head.size === sequence &&
      head.root === root;
    if (!isThis) throw this.#damaged(`tree head at size ${sequence}`, "it signs another tree");
  }

  async #checkLines(
    stored: BackedUpEntry,
    segments: ReadonlyMap<string, SegmentPageRow>,
  ): Promise<void> {
    const { location, inlineLines, count, sequence } = stored;
    const at = `entry ${sequence}`;
    if (location.kind === "segment") {
      const lines = segments.get(location.segmentId)?.row.lines;
      if (lines === undefined)
        throw this.#damaged(at, `its segment ${location.segmentId} is not in the backup`);
      if (location.firstLine + count > lines)
        throw this.#damaged(at, `its segment ${location.segmentId} is too short`);
      return;
    }
    const { keys, runtime } = this.#repository;
    const { tenant } = this.#manifest;
    const sealed = inlineLines ?? new Uint8Array(0);
    const period = inlinePeriod(sealed);
    const key = period === undefined ? {} : { key: await keys.tenantKey(tenant, period) };
    const codecs = { zstd: runtime.codec, gzip: gzipCodec };
    const lines = await openLines(sealed, { tenant, sequence }, { codecs, ...key });
    const root = Buffer.from(merkleRoot(leafHashes(lines))).toString("hex");
    if (lineCount(lines) !== count || root !== decodeEntry(stored.bytes).root)
      throw this.#damaged(at, "its lines are not those that were hashed");
  }

  async #checkSegments(segments: ReadonlyMap<string, SegmentPageRow>): Promise<void> {
    const { totals } = this.#manifest;
    if (segments.size !== totals.segments)
      throw this.#damaged(
        "the catalogue",
        `it has ${segments.size}, not ${totals.segments} segments`,
      );
    for (const { row, content } of segments.values()) {
      if (!isFileOf(row, content))
        throw this.#damaged(
          `segment ${row.segmentId}`,
          "its object is not the file of the catalogue",
        );
      await this.#read(content);
      this.#progress.checked.segments += 1;
    }
  }

  async #read(content: ObjectRef): Promise<void> {
    for await (const chunk of this.#repository.objects.stream(content))
      this.#progress.add(chunk.byteLength);
  }

  #damaged(what: string, reason: string): CoreError {
    const at = `${what} of ${this.#manifest.tenant}`;
    return new CoreError("damaged", `${at}: ${reason}`, { at });
  }
}

function isFileOf(row: SegmentRow, content: ObjectRef): boolean {
  return content.bytes === row.bytes && content.sha256 === Buffer.from(row.hash).toString("hex");
}
