import { ContractError } from "./errors.ts";

/** A value that JSON can carry; whole numbers beyond 2^53 are `bigint`, so that none is rounded. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** A JSON object. */
export type JsonObject = { readonly [name: string]: JsonValue };

// Sixteen digits in a row may be a number that a double cannot hold (2^53 has sixteen digits).
const LONG_DIGITS = 16;

/**
 * Parses JSON text without rounding whole numbers: those beyond ±(2^53-1) come back as `bigint`.
 * A member named `__proto__` becomes an own property, as `JSON.parse` makes it.
 *
 * @throws ContractError `invalid-json` when the text is not JSON (RFC 8259).
 */
export function parseJson(text: string): JsonValue {
  try {
    const value: unknown = hasLongDigits(text) ? JSON.parse(text, exactNumber) : JSON.parse(text);
    return value as JsonValue;
  } catch (cause) {
    throw new ContractError("invalid-json", `not JSON: ${(cause as Error).message}`, { cause });
  }
}

/** Whether a text has sixteen digits in a row: one of them stands at a place that 16 divides. */
function hasLongDigits(text: string): boolean {
  for (let at = LONG_DIGITS - 1; at < text.length; at += LONG_DIGITS) {
    if (isDigit(text, at) && digitsAround(text, at) >= LONG_DIGITS) return true;
  }
  return false;
}

function digitsAround(text: string, at: number): number {
  let first = at;
  while (isDigit(text, first - 1)) first -= 1;
  let last = at;
  while (isDigit(text, last + 1)) last += 1;
  return last - first + 1;
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 48 && code <= 57;
}

function exactNumber(_name: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source ?? "";
  return /^-?\d+$/.test(source) ? BigInt(source) : value;
}

/** Writes JSON text; `bigint` is written as a bare whole number. */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    // A replacer costs ten times the time, so it is used only where a bigint asks for it.
    if (cause instanceof TypeError) return JSON.stringify(value, writeBigint);
    throw cause;
  }
}

// `JSON.rawJSON` (ECMAScript proposal "JSON.parse source text access", in V8 since Node 22).
const JSON_WITH_RAW = JSON as unknown as { readonly rawJSON: (text: string) => unknown };

function writeBigint(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? JSON_WITH_RAW.rawJSON(value.toString()) : value;
}

/**
 * Writes JSON in one canonical form: members sorted by UTF-16 code units, no white space, numbers
 * as ECMAScript prints them. The rules are those of RFC 8785, and `bigint` is a bare whole number.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members: string[] = [];
  for (const name of Object.keys(value).sort()) {
    const member = (value as Record<string, unknown>)[name];
    if (member !== undefined) members.push(`${JSON.stringify(name)}:${canonicalJson(member)}`);
  }
  return `{${members.join(",")}}`;
}
