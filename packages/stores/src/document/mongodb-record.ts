import type { Document } from "mongodb";

import { parseJson, stringifyJson } from "@custody/contract/json";

import { StoreError } from "../errors.ts";

/**
 * How a record lies in MongoDB: as a document of its own fields, so that anyone can ask about them.
 *
 * Names that MongoDB's query language takes for something else are written with `%`: a dot, a dollar
 * sign or a digit at the beginning (which would also name an array's element), NUL, `_bsontype`, and
 * white space, which FerretDB does not take.
 * Integers beyond 64 bits are kept as the nearest double, with their digits beside the record. An array
 * within an array is `{"%a": […]}`: no path leads into one, and FerretDB takes none as it is.
 */
export interface StoredRecord {
  readonly record: Document;
  /** Digits of integers beyond 64 bits, by the place where they stand. */
  readonly digits?: Readonly<Record<string, string>>;
}

/** MongoDB takes 100 levels (mongodb.com/docs/manual/reference/limits); some are the envelope's. */
export const DEPTH_MAX = 90;

/** The member that marks an array within an array. */
export const NESTED = "%a";

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** Makes the stored form of a record's JSON text. @throws StoreError `refused` for what BSON cannot hold. */
export function toStored(text: string): StoredRecord {
  const fields = parsed(text);
  const digits: Record<string, string> = {};
  const record = storedValue(fields, { digits, place: "", depth: 0 });
  if (typeof record !== "object" || record === null) {
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
  if (name === "_bsontype") return "%_bsontype";
  // An empty name cannot be part of a path.
  if (name === "") return "%";
  const escaped = SPECIAL.test(name) ? name.replaceAll(new RegExp(SPECIAL, "gu"), hexOf) : name;
  return /^[$0-9]/.test(escaped) ? hexOf(escaped.slice(0, 1)) + escaped.slice(1) : escaped;
}

const SPECIAL = /[%.\0\s\u0085]/u;

function recordName(name: string): string {
  if (!name.includes("%")) return name;
  if (name === "%_bsontype") return "_bsontype";
  if (name === "%") return "";
  return name.replaceAll(/(?:%[0-9A-F]{2})+/g, (bytes) =>
    Buffer.from(bytes.replaceAll("%", ""), "hex").toString("utf8"),
  );
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
  if (at.depth >= DEPTH_MAX) {
    throw new StoreError("refused", `a document nests at most ${DEPTH_MAX} levels`);
  }
  const below = (name: string | number): Place => ({
    digits: at.digits,
    place: `${at.place}/${name}`,
    depth: at.depth + 1,
  });
  if (Array.isArray(value)) {
    return value.map((one, index) => {
      const element = storedValue(one, below(index));
      return Array.isArray(element) ? { [NESTED]: element } : element;
    });
  }
  // Without a prototype, so that a member `__proto__` is one like any other.
  const stored = Object.create(null) as Record<string, unknown>;
  for (const [name, member] of Object.entries(value)) {
    const known = storedName(wellFormed(name));
    stored[known] = storedValue(member, below(known));
  }
  return stored;
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
  digits[storedName(place)] = String(value);
  return Number(value);
}

function recordValue(
  value: unknown,
  digits: Readonly<Record<string, string>>,
  place: string,
): unknown {
  if (typeof value === "number") {
    const kept = digits[storedName(place)];
    return kept === undefined ? value : BigInt(kept);
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    return value.map((one, index) => {
      const element: unknown = isNested(one) ? one[NESTED] : one;
      return recordValue(element, digits, `${place}/${index}`);
    });
  }
  const record: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    const own = recordValue(member, digits, `${place}/${name}`);
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

function isNested(value: unknown): value is { readonly [NESTED]: unknown } {
  return typeof value === "object" && value !== null && Object.hasOwn(value, NESTED);
}
