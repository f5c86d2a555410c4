import type { TreeHeadSigner } from "../journal/format/tree-head.ts";

/**
 * KeyService: the keys under which a tenant's data is sealed, hashed and signed.
 *
 * A key that is answered is durable: what is sealed with it can be opened after a crash. Destroying a
 * key is what makes the data under it unreadable in every copy, so it must leave no copy of the key.
 * Keys are 32 bytes; a caller may hold one while it works and must not store it.
 *
 * @throws CoreError from any method: `no-key` when the key does not exist, was destroyed or does not
 *   open under the root key; `damaged` when the stored key is not what was written.
 */
export interface KeyService extends AsyncDisposable {
  /** The keys' copy elsewhere; absent where the service itself keeps its keys from being lost. */
  readonly backup?: KeyBackup;

  /**
   * The key that seals a tenant's segments of one month.
   *
   * @param period `YYYY-MM`.
   * @param options.create makes the key where there is none; for writers. A reader leaves it out, so that
   *   a lost key is reported as lost.
   */
  tenantKey(tenant: string, period: string, options?: KeyOptions): Promise<Uint8Array>;

  /** The tenant's secret for keyed hashes (see `keyed-hash.ts`); made on first use, never changed. */
  hashKey(tenant: string): Promise<Uint8Array>;

  /**
   * The secret under which owners' names become names of files, one for the installation; made on first
   * use, never changed.
   */
  ownerSalt(): Promise<Uint8Array>;

  /**
   * The secret from which the keys of data backups are derived, one for the installation; made on first
   * use, never changed: old backups stay readable.
   */
  backupKey(): Promise<Uint8Array>;

  /** Signs the tenant's tree heads; the key pair is made on first use. */
  signer(tenant: string): Promise<TreeHeadSigner>;

  /** The key of one data subject's personal fields. With `create`, `no-key` only when it was destroyed. */
  subjectKey(tenant: string, subject: string, options?: KeyOptions): Promise<Uint8Array>;
  /**
   * The keys of many subjects at once, in their order: new ones are made durable together. A key that
   * was destroyed is `undefined`, and so is one that does not exist unless `create`.
   */
  subjectKeys(
    tenant: string,
    subjects: readonly string[],
    options?: KeyOptions,
  ): Promise<readonly (Uint8Array | undefined)[]>;
  /**
   * Destroys a subject's key for ever, also one not made yet. Again is no error. Once it resolves there is
   * no copy in the key backup either; when it rejects, the key may be gone here and its copy not: call it
   * again, also when `isSubjectDestroyed` says that it was.
   */
  destroySubjectKey(tenant: string, subject: string): Promise<void>;
  isSubjectDestroyed(tenant: string, subject: string): Promise<boolean>;

  /** The key of one original file. */
  originalKey(tenant: string, blobId: string, options?: KeyOptions): Promise<Uint8Array>;
  /** Destroys an original file's key for ever, as `destroySubjectKey` does. Again is no error. */
  destroyOriginalKey(tenant: string, blobId: string): Promise<void>;
  isOriginalDestroyed(tenant: string, blobId: string): Promise<boolean>;
}

/** Whether a missing key is made. */
export interface KeyOptions {
  readonly create?: boolean;
}

/**
 * KeyBackup: the copy of all keys that lies elsewhere, wrapped, without history: a key that is destroyed
 * is destroyed there too. It is never part of a backup of data.
 */
export interface KeyBackup {
  /**
   * Checks that there is one, under this root key, that held every key once.
   *
   * @throws CoreError `usage` saying how one is made.
   */
  require(): Promise<void>;
  /** Brings it up to date: when it resolves, every key made before the call is in it. */
  sync(): Promise<KeyBackupReport>;
}

/** What bringing a key backup up to date did. */
export interface KeyBackupReport {
  /** Keys in it, without destroyed ones. */
  readonly keys: number;
  /** Destroyed keys that it remembers as destroyed. */
  readonly destroyed: number;
  /** Packs and bytes written; packs that had not changed are left. */
  readonly written: number;
  readonly bytes: number;
  /** Keys that are in it and were lost here. */
  readonly missingHere: number;
  /** Keys whose files here cannot be opened, and which it holds whole. */
  readonly damagedHere: number;
  /** Keys it knew as destroyed that were here again, and were destroyed again: an old copy was put back. */
  readonly destroyedHere: number;
}
