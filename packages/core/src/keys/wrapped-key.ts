import { KEY_BYTES, NONCE_BYTES, aeadOpen, aeadSeal } from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";
import { CoreError } from "../errors.ts";

/** A secret sealed under another key, as a small JSON file holds it. */
export interface WrappedKey {
  readonly kind: "key";
  /** The wrapping key's id. */
  readonly under: string;
  readonly sealed: Uint8Array;
}

/** What is left of a destroyed key: that it was there. */
export interface DestroyedKey {
  readonly kind: "destroyed";
}

/** A key under which others are wrapped. */
export interface WrappingKey {
  readonly id: string;
  readonly key: Uint8Array;
}

const VERSION = 1;

/**
 * Seals a secret of 32 bytes under a wrapping key, bound to its name.
 *
 * @param nonce 12 random bytes.
 */
export function wrapKey(
  wrapping: WrappingKey,
  name: string,
  secret: Uint8Array,
  nonce: Uint8Array,
): string {
  const input = { key: wrapping.key, nonce, associated: nameBytes(name) };
  const sealed = Buffer.concat([nonce, aeadSeal(input, secret)]).toString("base64url");
  return `${JSON.stringify({ version: VERSION, under: wrapping.id, sealed })}\n`;
}

/** The text that takes a destroyed key's place, as long as the text it overwrites. */
export function destroyedText(length: number = 0): string {
  return `${JSON.stringify({ version: VERSION, destroyed: true }).padEnd(length - 1)}\n`;
}

/** @throws CoreError `damaged` when the text is no wrapped key. */
export function parseWrapped(name: string, text: string): WrappedKey | DestroyedKey {
  const value = parse(name, text);
  if (value["version"] !== VERSION)
    throw damaged(name, `is of version ${String(value["version"])}`);
  if (value["destroyed"] === true) return { kind: "destroyed" };
  const { under, sealed } = value;
  if (typeof under !== "string" || typeof sealed !== "string")
    throw damaged(name, "lacks a member");
  return { kind: "key", under, sealed: Buffer.from(sealed, "base64url") };
}

function parse(name: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch (cause) {
    throw damaged(name, "is not JSON", cause);
  }
  throw damaged(name, "is not a JSON object");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Opens a wrapped secret.
 *
 * @throws CoreError `no-key` when it was wrapped under another key, `damaged` when it was altered.
 */
export function unwrapKey(wrapping: WrappingKey, name: string, wrapped: WrappedKey): Uint8Array {
  if (wrapped.under !== wrapping.id)
    throw new CoreError(
      "no-key",
      `the key ${name} is wrapped under ${wrapped.under}, not ${wrapping.id}`,
    );
  const { sealed } = wrapped;
  const input = {
    key: wrapping.key,
    nonce: sealed.subarray(0, NONCE_BYTES),
    associated: nameBytes(name),
  };
  const secret =
    sealed.byteLength < NONCE_BYTES ? undefined : aeadOpen(input, sealed.subarray(NONCE_BYTES));
  if (secret?.byteLength !== KEY_BYTES) throw damaged(name, "was altered: its seal is broken");
  return Uint8Array.from(secret);
}

function nameBytes(name: string): Uint8Array {
  return associatedData("custody key v1", name);
}

function damaged(name: string, reason: string, cause?: unknown): CoreError {
  return new CoreError("damaged", `the stored key ${name} ${reason}`, { cause });
}
