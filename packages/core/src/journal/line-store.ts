import { uuidV7 } from "@custody/contract/ids";
import type { BlobStore } from "@custody/stores/blob/port";
import { StoreError } from "@custody/stores/errors";
import type { JournalStore, SegmentRow, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { Runtime } from "../runtime.ts";
import { BoundedMap } from "./bounded-map.ts";
import { gzipCodec } from "./format/codec.ts";
import { inlinePeriod, openLines, packLines, sealLines } from "./format/inline-lines.ts";
import type { PackedLines } from "./format/inline-lines.ts";
import { lineAt, lineCount, sliceLines } from "./format/lines.ts";
import type { Lines } from "./format/lines.ts";
import { openSegment } from "./format/segment-reader.ts";
import type { SegmentBlock, SegmentReader } from "./format/segment-reader.ts";
import { SegmentWriter } from "./format/segment-writer.ts";
import type { SegmentBatch } from "./format/segment-writer.ts";

export interface LineStoreParts {
  readonly journal: Pick<
    JournalStore,
    "putIntent" | "renewIntents" | "takeIntents" | "dropIntents" | "segment" | "inlineLines"
  >;
  readonly blob: BlobStore;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  /** Whether what is written now is encrypted; what is read says so itself. */
  readonly isSealed: boolean;
}

/**
 * How long a writer may be silent before its segment counts as abandoned. A day, so that an import
 * interrupted in the evening goes on in the morning; until then a dead writer's file takes room.
 */
export const INTENT_LEASE_MS: number = 24 * 60 * 60 * 1000;

const OPEN_SEGMENTS_MAX = 64;
const BLOCKS_MAX = 8;

/** LineStore: writes lines into segments, and reads them back from wherever they lie. */
export class LineStore {
  readonly #parts: LineStoreParts;
  readonly #segments = new BoundedMap<string, Promise<SegmentReader>>(OPEN_SEGMENTS_MAX);
  readonly #blocks = new BoundedMap<string, Promise<SegmentBlock>>(BLOCKS_MAX);

  constructor(parts: LineStoreParts) {
    this.#parts = parts;
  }

  /**
   * Writes a segment and makes it durable. Its intent is registered first, so that it is collected
   * when no commit ever uses it.
   */
  async writeSegment(
    scope: Scope,
    batches: AsyncIterable<SegmentBatch> | Iterable<SegmentBatch>,
  ): Promise<SegmentRow> {
    const { journal, blob, runtime, isSealed } = this.#parts;
    const period = periodOf(runtime.clock());
    const segmentId = uuidV7(runtime.clock(), runtime.random(10));
    const blobKey = `segments/${period}/${segmentId}.segment`;
    const expiresAt = runtime.clock() + INTENT_LEASE_MS;
    await journal.putIntent(scope, { segmentId, blobKey, expiresAt });
    const writer = new SegmentWriter({
      tenant: scope.tenant,
      segmentId,
      period,
      salt: runtime.random(16),
      compression: "zstd",
      codec: runtime.codec,
      ...(await this.#sealingKey(scope.tenant, period)),
    });
    const written: { row?: SegmentRow } = {};
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for await (const batch of batches) yield* await writer.add(batch);
      const { chunks: rest, summary } = await writer.finish();
      yield* rest;
      const { bytes, lines, hash } = summary;
      // A segment that is not encrypted names no key period, so that a reader knows without opening it.
      const keyPeriod = isSealed ? period : "";
      written.row = { segmentId, blobKey, bytes, lines, hash, period: keyPeriod };
    }
    await blob.put(scope, blobKey, chunks(), { ifAbsent: true });
    if (written.row === undefined)
      throw new CoreError("failed", "the blob store did not read the segment");
    if (runtime.clock() >= expiresAt) await this.#keepIntent(scope, written.row);
    return written.row;
  }

  /**
   * Takes a file away that came after its collector: a writer that did not run for longer than its lease
   * writes what no intent tells of any more, and nobody else would ever find it.
   */
  async #keepIntent(scope: Scope, { segmentId, blobKey }: SegmentRow): Promise<void> {
    const { journal, blob, runtime } = this.#parts;
    const until = runtime.clock() + INTENT_LEASE_MS;
    // Where the answer is lost the file goes as well: whoever tries again writes another.
    if (await journal.renewIntents(scope, [segmentId], until).catch(() => false)) return;
    await blob.delete(scope, blobKey);
    throw new StoreError(
      "unavailable",
      `segment ${segmentId} was written for longer than its intent lasts: try again`,
    );
  }

  /**
   * Removes segments that no commit will use: their intents are taken, then the files go, and the intents
   * last, so that a collector goes on where this one dies. A segment that is in the catalogue once its
   * intent is taken stays: its commit was made, and only the answer was lost.
   */
  async abandon(scope: Scope, segments: readonly SegmentRow[]): Promise<void> {
    const { journal, blob } = this.#parts;
    if (segments.length === 0) return;
    const ids = segments.map(({ segmentId }) => segmentId);
    await journal.takeIntents(scope, ids);
    for (const { segmentId, blobKey } of segments) {
      if ((await journal.segment(scope, segmentId)) === undefined)
        await blob.delete(scope, blobKey);
    }
    await journal.dropIntents(scope, ids);
  }

  /** Compresses the lines of a small commit, to be sealed once its sequence is known. */
  async packInline(scope: Scope, lines: Lines): Promise<(sequence: number) => Uint8Array> {
    const { runtime } = this.#parts;
    const period = periodOf(runtime.clock());
    const packed: PackedLines = await packLines(lines, "zstd", runtime.codec);
    const seal = {
      period,
      salt: runtime.random(16),
      ...(await this.#sealingKey(scope.tenant, period)),
    };
    return (sequence) => sealLines(packed, { tenant: scope.tenant, sequence }, seal);
  }

  /** All lines of an entry. @throws CoreError `damaged`, `no-key`. */
  async readLines(scope: Scope, entry: StoredEntry): Promise<Lines> {
    const { location } = entry;
    if (location.kind === "inline") return this.#readInline(scope, entry.sequence);
    const segment = await this.openSegment(scope, location.segmentId);
    const parts: Lines[] = [];
    const end = location.firstLine + entry.count;
    for (let line = location.firstLine; line < end;) {
      const block = await this.#readBlock(scope, location.segmentId, segment, line);
      const from = line - block.firstLine;
      const to = Math.min(lineCount(block.lines), end - block.firstLine);
      parts.push(sliceLines(block.lines, from, to));
      line = block.firstLine + to;
    }
    return joinParts(parts);
  }

  /** One line of an entry. @throws CoreError `damaged` when the entry has no such line. */
  async readLine(scope: Scope, entry: StoredEntry, ordinal: number): Promise<Uint8Array> {
    const { location } = entry;
    if (ordinal < 0 || ordinal >= entry.count) {
      throw new CoreError("damaged", `entry ${entry.sequence} has no line ${ordinal}`);
    }
    if (location.kind === "inline") {
      return lineAt(await this.#readInline(scope, entry.sequence), ordinal);
    }
    const segment = await this.openSegment(scope, location.segmentId);
    const line = location.firstLine + ordinal;
    const block = await this.#readBlock(scope, location.segmentId, segment, line);
    return lineAt(block.lines, line - block.firstLine);
  }

  /** Opens a segment of the catalogue. @throws CoreError `damaged` when its file is gone or altered. */
  openSegment(scope: Scope, segmentId: string): Promise<SegmentReader> {
    return this.#segments.getOrMake(`${scope.tenant}/${segmentId}`, () =>
      this.#openSegment(scope, segmentId),
    );
  }

  /** Forgets what is open, after segments were moved or dropped. */
  forget(): void {
    this.#segments.clear();
    this.#blocks.clear();
  }

  async #openSegment(scope: Scope, segmentId: string): Promise<SegmentReader> {
    const { journal, blob, keys, runtime } = this.#parts;
    const row = await journal.segment(scope, segmentId);
    const at = `segment ${segmentId}`;
    if (row === undefined) throw new CoreError("damaged", `${at} is not in the catalogue`, { at });
    const info = await blob.stat(scope, row.blobKey);
    if (info === undefined)
      throw new CoreError("damaged", `${at}: its file ${row.blobKey} is gone`, { at });
    const source = {
      bytes: info.bytes,
      read: async (start: number, end: number) =>
        (await blob.read(scope, row.blobKey, { start, end })) ?? new Uint8Array(0),
    };
    const key = row.period === "" ? {} : { key: await keys.tenantKey(scope.tenant, row.period) };
    const codecs = { zstd: runtime.codec, gzip: gzipCodec };
    return openSegment(source, { tenant: scope.tenant, segmentId, codecs, ...key });
  }

  #readBlock(
    scope: Scope,
    segmentId: string,
    segment: SegmentReader,
    line: number,
  ): Promise<SegmentBlock> {
    const number = segment.findLine(line);
    if (number === undefined)
      throw new CoreError("damaged", `segment ${segmentId} has no line ${line}`);
    return this.#blocks.getOrMake(`${scope.tenant}/${segmentId}/${number}`, () =>
      segment.readBlock(number),
    );
  }

  async #readInline(scope: Scope, sequence: number): Promise<Lines> {
    const { journal, keys, runtime } = this.#parts;
    const sealed = await journal.inlineLines(scope, sequence);
    if (sealed === undefined) {
      throw new CoreError(
        "damaged",
        `entry ${sequence} of ${scope.tenant} has lost its inline lines`,
      );
    }
    const period = inlinePeriod(sealed);
    const key = period === undefined ? {} : { key: await keys.tenantKey(scope.tenant, period) };
    const codecs = { zstd: runtime.codec, gzip: gzipCodec };
    return openLines(sealed, { tenant: scope.tenant, sequence }, { codecs, ...key });
  }

  async #sealingKey(tenant: string, period: string): Promise<{ readonly key?: Uint8Array }> {
    const { isSealed, keys } = this.#parts;
    return isSealed ? { key: await keys.tenantKey(tenant, period, { create: true }) } : {};
  }
}

/** The key period of an instant: its month in UTC, `YYYY-MM`. */
function periodOf(instant: number): string {
  return new Date(instant).toISOString().slice(0, 7);
}

function joinParts(parts: readonly Lines[]): Lines {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  let bytes = 0;
  let count = 0;
  for (const part of parts) {
    bytes += (part.offsets.at(-1) ?? 0) - (part.offsets[0] ?? 0);
    count += lineCount(part);
  }
  const text = new Uint8Array(new SharedArrayBuffer(bytes));
  const offsets = new Uint32Array(count + 1);
  let at = 0;
  let line = 0;
  for (const part of parts) {
    const start = part.offsets[0] ?? 0;
    text.set(part.text.subarray(start, part.offsets.at(-1)), at);
    for (let index = 1; index < part.offsets.length; index += 1) {
      line += 1;
      offsets[line] = at + (part.offsets[index] ?? 0) - start;
    }
    at += (part.offsets.at(-1) ?? 0) - start;
  }
  return { text, offsets };
}
