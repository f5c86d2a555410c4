/**
 * Every failure core may report. Callers branch on the code; messages are for people and say what
 * to do next.
 *
 * - `usage`: the call itself is wrong (an unknown type, a missing argument).
 * - `invalid`: a record does not keep to its type's schema.
 * - `conflict`: an append-only record would change, `ifVersion` does not hold, a constraint or a
 *   reference is violated, or an idempotency key was used for another commit.
 * - `not-found`: no such record, projection or quarantine row.
 * - `would-lose`: a changed type would drop a field and `acceptLoss` was not given.
 * - `damaged`: the journal is not what its hashes say.
 * - `no-key`: a key was never made here, was destroyed, or does not open under this root key.
 * - `timeout`: the deadline passed first.
 * - `busy`: as much waits to be made durable as may; nothing was written, come again after `retryAfterMs`.
 * - `failed`: a projection or a store cannot go on.
 */
export type CoreErrorCode =
  | "usage"
  | "invalid"
  | "conflict"
  | "not-found"
  | "would-lose"
  | "damaged"
  | "no-key"
  | "timeout"
  | "busy"
  | "failed";

export class CoreError extends Error {
  override readonly name = "CoreError";
  readonly code: CoreErrorCode;
  readonly retryable: boolean;
  /** Where: `redteam/session_evidence 018f…`, `entry 12 of acme`. */
  readonly at: string | undefined;
  /** For `busy`: milliseconds after which the same call is likely to be taken. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: CoreErrorCode,
    message: string,
    options?: ErrorOptions & { readonly at?: string; readonly retryAfterMs?: number },
  ) {
    super(message, options);
    this.code = code;
    this.retryable = code === "timeout" || code === "busy";
    this.at = options?.at;
    this.retryAfterMs = options?.retryAfterMs;
  }
}
