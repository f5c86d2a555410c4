import { createHash } from "node:crypto";

import type { BlobStore } from "@custody/stores/blob/port";
import type { SegmentRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../../errors.ts";
import { hashStream } from "../../import/original-files.ts";
import type { OriginalFiles } from "../../import/original-files.ts";
import type { FileCheck, FileFault } from "../../reports.ts";
import { sourceFiles } from "../../system-types.ts";
import { liveRecordsOf } from "./journal-pass.ts";
import type { PassParts } from "./journal-pass.ts";
import type { Pace } from "./pace.ts";

export interface StoredFilesParts extends PassParts {
  readonly blob: BlobStore;
  readonly originals: OriginalFiles;
}

const SEGMENTS_PER_STEP = 256;
const ENTRIES_PER_STEP = 64;
// A rest is due after so many bytes: hashing them takes some milliseconds.
const BYTES_PER_REST = 4 * 1024 * 1024;

/**
 * Reads every segment and every original file of a tenant and compares their hashes with what the
 * journal says of them. A file that differs can only be brought back from a backup.
 */
export async function checkStoredFiles(
  parts: StoredFilesParts,
  scope: Scope,
  pace: Pace,
): Promise<FileCheck> {
  const check = new FilesCheck(parts, scope, pace);
  await check.segments();
  await check.originals();
  return check.report();
}

class FilesCheck {
  readonly #parts: StoredFilesParts;
  readonly #scope: Scope;
  readonly #pace: Pace;
  readonly #faults: FileFault[] = [];
  #segments = 0;
  #originals = 0;
  #withoutKey = 0;
  #bytes = 0;

  constructor(parts: StoredFilesParts, scope: Scope, pace: Pace) {
    this.#parts = parts;
    this.#scope = scope;
    this.#pace = pace;
  }

  report(): FileCheck {
    return {
      segments: this.#segments,
      originals: this.#originals,
      withoutKey: this.#withoutKey,
      bytes: this.#bytes,
      faults: this.#faults,
    };
  }

  async segments(): Promise<void> {
    let after: string | undefined;
    for (;;) {
      const rows = await this.#parts.journal.segments(this.#scope, after, SEGMENTS_PER_STEP);
      for (const row of rows) {
        after = row.segmentId;
        const reason = await this.#segmentFault(row);
        if (reason === undefined) this.#segments += 1;
        // A compaction may have just moved what lay in it.
        else if ((await this.#parts.journal.segment(this.#scope, row.segmentId)) !== undefined)
          this.#fault("segment", row.segmentId, reason);
      }
      if (rows.length < SEGMENTS_PER_STEP) return;
    }
  }

  /** The files that live `custody/source_files` records name, opened. */
  async originals(): Promise<void> {
    const { journal } = this.#parts;
    const type = sourceFiles.name;
    const checkpoint = await journal.lastSequence(this.#scope, [type]);
    for (let after = 0; after < checkpoint;) {
      const entries = await journal.entries(this.#scope, {
        after,
        type: [type],
        limit: ENTRIES_PER_STEP,
      });
      for (const entry of entries) {
        after = entry.sequence;
        for await (const { fields } of liveRecordsOf(this.#parts, this.#scope, entry, checkpoint))
          await this.#checkOriginal(fields);
      }
      if (entries.length < ENTRIES_PER_STEP) return;
    }
  }

  async #segmentFault({ blobKey, hash }: SegmentRow): Promise<string | undefined> {
    const stream = await this.#parts.blob.stream(this.#scope, blobKey);
    if (stream === undefined) return `its file ${blobKey} is gone`;
    const actual = createHash("sha256");
    for await (const chunk of this.#counted(stream)) actual.update(chunk);
    return actual.digest().equals(hash) ? undefined : "its bytes are not those that were committed";
  }

  async #checkOriginal(fields: unknown): Promise<void> {
    const { blob, sha256 } = fields as { readonly blob: string; readonly sha256: string };
    try {
      const reason = await this.#originalFault(blob, sha256);
      if (reason === undefined) this.#originals += 1;
      else this.#fault("original", blob, reason);
    } catch (cause) {
      if (!(cause instanceof CoreError)) throw cause;
      // A key that was destroyed took the file with it: nothing is left to compare.
      if (cause.code === "no-key") this.#withoutKey += 1;
      else if (cause.code === "damaged") this.#fault("original", blob, cause.message);
      else throw cause;
    }
  }

  async #originalFault(key: string, sha256: string): Promise<string | undefined> {
    const bytes = await this.#parts.originals.get(this.#scope, key);
    if (bytes === undefined) return "its file is gone";
    const actual = await hashStream(this.#counted(bytes), () => undefined);
    return actual.sha256 === sha256 ? undefined : "its bytes are not those that were imported";
  }

  async *#counted(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let since = 0;
    for await (const chunk of bytes) {
      yield chunk;
      this.#bytes += chunk.byteLength;
      since += chunk.byteLength;
      if (since < BYTES_PER_REST) continue;
      await this.#pace.rest(0);
      since = 0;
    }
    await this.#pace.rest(0);
  }

  #fault(kind: FileFault["kind"], at: string, reason: string): void {
    this.#faults.push({ tenant: this.#scope.tenant, kind, at, reason });
  }
}
