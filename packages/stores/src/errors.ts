/**
 * Every failure a store may report. Callers branch on the code, never on message text.
 *
 * - `conflict`: a constraint or an expected version does not hold.
 * - `limit`: larger, longer or more than the store takes.
 * - `refused`: this record or this query is not acceptable to the engine.
 * - `unavailable`: the store cannot be reached, is locked or did not answer in time; retry later.
 * - `full`: no space left to write; reads go on.
 * - `read-only`: the store's files may not be written.
 * - `corrupt`: the store's own data is damaged; rebuild it.
 * - `unsupported`: a capability this engine does not have.
 */
export type StoreErrorCode =
  | "conflict"
  | "limit"
  | "refused"
  | "unavailable"
  | "full"
  | "read-only"
  | "corrupt"
  | "unsupported";

export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;
  /** True when the same call may succeed later without any change by the caller. */
  readonly retryable: boolean;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.retryable = code === "unavailable" || code === "full";
  }
}
