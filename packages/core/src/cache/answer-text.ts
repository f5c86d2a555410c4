import { parseJson, stringifyJson } from "@custody/contract/json";

/**
 * Writes an answer as JSON text that gives the very same value back: integers keep being bigint or
 * number, NaN and infinities stay. An object that happens to look like a mark is written so that it
 * comes back as itself.
 */
export function answerText(value: unknown): string {
  return stringifyJson(marked(value));
}

/** Reads what {@link answerText} wrote. */
export function parseAnswer(text: string): unknown {
  return unmarked(parseJson(text));
}

const MARK = "$";

function marked(value: unknown): unknown {
  if (typeof value === "bigint") return { [MARK]: "bigint", value: String(value) };
  if (typeof value === "number" && !isPlain(value)) {
    return { [MARK]: "number", value: Object.is(value, -0) ? "-0" : String(value) };
  }
  if (Array.isArray(value)) return value.map(marked);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([name, member]) => [name, marked(member)] as const);
  const plain = Object.fromEntries(members);
  return Object.hasOwn(value, MARK) ? { [MARK]: "object", value: members } : plain;
}

/** Whether JSON text gives the number back as a number: an integer beyond 2^53 comes back as a bigint. */
function isPlain(value: number): boolean {
  if (Object.is(value, -0)) return false;
  return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
}

function unmarked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unmarked);
  if (typeof value !== "object" || value === null) return value;
  if (!isMark(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, unmarked(member)]),
    );
  }
  const { [MARK]: kind, value: held } = value;
  if (kind === "bigint") return BigInt(String(held));
  if (kind === "number") return Number(held);
  const members = held as readonly (readonly [string, unknown])[];
  return Object.fromEntries(members.map(([name, member]) => [name, unmarked(member)]));
}

function isMark(value: object): value is { readonly $: unknown; readonly value: unknown } {
  return Object.hasOwn(value, MARK);
}
