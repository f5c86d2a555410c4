import type { BlobStore } from "@custody/stores/blob/port";
import type { JournalStore, SegmentRow, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { DiskRoom } from "../journal/disk-room.ts";
import { decodeLine } from "../journal/format/line.ts";
import { lineAt, lineCount } from "../journal/format/lines.ts";
import type { SegmentBatch } from "../journal/format/segment-writer.ts";
import { isSamePlace } from "../journal/journal-reader.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import type { LineStore } from "../journal/line-store.ts";
import type { Runtime } from "../runtime.ts";
import { restores } from "../system-types.ts";

export interface CompactParts {
  readonly journal: JournalStore;
  readonly blob: BlobStore;
  readonly lines: LineStore;
  readonly reader: JournalReader;
  readonly runtime: Runtime;
  readonly room: DiskRoom;
}

/** The segments as a compaction finds them. */
interface Catalogue {
  readonly rows: ReadonlyMap<string, SegmentRow>;
  /** How many lines of each are of an entry: all, but where a restore has cut a segment in its middle. */
  readonly living: ReadonlyMap<string, number>;
}

/** Segments of at least this size are left as they are, and none is made much larger. */
const SEGMENT_BYTES_WANTED = 64 * 1024 * 1024;
const SMALL_BYTES = 8 * 1024 * 1024;
const ENTRIES_PER_STEP = 256;
const INTENTS_PER_STEP = 256;

/**
 * Moves inline lines and the lines of small segments into large segments, in journal order.
 *
 * A segment that a restore has cut in its middle has lines of no entry, whatever its size: what lives of
 * it is moved once, and the rest goes with it.
 *
 * No line and no entry changes, so every proof holds. The catalogue is switched in one transaction;
 * a crash before leaves the new file to the collector, a crash after leaves the old ones to it.
 *
 * @throws StoreError `full` where a disk has no room for the old and the new segments; those that were
 *   moved before are moved.
 */
export async function compact(
  parts: CompactParts,
  scope: Scope,
): Promise<{
  readonly entries: number;
  readonly segmentsBefore: number;
  readonly segmentsAfter: number;
}> {
  const before = await catalogue(parts, scope);
  const small = new Set(
    [...before.rows.values()]
      .filter((row) => row.bytes < SMALL_BYTES || isCut(before, row))
      .map(({ segmentId }) => segmentId),
  );
  let moved = 0;
  let run: StoredEntry[] = [];
  let runBytes = 0;
  const flush = async (): Promise<void> => {
    // Until the old segments are dropped, both are there.
    using _ = await parts.room.hold(runBytes);
    moved += await moveUnlessMoved(parts, scope, run, before);
    run = [];
    runBytes = 0;
  };
  for await (const entry of allEntries(parts, scope)) {
    const { location } = entry;
    if (location.kind === "segment" && !small.has(location.segmentId)) continue;
    run.push(entry);
    const row = location.kind === "segment" ? before.rows.get(location.segmentId) : undefined;
    runBytes += row === undefined ? 1024 : (row.bytes / Math.max(1, row.lines)) * entry.count;
    if (runBytes >= SEGMENT_BYTES_WANTED && endsItsSegment(entry, before)) await flush();
  }
  await flush();
  parts.reader.forget();
  return {
    entries: moved,
    segmentsBefore: before.rows.size,
    segmentsAfter: (await segmentRows(parts, scope)).size,
  };
}

/** A segment is only dropped whole, so a run ends where a segment does. A restore leaves its first lines. */
function endsItsSegment({ location, count }: StoredEntry, { living }: Catalogue): boolean {
  return (
    location.kind === "inline" || location.firstLine + count === living.get(location.segmentId)
  );
}

function isCut({ living }: Catalogue, { segmentId, lines }: SegmentRow): boolean {
  return living.get(segmentId) !== lines;
}

/** Moves a run; where another compaction has moved some of it meanwhile, that one has done the work. */
async function moveUnlessMoved(
  parts: CompactParts,
  scope: Scope,
  run: readonly StoredEntry[],
  known: Catalogue,
): Promise<number> {
  try {
    return await moveRun(parts, scope, run, known);
  } catch (cause) {
    for (const entry of run) {
      const now = await parts.journal.entry(scope, entry.sequence);
      // The segment that was begun for it has an intent, and goes with that.
      if (now !== undefined && !isSamePlace(now, entry)) return 0;
    }
    throw cause;
  }
}

async function moveRun(
  parts: CompactParts,
  scope: Scope,
  run: readonly StoredEntry[],
  known: Catalogue,
): Promise<number> {
  const sources = new Set(
    run.flatMap(({ location }) => (location.kind === "segment" ? [location.segmentId] : [])),
  );
  const isOneSegment =
    sources.size === 1 && run.every(({ location }) => location.kind === "segment");
  const rows = [...sources].flatMap((id) => known.rows.get(id) ?? []);
  if (run.length === 0 || (isOneSegment && !rows.some((row) => isCut(known, row)))) return 0;
  const segment = await parts.lines.writeSegment(scope, batchesOf(parts, scope, run));
  let firstLine = 0;
  const entries = run.map(({ sequence, location, count }) => {
    const entry = { sequence, from: location, firstLine };
    firstLine += count;
    return entry;
  });
  const emptied = rows.filter(({ segmentId }) => holdsAll(segmentId, run, known));
  const dropped = emptied.map(({ segmentId }) => segmentId);
  // What is dropped has a taken intent from then on: whoever dies here leaves the files to the collector.
  await parts.journal.relocate(scope, { segment, entries, dropped });
  parts.reader.forget();
  for (const { blobKey } of emptied) await parts.blob.delete(scope, blobKey);
  await parts.journal.dropIntents(scope, dropped);
  return run.length;
}

/** Whether all living lines of a segment are in the run, so that nothing needs the segment any more. */
function holdsAll(segmentId: string, run: readonly StoredEntry[], { living }: Catalogue): boolean {
  const lines = run.reduce(
    (sum, { location, count }) =>
      location.kind === "segment" && location.segmentId === segmentId ? sum + count : sum,
    0,
  );
  return lines === living.get(segmentId);
}

async function* batchesOf(
  parts: CompactParts,
  scope: Scope,
  run: readonly StoredEntry[],
): AsyncGenerator<SegmentBatch> {
  for (const entry of run) {
    const lines = await parts.lines.readLines(scope, entry);
    const ids: string[] = [];
    const observedAt = new Float64Array(lineCount(lines)).fill(Number.NaN);
    for (let index = 0; index < lineCount(lines); index += 1) {
      const line = decodeLine(lineAt(lines, index));
      ids.push(line.id);
      if (line.observedAt !== undefined) observedAt[index] = line.observedAt;
    }
    yield { lines, ids, observedAt };
  }
}

async function* allEntries(parts: CompactParts, scope: Scope): AsyncGenerator<StoredEntry> {
  let after = 0;
  for (;;) {
    const entries = await parts.journal.entries(scope, { after, limit: ENTRIES_PER_STEP });
    yield* entries;
    after = entries.at(-1)?.sequence ?? after;
    if (entries.length < ENTRIES_PER_STEP) return;
  }
}

async function catalogue(parts: CompactParts, scope: Scope): Promise<Catalogue> {
  const rows = await segmentRows(parts, scope);
  const living = new Map([...rows.values()].map(({ segmentId, lines }) => [segmentId, lines]));
  // Only a restore leaves lines of no entry. No entry ever comes to lie in a segment that was there before.
  if ((await parts.journal.lastSequence(scope, [restores.name])) === 0) return { rows, living };
  for (const segmentId of living.keys()) living.set(segmentId, 0);
  for await (const { location, count } of allEntries(parts, scope)) {
    if (location.kind === "inline") continue;
    const before = living.get(location.segmentId);
    if (before !== undefined) living.set(location.segmentId, before + count);
  }
  return { rows, living };
}

async function segmentRows(
  parts: CompactParts,
  scope: Scope,
): Promise<ReadonlyMap<string, SegmentRow>> {
  const rows = new Map<string, SegmentRow>();
  let after: string | undefined;
  for (;;) {
    const page = await parts.journal.segments(scope, after, ENTRIES_PER_STEP);
    for (const row of page) rows.set(row.segmentId, row);
    after = page.at(-1)?.segmentId;
    if (page.length < ENTRIES_PER_STEP) return rows;
  }
}

/**
 * Removes the files of writers, compactions and collectors that died: their intents are taken, then the
 * files go, then the intents. Answers how many. A segment that is in the catalogue stays: its intent came
 * once more, late, after its commit.
 */
export async function collect(parts: CompactParts, scope: Scope): Promise<number> {
  const { journal, blob, runtime } = parts;
  for (let removed = 0; ;) {
    const taken = await journal.takeExpiredIntents(scope, runtime.clock(), INTENTS_PER_STEP);
    for (const { segmentId, blobKey } of taken) {
      if ((await journal.segment(scope, segmentId)) !== undefined) continue;
      await blob.delete(scope, blobKey);
      removed += 1;
    }
    await journal.dropIntents(
      scope,
      taken.map(({ segmentId }) => segmentId),
    );
    if (taken.length < INTENTS_PER_STEP) return removed;
  }
}
