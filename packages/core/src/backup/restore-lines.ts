import { createHash } from "node:crypto";

import type { BlobStore } from "@custody/stores/blob/port";
import type { SegmentRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type { Lines } from "../journal/format/lines.ts";
import { LineStore } from "../journal/line-store.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { Runtime } from "../runtime.ts";
import type { BackedUpEntry } from "./backup-contents.ts";
import type { RestoreSource } from "./restore-source.ts";

export interface SourceLinesParts {
  readonly source: RestoreSource;
  /** Where segments of the source are put before they are read. */
  readonly blob: BlobStore;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  /** Where a segment is put; default the key that it had. */
  readonly keyOf?: (row: SegmentRow) => string;
}

/** SourceLines: reads the lines of entries that lie in a backup, copying their segments as they are met. */
export class SourceLines {
  readonly #parts: SourceLinesParts;
  readonly #tenant: string;
  readonly #lines: LineStore;
  /** Segments that are copied, by id. */
  readonly #copied = new Map<string, SegmentRow>();
  #entry: BackedUpEntry | undefined;

  constructor(parts: SourceLinesParts, tenant: string) {
    this.#parts = parts;
    this.#tenant = tenant;
    const refuse = (): Promise<never> =>
      Promise.reject(new CoreError("failed", "lines of a backup are read, never written"));
    this.#lines = new LineStore({
      ...parts,
      isSealed: true,
      journal: {
        putIntent: refuse,
        renewIntents: refuse,
        takeIntents: refuse,
        dropIntents: refuse,
        segment: (scope, segmentId) => this.#copy(scope, segmentId),
        inlineLines: (_, sequence) =>
          Promise.resolve(this.#entry?.sequence === sequence ? this.#entry.inlineLines : undefined),
      },
    });
  }

  /** Segments that were copied in this run. */
  get copied(): readonly SegmentRow[] {
    return [...this.#copied.values()];
  }

  /**
   * All lines of an entry, in order. One entry at a time.
   *
   * @throws CoreError `damaged` when they are not there or not what was sealed, `no-key`.
   */
  read(scope: Scope, entry: BackedUpEntry): Promise<Lines> {
    this.#entry = entry;
    return this.#lines.readLines(scope, entry);
  }

  /** The row of the segment that an entry lies in, once its file is copied; `undefined` for an inline one. */
  async segmentOf(scope: Scope, { location }: BackedUpEntry): Promise<SegmentRow | undefined> {
    if (location.kind === "inline") return undefined;
    const row = await this.#copy(scope, location.segmentId);
    if (row !== undefined) return row;
    throw new CoreError("damaged", `the backup lacks segment ${location.segmentId}`);
  }

  /** Forgets what is open, so that the copies may be deleted. */
  forget(): void {
    this.#lines.forget();
    this.#copied.clear();
  }

  async #copy(scope: Scope, segmentId: string): Promise<SegmentRow | undefined> {
    const known = this.#copied.get(segmentId);
    if (known !== undefined) return known;
    const { source, blob, keyOf } = this.#parts;
    const found = await source.segment(this.#tenant, segmentId);
    if (found === undefined) return undefined;
    const row = { ...found.row, blobKey: keyOf?.(found.row) ?? found.row.blobKey };
    // A copy is whole or absent, so one of the right length is from an interrupted run.
    const copy = await blob.stat(scope, row.blobKey);
    if (copy?.bytes !== row.bytes) await blob.put(scope, row.blobKey, checked(row, found.bytes()));
    this.#copied.set(segmentId, row);
    return row;
  }
}

/** Hands a segment's bytes on; fails before the end when they are not those that the catalogue knows. */
async function* checked(
  row: SegmentRow,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  for await (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest().equals(row.hash)) return;
  const at = `segment ${row.segmentId}`;
  throw new CoreError("damaged", `${at}: its bytes are not those that were committed`, { at });
}
