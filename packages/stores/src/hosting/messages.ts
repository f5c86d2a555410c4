import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** Which store a thread is to open: a module, the function in it, and plain options. */
export interface StoreSpec {
  /** `file:` URL of the engine's module. */
  readonly module: string;
  /** Name of its `open…` function. */
  readonly open: string;
  /** Structured-cloneable; the thread adds its clock. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** What is asked of the thread. Object 0 is the thread itself, which knows only `open`. */
export interface Request {
  readonly call: number;
  readonly object: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** What the thread answers. */
export type Response =
  | { readonly call: number; readonly value: unknown }
  | {
      readonly call: number;
      readonly object: number;
      readonly facts: Readonly<Record<string, unknown>>;
    }
  | { readonly call: number; readonly error: PlainError };

/** An error as it crosses the thread boundary, where classes are lost. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
  readonly stack: string | undefined;
}

/** The method by which an object is disposed of: a symbol does not cross the boundary. */
export const DISPOSE = "dispose";

/** Makes an error plain. */
export function plainError(cause: unknown): PlainError {
  if (!(cause instanceof Error)) {
    return { name: "Error", message: String(cause), code: undefined, stack: undefined };
  }
  const code = "code" in cause ? String(cause.code) : undefined;
  return { name: cause.name, message: cause.message, code, stack: cause.stack };
}

/** Makes a plain error an error of its class again. */
export function revivedError({ name, message, code, stack }: PlainError): Error {
  const cause = new Error(message);
  if (stack !== undefined) cause.stack = stack;
  if (name === "StoreError" && isStoreErrorCode(code))
    return new StoreError(code, message, { cause });
  return cause;
}

const STORE_ERROR_CODES: ReadonlySet<string> = new Set<StoreErrorCode>([
  "conflict",
  "limit",
  "refused",
  "unavailable",
  "full",
  "read-only",
  "corrupt",
  "unsupported",
]);

function isStoreErrorCode(code: string | undefined): code is StoreErrorCode {
  return code !== undefined && STORE_ERROR_CODES.has(code);
}
