import type { Scope } from "../scope.ts";

/**
 * JournalStore: the tables of the relational role that hold the journal itself.
 *
 * Core decides; this store keeps. Everything a commit writes is written in one transaction under the
 * tenant's lock, so sequences have no gaps and no reader meets a lower one later. Nothing else
 * writes here. An answer to `commit` means that the data survives power loss.
 */
export interface JournalStore extends AsyncDisposable {
  readonly engine: string;

  /** The tenant's journal state, or `undefined` before its first commit. */
  head(scope: Scope): Promise<JournalHead | undefined>;
  /** Every tenant that has a journal, sorted. */
  tenants(): Promise<readonly string[]>;

  /**
   * Opens a transaction and takes the lock of each tenant's head; waits for other writers until
   * the scope's deadline.
   *
   * @throws StoreError `unavailable` when the lock is not had in time.
   */
  begin(scope: Scope): Promise<JournalTransaction>;

  /** Entries with `sequence > after`, ascending, of one type or of all; at most `limit`. */
  entries(
    scope: Scope,
    range: { readonly after: number; readonly type?: readonly string[]; readonly limit: number },
  ): Promise<readonly StoredEntry[]>;
  entry(scope: Scope, sequence: number): Promise<StoredEntry | undefined>;
  /** The sequence of the last entry of these types, 0 when there is none. */
  lastSequence(scope: Scope, types: readonly string[]): Promise<number>;

  /** Where each id's latest version lies; `undefined` for an id never seen. Deleted ids are found as deleted. */
  lookup(
    scope: Scope,
    type: string,
    ids: readonly string[],
  ): Promise<readonly (IdPosition | undefined)[]>;
  /** The version of each id that was current just before `sequence`. */
  lookupBefore(
    scope: Scope,
    type: string,
    keys: readonly { readonly id: string; readonly sequence: number }[],
  ): Promise<readonly (IdPosition | undefined)[]>;
  /** How many ids of a type are live (their latest version is no deletion), and how many were ever seen. */
  count(scope: Scope, type: string): Promise<{ readonly live: number; readonly total: number }>;

  /** Sealed lines of entries that were committed inline, by sequence. */
  inlineLines(scope: Scope, sequence: number): Promise<Uint8Array | undefined>;
  /** Interior nodes of the tenant's tree, for proofs; `undefined` for a node not stored. */
  treeNodes(
    scope: Scope,
    nodes: readonly { readonly level: number; readonly index: number }[],
  ): Promise<readonly (Uint8Array | undefined)[]>;
  /** The signed head with exactly `size` entries, or the latest. */
  treeHead(scope: Scope, size?: number): Promise<Uint8Array | undefined>;

  /** Signed heads with more than `afterSize` entries, by size ascending. */
  treeHeads(scope: Scope, afterSize: number, limit: number): Promise<readonly Uint8Array[]>;

  segment(scope: Scope, segmentId: string): Promise<SegmentRow | undefined>;
  segments(scope: Scope, after: string | undefined, limit: number): Promise<readonly SegmentRow[]>;

  /**
   * Moves the lines of entries into a new segment, in one transaction: the segment's intent is used
   * up, the entries' locations point to it, inline lines are dropped, and `dropped` segments leave
   * the catalogue. Each of these becomes a taken intent: its file is the caller's to delete, and a
   * collector's where the caller dies before. Entries themselves never change.
   *
   * @throws StoreError `conflict` when the intent is gone or taken, or an entry no longer lies where
   *   `from` says.
   */
  relocate(scope: Scope, change: Relocation): Promise<void>;

