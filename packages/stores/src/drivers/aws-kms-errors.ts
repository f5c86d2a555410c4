import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";
import { awsFailureOf, awsStatusOf } from "./aws-sdk-errors.ts";

// docs.aws.amazon.com/kms/latest/APIReference: API_Encrypt, API_Decrypt and CommonErrors.
const CODES: Readonly<Record<string, StoreErrorCode>> = {
  NotFoundException: "refused",
  InvalidCiphertextException: "refused",
  IncorrectKeyException: "refused",
  InvalidKeyUsageException: "refused",
  InvalidArnException: "refused",
  ValidationException: "refused",
  LimitExceededException: "limit",
  // An operator can mend these without any change by the caller.
  AccessDeniedException: "unavailable",
  DisabledException: "unavailable",
  KMSInvalidStateException: "unavailable",
  KeyUnavailableException: "unavailable",
  DependencyTimeoutException: "unavailable",
  KMSInternalException: "unavailable",
  ThrottlingException: "unavailable",
  ServiceUnavailable: "unavailable",
  InvalidGrantTokenException: "unavailable",
  UnrecognizedClientException: "unavailable",
  InvalidClientTokenId: "unavailable",
  InvalidSignatureException: "unavailable",
  SignatureDoesNotMatch: "unavailable",
  IncompleteSignature: "unavailable",
  MissingAuthenticationToken: "unavailable",
  ExpiredTokenException: "unavailable",
  OptInRequired: "unavailable",
  CredentialsProviderError: "unavailable",
};

const DENIED =
  "it denies access, or does not know the key; check the credentials, the key's policy and the region";

const ADVICE: Readonly<Record<string, string>> = {
  NotFoundException: "there is no such key in this region and account",
  InvalidCiphertextException:
    "it does not open: it was wrapped for something else, or was altered, or the key is another's",
  IncorrectKeyException: "it was wrapped under another key",
  InvalidKeyUsageException: "the key is not one for symmetric encryption (SYMMETRIC_DEFAULT)",
  AccessDeniedException: DENIED,
  UnrecognizedClientException: DENIED,
  InvalidClientTokenId: DENIED,
  InvalidSignatureException: DENIED,
  SignatureDoesNotMatch: DENIED,
  ExpiredTokenException: "the credentials have expired",
  CredentialsProviderError:
    "there are no credentials: give them in the URL, or as the AWS command line takes them",
  DisabledException: "the key is disabled: enable it",
  KMSInvalidStateException: "the key is not enabled: it is pending deletion or import",
};

/** Maps what the KMS library throws; what is no answer of the service is the network's, hence `unavailable`. */
export function mapAwsKmsError(doing: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const name = cause instanceof Error ? cause.name : "unknown";
  const status = awsStatusOf(cause);
  const told = status === undefined ? awsFailureOf(cause) : `${name} (${status})`;
  const advice = ADVICE[name];
  return new StoreError(
    CODES[name] ?? codeOf(status),
    `AWS KMS could not ${doing}: ${advice === undefined ? told : `${advice} (${name})`}`,
    { cause },
  );
}

function codeOf(status: number | undefined): StoreErrorCode {
  const isRefusal = status !== undefined && status >= 400 && status < 500;
  return isRefusal && ![401, 403, 408, 429].includes(status) ? "refused" : "unavailable";
}
