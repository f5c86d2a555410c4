import { canonicalJson, parseJson } from "@custody/contract/json";

import { CoreError } from "../../errors.ts";

/** Canonical JSON (RFC 8785) as the UTF-8 bytes that are hashed or signed. */
export function canonicalBytes(value: object): Uint8Array {
  return Buffer.from(canonicalJson(value));
}

/**
 * Parses bytes that must be one canonical JSON object.
 *
 * @param what the thing's name, for messages: `an entry`.
 * @throws CoreError `damaged` when they are not; the message says how.
 */
export function parseCanonical(bytes: Uint8Array, what: string): Readonly<Record<string, unknown>> {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value = parse(view.toString("utf8"), what);
  if (!isObject(value)) throw new CoreError("damaged", `${what} is not a JSON object`);
  // Comparing bytes also refuses what was not valid UTF-8 and a member that occurs twice.
  if (!view.equals(Buffer.from(canonicalJson(value))))
    throw new CoreError("damaged", `${what} is not in canonical form (RFC 8785)`);
  return value;
}

function parse(text: string, what: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new CoreError("damaged", `${what} is not JSON`, { cause });
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads the members of a parsed object, each with its type; complains by the member's name. */
export class Members {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #what: string;

  constructor(object: unknown, what: string) {
    if (!isObject(object)) throw new CoreError("damaged", `${what} is not a JSON object`);
    this.#object = object;
    this.#what = what;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  get(name: string): unknown {
    if (this.has(name)) return this.#object[name];
    throw new CoreError("damaged", `${this.#what} has no member ${name}`);
  }

  /** Non-empty text, or what the pattern asks. */
  text(name: string, pattern: RegExp = /^.+$/su): string {
    const value = this.get(name);
    // RFC 8785 §3.2.2.2: half a surrogate pair has no canonical form.
    if (typeof value === "string" && value.isWellFormed() && pattern.test(value)) return value;
    throw this.#refuse(name, `well-formed text of the form ${pattern.source}`);
  }

  optionalText(name: string, pattern?: RegExp): string | undefined {
    return this.has(name) ? this.text(name, pattern) : undefined;
  }

  nullableText(name: string, pattern: RegExp): string | null {
    return this.get(name) === null ? null : this.text(name, pattern);
  }

  /** A whole number from `min` to 2^53 - 1. */
  whole(name: string, min: number): number {
    const value = this.get(name);
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= min) return value;
    throw this.#refuse(name, `a whole number of at least ${min}`);
  }

  nullableWhole(name: string): number | null {
    return this.get(name) === null ? null : this.whole(name, Number.MIN_SAFE_INTEGER);
  }

  /** @throws CoreError `damaged` when there is a member that is not in the list. */
  allow(names: readonly string[]): void {
    for (const name of Object.keys(this.#object))
      if (!names.includes(name))
        throw new CoreError("damaged", `${this.#what} has an unknown member ${name.slice(0, 80)}`);
  }

  #refuse(name: string, wanted: string): CoreError {
    return new CoreError("damaged", `${this.#what}: the member ${name} must be ${wanted}`);
  }
}

/** A SHA-256 hash as 64 lower-case hex digits. */
export const HASH_HEX: RegExp = /^[0-9a-f]{64}$/;
