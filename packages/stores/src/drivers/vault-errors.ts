import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** An answer of Vault that is no success. */
export interface VaultFault {
  readonly status: number;
  /** What it says; shown nowhere as it is, since it may repeat what was sent. */
  readonly errors: readonly string[];
}

interface Reason {
  readonly pattern: RegExp;
  readonly code: StoreErrorCode;
  readonly advice: string;
}

// The texts are those of builtin/logical/transit and of sdk/helper/keysutil/policy.go.
const REASONS: readonly Reason[] = [
  {
    pattern: /message authentication failed|invalid ciphertext|unable to decrypt/,
    code: "refused",
    advice:
      "it does not open: it was wrapped for something else or under another key, or was altered",
  },
  {
    pattern: /disallowed by policy \(too old\)/,
    code: "refused",
    advice: "the key's min_decryption_version no longer allows what was wrapped: lower it",
  },
  { pattern: /key not found/, code: "refused", advice: "there is no such key" },
  {
    pattern: /no handler for route|unsupported path/,
    code: "refused",
    advice: "no transit engine is mounted there",
  },
  {
    pattern: /associated data|associated_data|key type .* does not support/i,
    code: "refused",
    advice: "the key's type does not bind what it wraps: use one of aes256-gcm96",
  },
  { pattern: /sealed/i, code: "unavailable", advice: "it is sealed" },
];

// developer.hashicorp.com/vault/api-docs, "HTTP status codes".
const STATUSES: Readonly<Record<number, readonly [code: StoreErrorCode, advice: string]>> = {
  // An operator can mend these without any change by the caller.
  401: ["unavailable", "it denies access"],
  403: [
    "unavailable",
    "it denies access: the token has expired, or its policy does not allow this key",
  ],
  404: ["refused", "there is no such key, or no transit engine is mounted there"],
  405: ["refused", "no transit engine is mounted there"],
  408: ["unavailable", "it did not read the request in time"],
  412: ["unavailable", "it has not yet read what was just written"],
  413: ["limit", "the request is too large for it"],
  429: ["unavailable", "it takes no more requests just now, or is a standby"],
  473: ["unavailable", "it is a performance standby that cannot answer"],
};

/** Maps what Vault says to a store's error; `doing` is what was tried: `wrap a key`. */
export function mapVaultFault(doing: string, { status, errors }: VaultFault): StoreError {
  const text = errors.join("\n");
  const reason = REASONS.find(({ pattern }) => pattern.test(text));
  const [code, advice] =
    reason === undefined ? byStatus(status) : ([reason.code, reason.advice] as const);
  return new StoreError(code, `Vault could not ${doing}: ${advice} (status ${status})`);
}

/** Maps what the network throws; told by its code alone. */
export function mapVaultNetworkError(doing: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const what =
    cause instanceof Error && "code" in cause ? String(cause.code) : "the connection broke";
  return new StoreError("unavailable", `Vault could not ${doing}: ${what}`, { cause });
}

function byStatus(status: number): readonly [code: StoreErrorCode, advice: string] {
  const known = STATUSES[status];
  if (known !== undefined) return known;
  if (status >= 300 && status < 400)
    return ["unavailable", "it sends elsewhere: name the active node, or one that forwards"];
  return status >= 500
    ? ["unavailable", "it cannot answer just now"]
    : ["refused", "it does not take this request"];
}
