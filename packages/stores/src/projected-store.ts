import type { StoreRole } from "@custody/contract/placement";

import type { Delivery, RecordBatch } from "./record-batch.ts";
import type { Scope } from "./scope.ts";

/**
 * A projection's home in a store: which types it holds, how they map, and which build it is.
 *
 * A changed mapping makes a new generation beside the old one; both exist until the old is discarded.
 */
export interface Collection<Placement> {
  /** `pack/name` of the record type or summary; `graph` for the graph of all types. */
  readonly name: string;
  /** 1, 2, …: engines keep generations apart in their physical names. */
  readonly generation: number;
  /** How each type maps; most collections hold exactly one type. */
  readonly placements: Readonly<Record<string, Placement>>;
  /**
   * True when no record of it ever changes under its id (types of mode `append`): an engine may then
   * append without looking for an older row. Leaving it out is always right, and slower.
   */
  readonly isAppendOnly?: boolean;
}

/** Rows of a sequence range, folded: equal counts and sums mean equal content. */
export interface BucketDigest {
  /** The bucket's number: the row's sequence divided by the bucket size, rounded down. */
  readonly bucket: number;
  readonly count: number;
  /** Sum of the rows' content hashes modulo 2^64, as 16 hex digits; order plays no part. */
  readonly sum: string;
}

/** A stored row, named and hashed. */
export interface RowDigest {
  readonly id: string;
  readonly sequence: number;
  /** First 64 bits of SHA-256 over the row's content form, as 16 hex digits. */
  readonly hash: string;
}

export interface CollectionStatistics {
  readonly name: string;
  readonly generation: number;
  readonly records: number;
}

export interface StoreStatistics {
  readonly collections: readonly CollectionStatistics[];
  /** Bytes on disk of the tenant's part of this store. */
  readonly bytes: number;
}

/** One page of a list: `cursor` is given back to go on, and absent at the end. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly cursor?: string;
}

/**
 * What every store that holds projected records can do, whatever its role.
 *
 * All arguments and answers are plain data that survive structured cloning, so that the same store
 * works in this thread or in another. Every tenant has physically separate data.
 */
export interface ProjectedStore<Placement> extends AsyncDisposable {
  readonly role: StoreRole;
  /** The engine's name as the catalogue lists it: `sqlite`, `duckdb`. */
  readonly engine: string;

  /** Makes the collection ready to be written and read. Doing it again changes nothing. */
  prepare(scope: Scope, collection: Collection<Placement>): Promise<void>;

  /**
   * Writes a delivery and its checkpoint in one transaction.
   *
   * Records at or below the stored checkpoint are skipped, so that a repeated or an older delivery
   * changes nothing. A row whose stored sequence is higher is left as it is.
   *
   * @throws StoreError `conflict` when it was read from elsewhere than where the collection stands, as
   *   `Delivery.after` says (nothing is then written: read from the stored checkpoint), `refused` when the engine does not take one of the records (nothing is then
   *   written), `full`, `read-only`, `unavailable`, `corrupt`.
   */
  apply(scope: Scope, collection: Collection<Placement>, delivery: Delivery): Promise<void>;

  /**
   * Makes rows equal to the batch whatever is stored (deletes those marked removed), for repair and
   * quarantine replay; the checkpoint stays.
   *
   * @throws StoreError `unsupported` where rows are shared by records (graphs, summaries): rebuild.
   */
  repair(scope: Scope, collection: Collection<Placement>, batch: RecordBatch): Promise<void>;

  /** The checkpoint last written, 0 when nothing was. */
  checkpoint(scope: Scope, collection: Collection<Placement>): Promise<number>;

  /** Removes the collection's rows and checkpoint; what does not exist is no error. */
  discard(scope: Scope, collection: Collection<Placement>): Promise<void>;

  /** Digests of all rows by bucket of `bucketSize` sequences, in ascending order. */
  digest(
    scope: Scope,
    collection: Collection<Placement>,
    bucketSize: number,
  ): Promise<readonly BucketDigest[]>;

  /** True where `fingerprint` is there, because it costs much less than `digest`. */
  readonly hasFingerprints?: boolean;

  /**
   * Sums by bucket over the stored bytes of all rows, read but not brought into their content form, and
   * over what a row's indexes hold of it. Two equal answers say that a bucket was not changed in between,
   * not that it is right. What is of no one row (an index as a whole) is in bucket -1. Another release of
   * the engine may answer otherwise for the same rows.
   */
  fingerprint?(
    scope: Scope,
    collection: Collection<Placement>,
    bucketSize: number,
  ): Promise<readonly BucketDigest[]>;

  /** The rows with `fromSequence <= sequence < toSequence`, ordered by sequence then id. */
  list(
    scope: Scope,
    collection: Collection<Placement>,
    range: {
      readonly fromSequence: number;
      readonly toSequence: number;
      readonly limit: number;
      readonly cursor?: string;
    },
  ): Promise<Page<RowDigest>>;

  statistics(scope: Scope): Promise<StoreStatistics>;

  /** Makes what was applied durable and tidy after a bulk load (checkpointing, merging); cheap when idle. */
  settle(scope: Scope): Promise<void>;

  /**
   * Whether a call met damage (`corrupt`) in a file of the tenant, or of one of its owners, that was not
   * set aside yet. What a user's own statement says of damage does not count. Embedded engines only, as
   * {@link setAside}: a server looks after its files itself.
   */
  hasDamage?(scope: Scope): Promise<boolean>;

  /**
   * Renames those files to `<name>.set-aside-<instant>`, so that what they held begins empty, with
   * checkpoint 0; files of other roles stay as they are. The two newest of each are kept.
   *
   * @param atMs epoch milliseconds, for the name.
   * @returns the new names; none where there is no damage any more.
   */
  setAside?(scope: Scope, atMs: number): Promise<readonly string[]>;
}