  /**
   * Registers a segment about to be written, in a transaction of its own. Again it extends the lease;
   * an intent that was taken stays taken.
   */
  putIntent(scope: Scope, intent: SegmentIntent): Promise<void>;
  /** Extends the lease of intents; false, and none is extended, when one is gone or taken. */
  renewIntents(scope: Scope, segmentIds: readonly string[], expiresAt: number): Promise<boolean>;
  /**
   * Takes intents that expired before `now`, and answers all that are taken: those that somebody took
   * before and died too. A taken intent is never renewed and never used by a commit, so the file may go
   * unless the segment is in the catalogue; whoever removes it drops the intent after that. Those that
   * were taken before come first, then the one that expired first; at most `limit`.
   */
  takeExpiredIntents(scope: Scope, now: number, limit: number): Promise<readonly TakenIntent[]>;
  /** Takes intents whatever their lease, for a writer that gives up; one that is gone stays gone. */
  takeIntents(scope: Scope, segmentIds: readonly string[]): Promise<void>;
  /** Removes intents; one that is gone is no error. */
  dropIntents(scope: Scope, segmentIds: readonly string[]): Promise<void>;

  /** The receipt stored under an import or idempotency key. */
  receipt(scope: Scope, kind: "import" | "idempotency", key: string): Promise<string | undefined>;

  /** Small named values of a tenant that are no records: projection generations, checkpoints of stores without one. */
  state(scope: Scope, name: string): Promise<string | undefined>;
  putState(scope: Scope, name: string, value: string | undefined): Promise<void>;
  listState(
    scope: Scope,
    prefix: string,
  ): Promise<readonly { readonly name: string; readonly value: string }[]>;

  /**
   * Notes refused records. One that is noted already is replaced, unless its version is a later one or was
   * passed by a later one: a process that was held up must not undo what another has learnt since.
   */
  putQuarantine(scope: Scope, rows: readonly QuarantineRow[]): Promise<void>;
  quarantine(
    scope: Scope,
    query: {
      readonly role?: string;
      readonly collection?: string;
      /** Those that a later version has passed as well. */
      readonly withPassed?: boolean;
      readonly limit: number;
      /** The last row of the page before; rows come by role, collection, type and id. */
      readonly after?: QuarantineKey;
    },
  ): Promise<readonly QuarantineRow[]>;
  /**
   * Notes that a later version of refused records was taken, or deleted them: they are quarantined no longer.
   * Those noted in a later version than the one named stay as they are.
   */
  passQuarantine(
    scope: Scope,
    rows: readonly (QuarantineVersion & { readonly passedBy: number })[],
  ): Promise<void>;
  /** Forgets refused records, except those noted in a later version than the one named. */
  dropQuarantine(scope: Scope, rows: readonly QuarantineVersion[]): Promise<void>;

  /** Rows of a transactional type's table as they stand; for reconciliation and look-ups inside core. */
  tableRows(
    scope: Scope,
    table: string,
    query: { readonly after?: string; readonly limit: number },
  ): Promise<
    readonly { readonly id: string; readonly sequence: number; readonly columns: string }[]
  >;

  /** Bytes on disk. */
  bytes(): Promise<number>;
  /** Cheap check that the files can be read and are what they should be. @throws StoreError `corrupt`. */
  check(): Promise<void>;
}

