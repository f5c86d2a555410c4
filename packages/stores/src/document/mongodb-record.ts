import type { Document } from "mongodb";

import { parseJson, stringifyJson } from "@custody/contract/json";

import { StoreError } from "../errors.ts";

/**
 * How a record lies in MongoDB: as a document of its own fields, so that anyone can ask about them.
 *
 * Names that MongoDB's query language takes for something else are written with `%`: a dot, a dollar
 * sign or a digit at the beginning (which would also name an array's element), NUL, names that the
 * driver takes for something else (`constructor`), and white space, which FerretDB does not take.
 * Integers beyond 64 bits are kept as the nearest double, with their digits beside the record. An array
 * within an array is kept as bytes of JSON: no path leads into one, whereas one would lead into any object
 * that stood for it, and FerretDB takes none as it is.
 */
export interface StoredRecord {
  readonly record: Document;
  /** Digits of integers beyond 64 bits, by the place where they stand: `/labels/0`. */
  readonly digits?: Readonly<Record<string, string>>;
}

/** MongoDB takes 100 levels (mongodb.com/docs/manual/reference/limits); some are the envelope's. */
export const DEPTH_MAX = 90;

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** Makes the stored form of a record's JSON text. @throws StoreError `refused` for what BSON cannot hold. */
export function toStored(text: string): StoredRecord {
  const fields = parsed(text);
  const digits: Record<string, string> = {};
  const record = storedValue(fields, { digits, place: "", depth: 0 });
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    throw new StoreError("refused", "a document is a JSON object");
  }
  const isExact = Object.keys(digits).length === 0;
  return isExact ? { record } : { record, digits };
}

/** The record as it is stored. */
export function fromStored({ record, digits }: StoredRecord): unknown {
  return recordValue(record, digits ?? {}, "");
}

/** The JSON text of a stored record. */
export function storedText(stored: StoredRecord): string {
  return stringifyJson(fromStored(stored));
}

/** The name under which a member lies. */
export function storedName(name: string): string {
  if (isReserved(name)) return `%${name}`;
  // An empty name cannot be part of a path.
  if (name === "") return "%";
  const escaped = SPECIAL.test(name) ? name.replaceAll(new RegExp(SPECIAL, "gu"), hexOf) : name;
  return /^[$0-9]/.test(escaped) ? hexOf(escaped.slice(0, 1)) + escaped.slice(1) : escaped;
}

const SPECIAL = /[%.\0\s\u0085]/u;

function recordName(name: string): string {
  if (!name.includes("%")) return name;
  if (name === "%") return "";
  if (name.startsWith("%") && isReserved(name.slice(1))) return name.slice(1);
  return name.replaceAll(/(?:%[0-9A-F]{2})+/g, (bytes) =>
    Buffer.from(bytes.replaceAll("%", ""), "hex").toString("utf8"),
  );
}

/**
 * Names that the driver takes for something else: `_bsontype`, and those of members that every object of
 * JavaScript has. Of an array of such a name it gives back elements as raw bytes (bson 7, `fieldsAsRaw[name]`).
 */
function isReserved(name: string): boolean {
  return name === "_bsontype" || name in Object.prototype;
}

/** `%2E` for a dot: the UTF-8 bytes in hex. */
function hexOf(text: string): string {
  return Buffer.from(text).toString("hex").toUpperCase().replaceAll(/../g, "%$&");
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new StoreError("refused", "the record is not JSON", { cause });
  }
}

interface Place {
  readonly digits: Record<string, string>;
  readonly place: string;
  readonly depth: number;
}

function storedValue(value: unknown, at: Place): unknown {
  if (typeof value === "string") return wellFormed(value);
  if (typeof value === "bigint") return storedInteger(value, at);
  if (typeof value !== "object" || value === null) return value;
  checkDepth(at.depth);
  const below = (name: string | number): Place => ({
    digits: at.digits,
    place: placeBelow(at.place, name),
    depth: at.depth + 1,
  });
  if (Array.isArray(value)) {
    return value.map((one: unknown, index) =>
      Array.isArray(one) ? nestedArray(one, at.depth + 1) : storedValue(one, below(index)),
    );
  }
  // Without a prototype, so that a member `__proto__` is one like any other.
  const stored = Object.create(null) as Record<string, unknown>;
  for (const [name, member] of Object.entries(value)) {
    const known = storedName(wellFormed(name));
    stored[known] = storedValue(member, below(known));
  }
  return stored;
}

function nestedArray(array: readonly unknown[], depth: number): Uint8Array {
  checkDepths(array, depth);
  return Buffer.from(stringifyJson(array));
}

function checkDepths(value: unknown, depth: number): void {
  if (typeof value !== "object" || value === null) return;
  checkDepth(depth);
  for (const member of Object.values(value)) checkDepths(member, depth + 1);
}

function checkDepth(depth: number): void {
  if (depth < DEPTH_MAX) return;
  throw new StoreError("refused", `a document nests at most ${DEPTH_MAX} levels`);
}

/** A name may hold a slash, which then is none between two. */
function placeBelow(place: string, name: string | number): string {
  return `${place}/${typeof name === "number" ? name : name.replaceAll("/", "%2F")}`;
}

/** BSON holds UTF-8, in which half of a surrogate pair has no form and would become another character. */
function wellFormed(text: string): string {
  if (text.isWellFormed()) return text;
  throw new StoreError(
    "refused",
    "a text holds half of a surrogate pair, which MongoDB cannot keep",
  );
}

function storedInteger(value: bigint, { digits, place }: Place): bigint | number {
  if (value <= INT64_MAX && value >= INT64_MIN) return value;
  digits[place] = String(value);
  return Number(value);
}

function recordValue(
  value: unknown,
  digits: Readonly<Record<string, string>>,
  place: string,
): unknown {
  if (typeof value === "number") {
    const kept = digits[place];
    // Digits of another number are what was left when somebody changed this one.
    return kept !== undefined && /^-?\d+$/.test(kept) && Number(kept) === value
      ? BigInt(kept)
      : value;
  }
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return arrayOf(value);
  if (Array.isArray(value)) {
    return value.map((one, index) => recordValue(one, digits, placeBelow(place, index)));
  }
  const record: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    const own = recordValue(member, digits, placeBelow(place, name));
    const known = recordName(name);
    // Assigning to `__proto__` would set the prototype.
    if (known === "__proto__") {
      Object.defineProperty(record, known, {
        value: own,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    } else record[known] = own;
  }
  return record;
}

function arrayOf(bytes: Uint8Array): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  try {
    return parseJson(text);
  } catch {
    // Nothing that Custody has written; it differs from whatever should be there.
    return { bytes: text };
  }
}
