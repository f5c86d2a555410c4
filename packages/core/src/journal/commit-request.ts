import type { EntrySource } from "./format/entry.ts";

/** Records of one type to be committed. */
export interface CommitPart {
  readonly type: string;
  /** New or changed records: their fields. */
  readonly put?: readonly CommitRecord[];
  /** Ids of records to be deleted. */
  readonly delete?: readonly string[];
}

/** A record's fields, and where in its source it stood. */
export interface CommitRecord {
  readonly fields: unknown;
  /** `line 12`, or an RFC 6901 pointer. */
  readonly place?: string;
  /** The id that the record had in another history of the journal; a restore gives it, nobody else. */
  readonly keptId?: string;
}

/** How a commit is to be taken. */
export interface CommitOptions {
  /** The same key again is answered with the first receipt; with other content it is a conflict. */
  readonly idempotencyKey?: string;
  /** Version (sequence) each id must have; 0 for one that must not exist. By type, then id. */
  readonly ifVersion?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly source?: EntrySource;
  /**
   * What becomes of a record that cannot be taken on its own (invalid, an append-only record that
   * would change, an unknown reference): `refuse` the commit (default) or `reject` that record.
   */
  readonly onBad?: "refuse" | "reject";
  /** Lets a changed append-only record through as a correction of what this commit wrote. */
  readonly corrects?: string;
  /** Records that outlive a restore: they are taken also where what they name is not there any more. */
  readonly isCarriedOver?: boolean;
}

/** A record that was not taken, with its reason. */
export interface Rejection {
  readonly type: string;
  readonly id?: string;
  readonly place?: string;
  readonly reason: string;
  /** Its position in the part's `put`. */
  readonly index: number;
}
