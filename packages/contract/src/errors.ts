/** What a declaration, a filter or an identifier can be wrong about. */
export type ContractErrorCode =
  | "invalid-type"
  | "invalid-record"
  | "invalid-filter"
  | "invalid-id"
  | "invalid-json";

/** Thrown when something handed to Custody does not keep to the contract. Branch on `code`. */
export class ContractError extends Error {
  override readonly name = "ContractError";
  readonly code: ContractErrorCode;
  readonly retryable = false;

  constructor(code: ContractErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
