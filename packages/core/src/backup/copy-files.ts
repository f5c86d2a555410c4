import type { BlobInfo, BlobStore } from "@custody/stores/blob/port";
import type { JournalStore, SegmentRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";
import { SYSTEM_TENANT } from "@custody/contract/ids";

import { CoreError } from "../errors.ts";
import { hashStream } from "../import/original-files.ts";
import type { BackedUpBlob } from "./backup-contents.ts";
import type { ObjectRef, TenantManifest } from "./backup-manifest.ts";
import { collectBytes } from "./backup-objects.ts";
import type { BackupObjects } from "./backup-objects.ts";
import { BLOB_ROWS, PageWriter, readPages, SEGMENT_ROWS, STATE_ROWS } from "./object-pages.ts";
import type { SegmentPageRow } from "./object-pages.ts";
import type { ObjectCopier } from "./object-copier.ts";

/** What a tenant's files are copied with. */
export interface CopyFilesParts {
  readonly journal: JournalStore;
  readonly blob: BlobStore;
  readonly scope: Scope;
  readonly objects: BackupObjects;
  readonly copier: ObjectCopier;
  readonly onBytes: (bytes: number) => void;
}

/** Pages of what was copied, and how much it was. */
export interface CopiedFiles {
  readonly pages: readonly ObjectRef[];
  readonly files: number;
  readonly bytes: number;
}

/** Blobs up to this length are read once, into memory; longer ones twice, for their hash and for their bytes. */
const SMALL_BLOB_BYTES = 8 * 1024 * 1024;
const LIST_PAGE = 1_000;
const BLOB_ATTEMPTS_MAX = 5;

/**
 * Stores tell a blob's time to the second only, and their clock is not ours: one that was written this
 * shortly before a backup may have been written again since, and is read again.
 */
const UNSURE_MS = 60_000;

/**
 * Named values that a restored journal needs as they were. Everything else under a name is work under way
 * or is made again: staged imports, generations of projections, lists of owners, slow calls, offsets.
 */
const STATE_PREFIXES = [
  // What an import answered, so that the same import is answered with it again.
  "import/",
  // By which mapping a file was imported last, so that a newer one corrects it.
  "imported/",
  // The fields that each type had, so that whoever opens a restored journal is warned of those it would lose.
  "type/",
];

/** The segments of a tenant's catalogue by id, each with the object that holds it. */
export async function readSegmentPages(
  objects: BackupObjects,
  { segments }: Pick<TenantManifest, "segments">,
): Promise<ReadonlyMap<string, SegmentPageRow>> {
  const rows = new Map<string, SegmentPageRow>();
  for await (const row of readPages(objects, segments, SEGMENT_ROWS))
    rows.set(row.row.segmentId, row);
  return rows;
}

/**
 * Copies the segments that entries lie in.
 *
 * @returns `moved` when one of them is gone, as its lines were moved into another meanwhile.
 * @throws CoreError `damaged` when a segment's file is missing or is not what was committed.
 */
export async function copySegments(
  parts: CopyFilesParts,
  segmentIds: ReadonlySet<string>,
  known: {
    readonly catalogue: ReadonlyMap<string, SegmentRow>;
    readonly parent: ReadonlyMap<string, SegmentPageRow>;
  },
): Promise<CopiedFiles | "moved"> {
  const { journal, scope, objects, copier } = parts;
  const pages = new PageWriter(SEGMENT_ROWS, copier.putPacked);
  let bytes = 0;
  for (const segmentId of [...segmentIds].toSorted()) {
    const row = known.catalogue.get(segmentId) ?? (await journal.segment(scope, segmentId));
    if (row === undefined) return "moved";
    const sha256 = Buffer.from(row.hash).toString("hex");
    const content: ObjectRef = {
      object: objects.nameOf(sha256),
      sha256,
      bytes: row.bytes,
      codec: "none",
    };
    const isOfParent = known.parent.get(segmentId)?.content.object === content.object;
    if (!(await copier.isThere(content, isOfParent)) && !(await copySegment(parts, row, content)))
      return "moved";
    await pages.add({ row, content });
    bytes += row.bytes;
    parts.onBytes(row.bytes);
  }
  return { pages: await pages.finish(), files: segmentIds.size, bytes };
}

async function copySegment(
  { journal, blob, scope, copier }: CopyFilesParts,
  row: SegmentRow,
  content: ObjectRef,
): Promise<boolean> {
  const { segmentId, blobKey } = row;
  const at = `segment ${segmentId} of ${scope.tenant}`;
  try {
    if (await copier.putStream(content, () => blob.stream(scope, blobKey))) return true;
  } catch (cause) {
    // A file that is taken away while it is read may end early.
    if ((await journal.segment(scope, segmentId)) === undefined) return false;
    if (cause instanceof CoreError && cause.code === "damaged")
      throw new CoreError("damaged", `${at}: its file ${blobKey} is not what was committed`, {
        cause,
        at,
      });
    throw cause;
  }
  if ((await journal.segment(scope, segmentId)) === undefined) return false;
  throw new CoreError("damaged", `${at}: its file ${blobKey} is gone; run verify`, { at });
}

/** Copies original files and what else was put into the blob store. */
export async function copyBlobs(
  parts: CopyFilesParts,
  parent: { readonly blobs: readonly ObjectRef[]; readonly createdAt: number } | undefined,
  leavesOut: (key: string) => boolean = () => false,
): Promise<CopiedFiles> {
  const pages = new PageWriter(BLOB_ROWS, parts.copier.putPacked);
  const earlier = new EarlierBlobs(readPages(parts.objects, parent?.blobs ?? [], BLOB_ROWS));
  let files = 0;
  let bytes = 0;
  for await (const info of ownBlobs(parts)) {
    const before = await earlier.find(info.key);
    const isSame =
      before?.bytes === info.bytes &&
      before.modifiedAt === info.modifiedAt &&
      info.modifiedAt < (parent?.createdAt ?? 0) - UNSURE_MS &&
      (await parts.copier.isThere(before.content, true));
    const isTakenOver = isSame || (leavesOut(info.key) && (await isUsable(parts, before)));
    const copied = isTakenOver ? before : await copyBlob(parts, info);
    // What was deleted meanwhile is not in the backup, nor is what was left out of all before.
    if (copied === undefined) continue;
    await pages.add(copied);
    files += 1;
    bytes += copied.bytes;
    parts.onBytes(copied.bytes);
  }
  return { pages: await pages.finish(), files, bytes };
}

/** Whether the copy of an earlier backup will do; where it has none, none is wanted. */
async function isUsable(
  { copier }: CopyFilesParts,
  before: BackedUpBlob | undefined,
): Promise<boolean> {
  return before === undefined || copier.isThere(before.content, true);
}

async function* ownBlobs({ blob, scope }: CopyFilesParts): AsyncGenerator<BlobInfo> {
  let after: string | undefined;
  for (;;) {
    const page = await blob.list(scope, "", {
      limit: LIST_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    for (const info of page) if (isOwn(scope, info.key)) yield info;
    after = page.at(-1)?.key;
    if (page.length < LIST_PAGE) return;
    // Segments come by the catalogue; a million of them need not be listed.
    if (after?.startsWith("segments/") === true) after = "segments/~";
  }
}

/** Not a segment, and not the mark by which a store is known to be this installation's. */
function isOwn({ tenant }: Scope, key: string): boolean {
  return !key.startsWith("segments/") && !(tenant === SYSTEM_TENANT && key === "installation");
}

/** Copies one blob as it is now; `undefined` when it is gone. */
async function copyBlob(
  { blob, scope, copier, objects }: CopyFilesParts,
  listed: BlobInfo,
): Promise<BackedUpBlob | undefined> {
  const { key } = listed;
  for (let attempt = 1; ; attempt += 1) {
    const info = attempt === 1 ? listed : await blob.stat(scope, key);
    const stream = info === undefined ? undefined : await blob.stream(scope, key);
    if (info === undefined || stream === undefined) return undefined;
    if (info.bytes <= SMALL_BLOB_BYTES) {
      const bytes = await collectBytes(stream);
      const content = await copier.putPlain(bytes);
      return { ...info, bytes: bytes.byteLength, content };
    }
    const { sha256, bytes } = await hashStream(stream, () => undefined);
    const content: ObjectRef = { object: objects.nameOf(sha256), sha256, bytes, codec: "none" };
    try {
      if (await copier.putStream(content, () => blob.stream(scope, key)))
        return { ...info, bytes, content };
    } catch (cause) {
      // Somebody has put other bytes between the two readings.
      const isChanged = cause instanceof CoreError && cause.code === "damaged";
      if (!isChanged || attempt === BLOB_ATTEMPTS_MAX) throw cause;
    }
  }
}

/** Finds blobs of a parent, asked for in the order in which it lists them. */
class EarlierBlobs {
  readonly #rows: AsyncGenerator<BackedUpBlob>;
  #next: BackedUpBlob | undefined;
  #isBegun = false;

  constructor(rows: AsyncGenerator<BackedUpBlob>) {
    this.#rows = rows;
  }

  async find(key: string): Promise<BackedUpBlob | undefined> {
    while (!this.#isBegun || (this.#next !== undefined && this.#next.key < key)) {
      const next = await this.#rows.next();
      this.#next = next.done === true ? undefined : next.value;
      this.#isBegun = true;
    }
    return this.#next?.key === key ? this.#next : undefined;
  }
}

/** Copies the named values that a restored journal needs. */
export async function copyState({
  journal,
  scope,
  copier,
}: CopyFilesParts): Promise<readonly ObjectRef[]> {
  const pages = new PageWriter(STATE_ROWS, copier.putPacked);
  for (const prefix of STATE_PREFIXES) {
    const values = await journal.listState(scope, prefix);
    for (const { name, value } of values.toSorted(byName)) await pages.add({ name, value });
  }
  return pages.finish();
}

function byName(left: { readonly name: string }, right: { readonly name: string }): number {
  return left.name < right.name ? -1 : 1;
}
