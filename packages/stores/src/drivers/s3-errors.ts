import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";
import { awsFailureOf, awsStatusOf } from "./aws-sdk-errors.ts";

// docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and MinIO's cmd/api-errors.go.
const CODES: Readonly<Record<string, StoreErrorCode>> = {
  PreconditionFailed: "conflict",
  BucketAlreadyOwnedByYou: "conflict",
  ObjectLocked: "conflict",
  // Another writer of the key is under way.
  ConditionalRequestConflict: "unavailable",
  OperationAborted: "unavailable",
  EntityTooLarge: "limit",
  KeyTooLongError: "limit",
  InvalidArgument: "refused",
  MalformedXML: "refused",
  NotImplemented: "unsupported",
  InvalidStorageClass: "refused",
  QuotaExceeded: "full",
  XMinioStorageFull: "full",
  XMinioAdminBucketQuotaExceeded: "full",
  SlowDown: "unavailable",
  ServiceUnavailable: "unavailable",
  InternalError: "unavailable",
  RequestTimeout: "unavailable",
  RequestTimeTooSkewed: "unavailable",
  // What arrived is not what was sent.
  BadDigest: "unavailable",
  XAmzContentSHA256Mismatch: "unavailable",
  XAmzContentChecksumMismatch: "unavailable",
  // An operator can mend these without any change by the caller.
  InvalidAccessKeyId: "unavailable",
  SignatureDoesNotMatch: "unavailable",
  ExpiredToken: "unavailable",
  InvalidToken: "unavailable",
  CredentialsProviderError: "unavailable",
  PermanentRedirect: "unavailable",
  NoSuchBucket: "unavailable",
  // Archived, and to be restored before it can be read.
  InvalidObjectState: "unavailable",
  NoSuchUpload: "unavailable",
};

const ADVICE: Readonly<Record<string, string>> = {
  NoSuchBucket: "the bucket is not there: make it, or add create=true to the URL",
  BucketAlreadyExists: "the bucket belongs to someone else: choose another name",
  PermanentRedirect: "the bucket is in another region: name it with region= in the URL",
  InvalidObjectState: "the blob is archived: restore it first",
};

// HEAD is answered without a body, hence without a code.
const STATUSES: Readonly<Record<number, StoreErrorCode>> = {
  409: "conflict",
  412: "conflict",
  413: "limit",
  429: "unavailable",
  500: "unavailable",
  502: "unavailable",
  503: "unavailable",
  504: "unavailable",
  507: "full",
};

/** Maps what the S3 library throws; what is no answer of a server is the network's, hence `unavailable`. */
export function mapS3Error(
  of: { readonly doing: string; readonly isWrite?: boolean },
  cause: unknown,
): StoreError {
  if (cause instanceof StoreError) return cause;
  const name = cause instanceof Error ? cause.name : "unknown";
  const status = awsStatusOf(cause);
  const what = ADVICE[name] ?? (status === undefined ? awsFailureOf(cause) : `${name} (${status})`);
  return new StoreError(codeOf(name, status, of.isWrite), `S3 could not ${of.doing}: ${what}`, {
    cause,
  });
}

/** True when the server said so by this code or, where an answer has no body, by its status. */
export function isS3Answer(cause: unknown, names: readonly string[], status?: number): boolean {
  if (!(cause instanceof Error)) return false;
  return names.includes(cause.name) || (status !== undefined && awsStatusOf(cause) === status);
}

function codeOf(name: string, status: number | undefined, isWrite = false): StoreErrorCode {
  const known = CODES[name];
  if (known !== undefined) return known;
  if (name === "AccessDenied" || status === 403) return isWrite ? "read-only" : "unavailable";
  if (status === undefined) return "unavailable";
  return STATUSES[status] ?? "refused";
}
