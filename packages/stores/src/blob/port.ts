import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";

/**
 * Blob: bytes under a key, written whole or not at all.
 *
 * Keys are slash-separated, 1 to 512 of `A-Z a-z 0-9 . _ - /`, without empty, `.` or `..` parts and
 * with at most 200 characters in a part: they become file names ({@link checkBlobKey}).
 * Core seals what must be secret before it comes here. Keys are per tenant.
 */
export interface BlobStore extends AsyncDisposable {
  readonly role: "blob";
  readonly engine: string;
  readonly limits: BlobLimits;
  readonly capabilities: {
    /** True when `a` and `a/b` may both be keys; where it is false the later of them is refused. */
    readonly canNestKeys: boolean;
    /** False where of several writers at once more than one may be told that the key was absent. */
    readonly isIfAbsentExact: boolean;
    /** True when the store itself keeps a blob from being deleted: `retain`, `legalHold`, `protection`. */
    readonly canRetain: boolean;
    /** True when `presign` gives addresses that others may read from without credentials of their own. */
    readonly canPresign: boolean;
    /** True when `put` takes a storage class. */
    readonly hasStorageClasses: boolean;
  };

  /**
   * Stores the bytes of a stream. After it resolves they survive power loss; before, or when the
   * stream fails, a reader sees what was there earlier.
   *
   * A put over a retained blob does not destroy it: the store keeps the retained bytes beside the new.
   *
   * @throws StoreError `conflict` when `ifAbsent` and the key exists, `limit`, `full`, `read-only`,
   *   `refused` for a malformed key, `unsupported` for a storage class where there are none.
   */
  put(
    scope: Scope,
    key: string,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    options?: BlobPutOptions,
  ): Promise<BlobInfo>;

  /**
   * The whole blob, or the bytes `start <= i < end` as far as it reaches; `undefined` when there is
   * none. For small things and parts.
   */
  read(
    scope: Scope,
    key: string,
    range?: { readonly start: number; readonly end: number },
  ): Promise<Uint8Array | undefined>;
  /** Streams a blob in chunks; `undefined` when there is none. */
  stream(scope: Scope, key: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  stat(scope: Scope, key: string): Promise<BlobInfo | undefined>;
  /** Keys that begin with `prefix`, in code-unit order. */
  list(
    scope: Scope,
    prefix: string,
    options: { readonly limit: number; readonly after?: string },
  ): Promise<readonly BlobInfo[]>;
  /**
   * Deletes, where the store keeps earlier versions all of them; absence is no error.
   *
   * @throws StoreError `conflict` when a retention or a legal hold protects the blob, or a version of it.
   */
  delete(scope: Scope, key: string): Promise<void>;
  /** Bytes and number of all blobs of the tenant. */
  usage(scope: Scope): Promise<{ readonly blobs: number; readonly bytes: number }>;

  /**
   * Keeps a blob from being deleted, by anyone, until an instant; it may be prolonged, not shortened.
   *
   * @throws StoreError `unsupported` without `canRetain`, `conflict` when it would end a retention
   *   earlier, `refused` when there is no such blob.
   */
  retain(scope: Scope, key: string, retention: BlobRetention): Promise<void>;
  /**
   * Puts a legal hold on a blob or takes it off: while it is on, the blob cannot be deleted, however
   * old it is. Setting it again changes nothing.
   *
   * @throws StoreError `unsupported` without `canRetain`, `refused` when there is no such blob.
   */
  legalHold(scope: Scope, key: string, isOn: boolean): Promise<void>;
  /**
   * What protects a blob; `undefined` when there is none.
   *
   * @throws StoreError `unsupported` without `canRetain`.
   */
  protection(scope: Scope, key: string): Promise<BlobProtection | undefined>;
  /**
   * An address from which anyone who has it may read the blob, until it expires. It is made here, so
   * it is answered for a blob that does not exist as well.
   *
   * @throws StoreError `unsupported` without `canPresign`, `limit` when it would live for longer than
   *   `limits.presignMsMax`.
   */
  presign(scope: Scope, key: string, options: BlobPresignOptions): Promise<string>;
}

export interface BlobPutOptions {
  /** Refuses to replace a blob that is there. */
  readonly ifAbsent?: boolean;
  /** How the store keeps the bytes, in its own words (`STANDARD_IA`); default as the store is configured. */
  readonly storageClass?: string;
}

export interface BlobRetention {
  /** Epoch milliseconds. */
  readonly until: number;
  /** `governance` may be lifted by whom the store's operator trusts with it, `compliance` by no one. */
  readonly mode: "governance" | "compliance";
}

export interface BlobProtection {
  readonly isHeld: boolean;
  /** Absent where there is none; it may be over. */
  readonly retention?: BlobRetention;
}

export interface BlobPresignOptions {
  /** Life of the address in milliseconds from now; rounded up to whole seconds. */
  readonly expiresMs: number;
  readonly method: "GET";
}

export interface BlobLimits {
  readonly keyLengthMax: number;
  readonly bytesMax: number;
  /** Longest life of a presigned address; 0 where there are none. */
  readonly presignMsMax: number;
}

export interface BlobInfo {
  readonly key: string;
  readonly bytes: number;
  /** Epoch milliseconds. */
  readonly modifiedAt: number;
}

/** Longest key; with a data directory before it, it stays below PATH_MAX of 4,096. */
export const BLOB_KEY_LENGTH_MAX = 512;

const KEY_PART = /^[A-Za-z0-9._-]{1,200}$/;

/** Answers a well-formed key as it is, so that no engine invents its own rules. @throws StoreError `refused`. */
export function checkBlobKey(key: string): string {
  const isFine =
    key.length <= BLOB_KEY_LENGTH_MAX &&
    key.split("/").every((part) => KEY_PART.test(part) && part !== "." && part !== "..");
  if (isFine) return key;
  throw new StoreError(
    "refused",
    `not a blob key: ${JSON.stringify(key.slice(0, 80))}; use 1 to ${BLOB_KEY_LENGTH_MAX} of A-Z a-z 0-9 . _ - /`,
  );
}
