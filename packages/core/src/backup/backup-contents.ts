import type { BlobInfo } from "@custody/stores/blob/port";
import type { SegmentRow, StoredEntry } from "@custody/stores/relational/journal";

import type { BackupManifest, ObjectRef } from "./backup-manifest.ts";

/**
 * BackupContents: what lies in one backup, as a restore reads it.
 *
 * Every object is checked as it is read: its seal, its length, its hash and that its name is its own.
 * Nothing is held longer than it is read, so contents of any size stream.
 *
 * @throws CoreError from any method: `damaged` naming the object and what is wrong with it;
 *   `not-found` for a tenant that is not in the backup.
 */
export interface BackupContents {
  readonly manifest: BackupManifest;
  /** Entries with `after < sequence <= to`, ascending; `to` defaults to the cut. */
  entries(
    tenant: string,
    range: { readonly after: number; readonly to?: number },
  ): AsyncIterable<BackedUpEntry>;
  /** The segment catalogue at the cut, by id. */
  segments(tenant: string): AsyncIterable<SegmentRow>;
  segment(tenant: string, segmentId: string): Promise<BackedUpSegment | undefined>;
  /** All blobs that are no segments, by key. */
  blobs(tenant: string): AsyncIterable<BackedUpBlob>;
  blobBytes(tenant: string, blob: BackedUpBlob): AsyncIterable<Uint8Array>;
  /** Named values of the journal's store that a restored journal needs as they were. */
  state(tenant: string): AsyncIterable<{ readonly name: string; readonly value: string }>;
}

/** An entry as it was backed up; its location is that at the cut. */
export interface BackedUpEntry extends StoredEntry {
  /** Sealed lines, when the location is inline. */
  readonly inlineLines?: Uint8Array;
  /** The signed head with exactly as many entries as this one's sequence. */
  readonly treeHead?: Uint8Array;
  /** The receipt of the commit that ends with this entry, where it was kept under a key. */
  readonly receipt?: BackedUpReceipt;
}

/** See {@link BackedUpEntry}. */
export interface BackedUpReceipt {
  readonly kind: "import" | "idempotency";
  readonly key: string;
  readonly text: string;
}

/** A segment's file in a backup. */
export interface BackedUpSegment {
  readonly row: SegmentRow;
  readonly bytes: () => AsyncIterable<Uint8Array>;
}

/** A blob that is no segment: an original file, or one that somebody put. */
export interface BackedUpBlob extends BlobInfo {
  readonly content: ObjectRef;
}
