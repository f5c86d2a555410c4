import type { BlobStore } from "@custody/stores/blob/port";
import type { JournalStore, SegmentRow, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { decodeLine } from "../journal/format/line.ts";
import { lineAt, lineCount } from "../journal/format/lines.ts";
import type { SegmentBatch } from "../journal/format/segment-writer.ts";
import { isSamePlace } from "../journal/journal-reader.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import { INTENT_LEASE_MS } from "../journal/line-store.ts";
import type { LineStore } from "../journal/line-store.ts";
import type { Runtime } from "../runtime.ts";

export interface CompactParts {
  readonly journal: JournalStore;
  readonly blob: BlobStore;
  readonly lines: LineStore;
  readonly reader: JournalReader;
  readonly runtime: Runtime;
}

/** Segments of at least this size are left as they are, and none is made much larger. */
const SEGMENT_BYTES_WANTED = 64 * 1024 * 1024;
const SMALL_BYTES = 8 * 1024 * 1024;
const ENTRIES_PER_STEP = 256;
const SEGMENTS = "segments/";
/** Where a segment's file lies: its id is a UUIDv7, which begins with the instant it was begun. */
const SEGMENT_KEY = /^segments\/[^/]+\/(([0-9a-f]{8}-[0-9a-f]{4})-7[0-9a-f-]{21})\.segment$/;
const FILES_PER_STEP = 1_000;
// A collector that lives needs some moments; this is far beyond any lease but that of a week's import.
const SWEPT_AFTER_MS = 7 * INTENT_LEASE_MS;

/**
 * Moves inline lines and the lines of small segments into large segments, in journal order.
 *
 * No line and no entry changes, so every proof holds. The catalogue is switched in one transaction;
 * a crash before leaves the new file to the collector, a crash after leaves the old ones to it.
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
    [...before.values()]
      .filter(({ bytes }) => bytes < SMALL_BYTES)
      .map(({ segmentId }) => segmentId),
  );
  let moved = 0;
  let run: StoredEntry[] = [];
  let runBytes = 0;
  const flush = async (): Promise<void> => {
    moved += await moveUnlessMoved(parts, scope, run, before);
    run = [];
    runBytes = 0;
  };
  for await (const entry of allEntries(parts, scope)) {
    const { location } = entry;
    if (location.kind === "segment" && !small.has(location.segmentId)) continue;
    run.push(entry);
    const row = location.kind === "segment" ? before.get(location.segmentId) : undefined;
    runBytes += row === undefined ? 1024 : (row.bytes / Math.max(1, row.lines)) * entry.count;
    if (runBytes >= SEGMENT_BYTES_WANTED && endsItsSegment(entry, row)) await flush();
  }
  await flush();
  await sweep(parts, scope);
  parts.reader.forget();
  return {
    entries: moved,
    segmentsBefore: before.size,
    segmentsAfter: (await catalogue(parts, scope)).size,
  };
}

/** A segment is only dropped whole, so a run ends where a segment does. */
function endsItsSegment({ location, count }: StoredEntry, row: SegmentRow | undefined): boolean {
  return location.kind === "inline" || location.firstLine + count === row?.lines;
}

/** Moves a run; where another compaction has moved some of it meanwhile, that one has done the work. */
async function moveUnlessMoved(
  parts: CompactParts,
  scope: Scope,
  run: readonly StoredEntry[],
  known: ReadonlyMap<string, SegmentRow>,
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
  known: ReadonlyMap<string, SegmentRow>,
): Promise<number> {
  const sources = new Set(
    run.flatMap(({ location }) => (location.kind === "segment" ? [location.segmentId] : [])),
  );
  const isOneSegment =
    sources.size === 1 && run.every(({ location }) => location.kind === "segment");
  if (run.length === 0 || isOneSegment) return 0;
  const segment = await parts.lines.writeSegment(scope, batchesOf(parts, scope, run));
  let firstLine = 0;
  const entries = run.map(({ sequence, location, count }) => {
    const entry = { sequence, from: location, firstLine };
    firstLine += count;
    return entry;
  });
  const rows = [...sources]
    .flatMap((id) => known.get(id) ?? [])
    .filter((row) => holdsOnly(row, run));
  const dropped = rows.map(({ segmentId }) => segmentId);
  // Whoever dies after the catalogue is switched leaves these files to the collector.
  const expiresAt = parts.runtime.clock() + INTENT_LEASE_MS;
  for (const { segmentId, blobKey } of rows)
    await parts.journal.putIntent(scope, { segmentId, blobKey, expiresAt });
  await parts.journal.relocate(scope, { segment, entries, dropped });
  parts.reader.forget();
  for (const { blobKey } of rows) await parts.blob.delete(scope, blobKey);
  await parts.journal.dropIntents(scope, dropped);
  return run.length;
}

/**
 * Removes segment files that nothing names any more: whoever took their intents died before the files
 * were gone. Without an intent no commit can ever use a file, and intents come before files.
 */
async function sweep({ journal, blob, runtime }: CompactParts, scope: Scope): Promise<void> {
  const now = runtime.clock();
  for (let after: string | undefined; ;) {
    const from = after === undefined ? {} : { after };
    const page = await blob.list(scope, SEGMENTS, { limit: FILES_PER_STEP, ...from });
    for (const { key } of page) {
      after = key;
      const [, segmentId = "", begunAt = ""] = SEGMENT_KEY.exec(key) ?? [];
      // Those of late may have an intent, whose lease must not be extended for looking at it.
      if (segmentId === "" || now - parseInt(begunAt.replace("-", ""), 16) < SWEPT_AFTER_MS)
        continue;
      if ((await journal.segment(scope, segmentId)) !== undefined) continue;
      if (await journal.renewIntents(scope, [segmentId], now + INTENT_LEASE_MS)) continue;
      // A commit may have used it up just now.
      if ((await journal.segment(scope, segmentId)) === undefined) await blob.delete(scope, key);
    }
    if (page.length < FILES_PER_STEP) return;
  }
}

/** Whether all lines of a segment are in the run, so that nothing needs the segment any more. */
function holdsOnly(row: SegmentRow, run: readonly StoredEntry[]): boolean {
  const lines = run.reduce(
    (sum, { location, count }) =>
      location.kind === "segment" && location.segmentId === row.segmentId ? sum + count : sum,
    0,
  );
  return lines === row.lines;
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

async function catalogue(
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
 * Removes the files of writers that died: the intent first, then the file. Answers how many. A segment
 * that is in the catalogue stays: it was to be dropped by a compaction that did not come so far.
 */
export async function collect(parts: CompactParts, scope: Scope): Promise<number> {
  const { journal, blob, runtime } = parts;
  const expired = await journal.takeExpiredIntents(scope, runtime.clock(), ENTRIES_PER_STEP);
  let removed = 0;
  for (const { segmentId, blobKey } of expired) {
    if ((await journal.segment(scope, segmentId)) !== undefined) continue;
    await blob.delete(scope, blobKey);
    removed += 1;
  }
  return removed;
}