/** A transaction under the tenant's lock. Ends with `commit` or `rollback`, once. */
export interface JournalTransaction {
  /** As it stands under the lock. */
  readonly head: JournalHead | undefined;
  lookup(type: string, ids: readonly string[]): Promise<readonly (IdPosition | undefined)[]>;
  /** Whether ids exist and are not deleted, in the given tenant (for references to shared types). */
  exists(tenant: string, type: string, ids: readonly string[]): Promise<readonly boolean[]>;
  receipt(kind: "import" | "idempotency", key: string): Promise<string | undefined>;
  /**
   * Writes one commit. Several may be written in one transaction (group commit); one that throws
   * leaves the transaction as it was before it.
   *
   * @throws StoreError `conflict` when a table's constraint is violated, or an intent is gone or taken.
   */
  append(commit: JournalAppend): Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

export interface JournalHead {
  readonly timeline: string;
  /** Number of entries; the last entry's sequence. */
  readonly sequence: number;
  readonly lastEntryHash: Uint8Array;
  readonly lastReceivedAt: number;
  /** Roots of the complete subtrees of the entry tree, largest first, concatenated: 32 bytes each. */
  readonly frontier: Uint8Array;
}

export interface JournalAppend {
  readonly head: JournalHead;
  readonly entries: readonly NewEntry[];
  readonly nodes: readonly {
    readonly level: number;
    readonly index: number;
    readonly hash: Uint8Array;
  }[];
  /** Canonical JSON of the signed tree head. */
  readonly treeHead: Uint8Array;
  readonly segments: readonly SegmentRow[];
  /** Segments whose intents this commit uses up. */
  readonly intents: readonly string[];
  readonly receipt?: {
    readonly kind: "import" | "idempotency";
    readonly key: string;
    readonly receipt: string;
  };
  readonly tables?: readonly TableWrite[];
}

/** An entry's canonical bytes and the columns by which it is found. */
export interface EntryColumns {
  readonly sequence: number;
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
  readonly commit: string;
  readonly type: string;
  readonly operation: string;
  readonly count: number;
  readonly receivedAt: number;
}

export interface NewEntry extends EntryColumns {
  readonly location: LineLocation;
  /** Sealed lines, for `location.kind` `inline`. */
  readonly lines?: Uint8Array;
  /** One for each line, in line order; absent for operations on no record. */
  readonly ids: readonly string[];
  /** 16 bytes a line: keyed content hash, by which a repeated record is recognised. */
  readonly contentHashes: Uint8Array;
}

/** Where an entry's lines lie now; outside the entry, so that compaction changes no proof. */
export type LineLocation =
  | { readonly kind: "inline" }
  | { readonly kind: "segment"; readonly segmentId: string; readonly firstLine: number };

export interface StoredEntry extends EntryColumns {
  readonly location: LineLocation;
}

/** What a compaction changes in the catalogue. */
export interface Relocation {
  readonly segment: SegmentRow;
  readonly entries: readonly {
    readonly sequence: number;
    readonly from: LineLocation;
    readonly firstLine: number;
  }[];
  readonly dropped: readonly string[];
}

export interface IdPosition {
  readonly sequence: number;
  /** Line number within the entry, from 0. */
  readonly ordinal: number;
  readonly contentHash: Uint8Array;
  readonly isDeleted: boolean;
}

export interface SegmentRow {
  readonly segmentId: string;
  /** Key in the blob store. */
  readonly blobKey: string;
  readonly bytes: number;
  readonly lines: number;
  /** SHA-256 of the stored file. */
  readonly hash: Uint8Array;
  /** The key period, `YYYY-MM`; empty for a segment that is not encrypted. */
  readonly period: string;
}

export interface SegmentIntent {
  readonly segmentId: string;
  readonly blobKey: string;
  /** Epoch milliseconds after which the writer is taken for dead; above 0. */
  readonly expiresAt: number;
}

/** An intent whose writer may no longer commit: what is left of it is a file to be removed. */
export type TakenIntent = Pick<SegmentIntent, "segmentId" | "blobKey">;

export interface QuarantineRow {
  readonly role: string;
  readonly collection: string;
  readonly type: string;
  readonly id: string;
  /** The version that was refused last. */
  readonly sequence: number;
  /** The first of the versions, up to `sequence`, that were refused one after another: none of them is held. */
  readonly since: number;
  /**
   * The version that was taken after them, where there is one. The row is kept, as a store may come back
   * older than that version, and what it never held must not be taken back from it.
   */
  readonly passedBy?: number;
  readonly reason: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** What names a quarantined record. */
export type QuarantineKey = Pick<QuarantineRow, "role" | "collection" | "type" | "id">;

/** A version of a quarantined record. */
export type QuarantineVersion = QuarantineKey & Pick<QuarantineRow, "sequence">;

/** Rows of a transactional type's table, written within the commit. */
export interface TableWrite {
  /** Physical name, made from the type's name by core; `pack__table`. */
  readonly table: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly unique: readonly (readonly string[])[];
  readonly rows: readonly {
    readonly id: string;
    readonly sequence: number;
    /** Values in column order, or `undefined` to delete the row. */
    readonly values?: readonly (null | string | number | bigint)[];
  }[];
}
