import type { JournalStore, SegmentRow, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { decodeEntry } from "../journal/format/entry.ts";
import type { Entry } from "../journal/format/entry.ts";
import { decodeTreeHead } from "../journal/format/tree-head.ts";
import type { BackedUpReceipt } from "./backup-contents.ts";
import type { ObjectRef, PackRef, TenantManifest } from "./backup-manifest.ts";
import type { BackupObjects } from "./backup-objects.ts";
import { isPackFull, PackBuilder } from "./journal-pack.ts";
import type { PackedEntry } from "./journal-pack.ts";
import { LocationWriter, readLocations } from "./line-locations.ts";
import type { ObjectCopier } from "./object-copier.ts";

/** What a tenant's journal is copied with. */
export interface CopyJournalParts {
  readonly journal: JournalStore;
  readonly scope: Scope;
  readonly objects: BackupObjects;
  readonly copier: ObjectCopier;
  readonly onEntries: (done: number, of: number) => void;
}

/** Where the entries up to the cut lie, and what they lie in. */
export interface CopiedLocations {
  readonly pages: readonly ObjectRef[];
  readonly segmentIds: ReadonlySet<string>;
}

/** The cut of a parent, all of whose entries are still those of the journal, and where they lay then. */
export interface ParentLocations {
  readonly sequence: number;
  readonly locations: readonly ObjectRef[];
  /** The segments that they lay in. */
  readonly segmentIds: {
    readonly has: (id: string) => boolean;
    readonly keys: () => Iterable<string>;
  };
}

const ENTRIES_PER_STEP = 256;
const LOCATIONS_PER_STEP = 1_000;
const HEADS_PER_STEP = 512;
const INLINE_AT_ONCE = 32;

/** Packs that are not full, at the end of a journal; one more and they are packed anew as one. */
const OPEN_PACKS_MAX = 16;

/** The packs of a parent that can be used again: a beginning of the journal, whole in the repository. */
export async function reusablePacks(
  { journal, scope, copier }: CopyJournalParts,
  parent: TenantManifest,
): Promise<readonly PackRef[]> {
  let count = 0;
  for (const pack of parent.packs) {
    if (!(await copier.isThere(pack, true))) break;
    count += 1;
  }
  // The chain makes the entries before an equal one equal, so the last is looked at first.
  while (count > 0 && !(await isOfJournal(journal, scope, parent.packs[count - 1]))) count -= 1;
  const packs = parent.packs.slice(0, count);
  const open = packs.length - (packs.findLastIndex(isFull) + 1);
  return open < OPEN_PACKS_MAX ? packs : packs.slice(0, packs.length - open);
}

function isFull({ from, to, bytes }: PackRef): boolean {
  return isPackFull(to - from + 1, bytes);
}

async function isOfJournal(
  journal: JournalStore,
  scope: Scope,
  pack: PackRef | undefined,
): Promise<boolean> {
  const entry = pack === undefined ? undefined : await journal.entry(scope, pack.to);
  return entry !== undefined && Buffer.from(entry.hash).toString("hex") === pack?.lastHash;
}

/** Packs the entries behind `base` up to the cut. */
export async function copyEntries(
  parts: CopyJournalParts,
  base: readonly PackRef[],
  cut: number,
): Promise<readonly PackRef[]> {
  const packs = [...base];
  let sequence = base.at(-1)?.to ?? 0;
  let builder = new PackBuilder(parts.scope.tenant, sequence + 1);
  let lastHash = "";
  const flush = async (): Promise<void> => {
    const from = sequence - builder.count + 1;
    const ref = await parts.copier.putPacked(builder.finish());
    packs.push({ ...ref, from, to: sequence, lastHash });
    builder = new PackBuilder(parts.scope.tenant, sequence + 1);
    parts.onEntries(sequence, cut);
  };
  for await (const { hash, ...packed } of packedEntries(parts, sequence, cut)) {
    builder.add(packed);
    sequence += 1;
    lastHash = Buffer.from(hash).toString("hex");
    if (builder.isFull) await flush();
  }
  if (builder.count > 0) await flush();
  return packs;
}

interface ReadEntry extends PackedEntry {
  readonly hash: Uint8Array;
}

async function* packedEntries(
  parts: CopyJournalParts,
  after: number,
  cut: number,
): AsyncGenerator<ReadEntry> {
  const heads = new HeadReader(parts, after);
  let waiting: { readonly read: ReadEntry; readonly entry: Entry } | undefined;
  for await (const page of entryPages(parts, { after, to: cut, limit: ENTRIES_PER_STEP })) {
    const lines = await inlineLinesOf(parts, page);
    for (const [index, { sequence, bytes, hash }] of page.entries()) {
      const entry = decodeEntry(bytes);
      if (waiting !== undefined) yield await withReceipt(parts, waiting, entry.commit);
      const treeHead = await heads.at(sequence);
      const inline = lines[index];
      const read = {
        hash,
        bytes,
        ...(inline === undefined ? {} : { lines: inline }),
        ...(treeHead === undefined ? {} : { treeHead }),
      };
      waiting = { read, entry };
    }
  }
  if (waiting !== undefined) yield await withReceipt(parts, waiting, undefined);
}

/** Adds the receipt to the last entry of a commit that was given a key. */
async function withReceipt(
  { journal, scope }: CopyJournalParts,
  { read, entry }: { readonly read: ReadEntry; readonly entry: Entry },
  nextCommit: string | undefined,
): Promise<ReadEntry> {
  const key = entry.idempotency;
  if (key === null || entry.commit === nextCommit) return read;
  for (const kind of ["import", "idempotency"] as const) {
    const text = await journal.receipt(scope, kind, key);
    const receipt: BackedUpReceipt | undefined =
      text === undefined ? undefined : { kind, key, text };
    if (receipt !== undefined) return { ...read, receipt };
  }
  return read;
}

/** The inline lines of a page; `undefined` for an entry that has none, or no longer. */
async function inlineLinesOf(
  { journal, scope }: CopyJournalParts,
  page: readonly StoredEntry[],
): Promise<readonly (Uint8Array | undefined)[]> {
  const lines: (Uint8Array | undefined)[] = [];
  for (let at = 0; at < page.length; at += INLINE_AT_ONCE) {
    const part = page.slice(at, at + INLINE_AT_ONCE);
    const read = part.map(({ location, sequence }) =>
      location.kind === "inline"
        ? journal.inlineLines(scope, sequence)
        : Promise.resolve(undefined),
    );
    lines.push(...(await Promise.all(read)));
  }
  return lines;
}

/** Pages of entries up to the cut; a journal that has fewer is damaged. */
async function* entryPages(
  { journal, scope }: Pick<CopyJournalParts, "journal" | "scope">,
  range: { readonly after: number; readonly to: number; readonly limit: number },
): AsyncGenerator<readonly StoredEntry[]> {
  const { to, limit } = range;
  let { after } = range;
  while (after < to) {
    const page = await journal.entries(scope, { after, limit: Math.min(limit, to - after) });
    for (const { sequence } of page) {
      after += 1;
      if (sequence !== after)
        throw new CoreError("damaged", `entry ${after} of ${scope.tenant} is missing; run verify`);
    }
    if (page.length === 0)
      throw new CoreError(
        "damaged",
        `entry ${after + 1} of ${scope.tenant} is missing; run verify`,
      );
    yield page;
  }
}

/** Gives the signed heads of a journal as its entries pass. */
class HeadReader {
  readonly #parts: CopyJournalParts;
  #after: number;
  #page: { readonly size: number; readonly bytes: Uint8Array }[] = [];
  #isOver = false;

  constructor(parts: CopyJournalParts, after: number) {
    this.#parts = parts;
    this.#after = after;
  }

  /** The head with exactly `size` entries; sizes are asked for in ascending order. */
  async at(size: number): Promise<Uint8Array | undefined> {
    while (this.#page.length === 0 && !this.#isOver) await this.#fill();
    const [first] = this.#page;
    if (first === undefined || first.size > size) return undefined;
    this.#page.shift();
    return first.size === size ? first.bytes : this.at(size);
  }

  async #fill(): Promise<void> {
    const { journal, scope } = this.#parts;
    const heads = await journal.treeHeads(scope, this.#after, HEADS_PER_STEP);
    this.#page = heads.map((bytes) => ({ bytes, size: decodeTreeHead(bytes).size }));
    this.#after = this.#page.at(-1)?.size ?? this.#after;
    this.#isOver = heads.length < HEADS_PER_STEP;
  }
}

/** Where all entries up to the cut lie now, read from the journal. */
export async function scanLocations(
  parts: CopyJournalParts,
  cut: number,
): Promise<CopiedLocations> {
  const segmentIds = new Set<string>();
  const writer = new LocationWriter(parts.copier.putPacked, (id) => segmentIds.add(id));
  for await (const page of entryPages(parts, { after: 0, to: cut, limit: LOCATIONS_PER_STEP }))
    for (const entry of page) await writer.add(runOf(entry));
  return { pages: await writer.finish(), segmentIds };
}

/**
 * Where all entries up to the cut lie, with those of the parent as it told them; `undefined` when any of
 * these may have moved since.
 *
 * Lines move only into segments that are new. A new segment whose lines are as many as its new entries
 * have holds no others, so when that holds of every one, nothing older has moved.
 *
 * @param catalogue read before the call.
 */
export async function extendLocations(
  parts: CopyJournalParts,
  parent: ParentLocations,
  cut: number,
  catalogue: ReadonlyMap<string, SegmentRow>,
): Promise<CopiedLocations | undefined> {
  for (const id of parent.segmentIds.keys()) if (!catalogue.has(id)) return undefined;
  const segmentIds = new Set<string>();
  const writer = new LocationWriter(parts.copier.putPacked, (id) => segmentIds.add(id));
  for await (const run of readLocations(parts.objects, parent.locations)) await writer.add(run);
  const lines = new Map<string, number>();
  let after = parent.sequence;
  for (;;) {
    const page = await parts.journal.entries(parts.scope, { after, limit: LOCATIONS_PER_STEP });
    for (const entry of page) {
      const { location, count, sequence } = entry;
      if (sequence <= cut) await writer.add(runOf(entry));
      if (location.kind === "segment")
        lines.set(location.segmentId, (lines.get(location.segmentId) ?? 0) + count);
    }
    after = page.at(-1)?.sequence ?? after;
    // Entries behind the cut are counted too: a segment of theirs must not look like one that old lines moved to.
    if (page.length < LOCATIONS_PER_STEP) break;
  }
  for (const { segmentId, lines: all } of catalogue.values())
    if (!parent.segmentIds.has(segmentId) && (lines.get(segmentId) ?? 0) !== all) return undefined;
  return { pages: await writer.finish(), segmentIds };
}

function runOf({ sequence, location, count }: StoredEntry): Parameters<LocationWriter["add"]>[0] {
  return { from: sequence, to: sequence, location, lines: count };
}
