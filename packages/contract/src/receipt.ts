/** What became of one record type's part of a commit. */
export interface ReceiptEntry {
  readonly type: string;
  readonly operation: "put" | "delete" | "correction" | "restore";
  /** The entry's place in the tenant's journal, counted from 1. */
  readonly sequence: number;
  /** SHA-256 of the entry's canonical bytes, lower-case hex. */
  readonly entryHash: string;
  /** Records this entry holds. */
  readonly accepted: number;
}

/** A journal's state as signed by its custodian (RFC 9162, §4.10: a signed tree head). */
export interface SignedTreeHead {
  readonly tenant: string;
  /** The history this head belongs to; a restore begins another. */
  readonly timeline: string;
  /** Entries in the tree. */
  readonly size: number;
  /** Root of the RFC 9162 tree over the entry hashes, lower-case hex. */
  readonly root: string;
  /** Epoch milliseconds. */
  readonly signedAt: number;
  /** SHA-256 of the public key's SPKI DER bytes, lower-case hex. */
  readonly keyId: string;
  /** Ed25519 (RFC 8032) over the head's canonical bytes, base64url. */
  readonly signature: string;
}

/** What a writer gets back once a commit is durable. */
export interface Receipt {
  readonly tenant: string;
  readonly timeline: string;
  readonly commit: string;
  readonly receivedAt: number;
  readonly entries: readonly ReceiptEntry[];
  /** Records that were there already, by type. */
  readonly duplicates: Readonly<Record<string, number>>;
  /** Records that were refused on their own, by type. */
  readonly rejected: Readonly<Record<string, number>>;
  readonly head: SignedTreeHead;
  /** True when the same commit had been accepted before and this is its first receipt. */
  readonly isReplay: boolean;
}
