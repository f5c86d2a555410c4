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
  };

  /**
   * Stores the bytes of a stream. After it resolves they survive power loss; before, or when the
   * stream fails, a reader sees what was there earlier.
   *
   * @throws StoreError `conflict` when `ifAbsent` and the key exists, `limit`, `full`, `read-only`,
   *   `refused` for a malformed key.
   */
  put(
    scope: Scope,
    key: string,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    options?: { readonly ifAbsent?: boolean },
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
  /** Deletes; absence is no error. */
  delete(scope: Scope, key: string): Promise<void>;
  /** Bytes and number of all blobs of the tenant. */
  usage(scope: Scope): Promise<{ readonly blobs: number; readonly bytes: number }>;
}

export interface BlobLimits {
  readonly keyLengthMax: number;
  readonly bytesMax: number;
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
