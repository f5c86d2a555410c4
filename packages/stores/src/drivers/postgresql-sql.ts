import { hash } from "node:crypto";

import { StoreError } from "../errors.ts";
import { assembleSql, quoteName } from "./sql-fragment.ts";
import type { SqlFragmentOf } from "./sql-fragment.ts";

/** What a statement binds. Text must not hold NUL: see {@link storedText}. Bytes become `bytea`. */
export type PgValue = null | string | number | bigint | boolean | Uint8Array;

/** A piece of SQL for PostgreSQL with the values bound in it. */
export interface PgFragment extends SqlFragmentOf<PgValue> {
  /** True for one that is prepared once a connection, where the connection allows it. */
  readonly isPrepared?: boolean;
}

// Neither SQL text nor a quoted name can hold NUL, whereas `?` is an operator of jsonb.
const PLACE = "\0";
// The protocol counts them in 16 bits (postgresql.org/docs/current/protocol-message-formats.html, Bind).
const VALUES_MAX = 65_535;

/** Writes a fragment: fragments in `${}` are put in as they are, anything else is bound. */
export function sql(
  strings: TemplateStringsArray,
  ...parts: readonly (PgFragment | PgValue)[]
): PgFragment {
  const fragment = assembleSql<PgValue>(strings, parts, PLACE);
  if (fragment.values.length > VALUES_MAX) {
    throw new StoreError("limit", `a statement binds at most ${VALUES_MAX} values`);
  }
  return fragment;
}

/** Like {@link sql}, prepared once a connection: for texts that are written in the program and run often. */
export function prepared(
  strings: TemplateStringsArray,
  ...parts: readonly (PgFragment | PgValue)[]
): PgFragment {
  return { ...sql(strings, ...parts), isPrepared: true };
}

/** The text as the server takes it, with `$1`, `$2`, … */
export function statementText({ text }: PgFragment): string {
  let number = 0;
  return text.includes(PLACE) ? text.replaceAll(PLACE, () => `$${++number}`) : text;
}

/** Strings as one bound `text[]`, in the binary form, which costs a tenth of array literals. */
export function textArray(values: readonly (string | null)[]): PgFragment {
  return { text: `${PLACE}::text[]`, values: [arrayOf(25, values, TEXT)] };
}

/** Whole numbers as one bound `bigint[]`. */
export function bigintArray(values: readonly (number | bigint | null)[]): PgFragment {
  return { text: `${PLACE}::bigint[]`, values: [arrayOf(20, values, BIGINT)] };
}

/** Numbers as one bound `double precision[]`. */
export function doubleArray(values: readonly (number | null)[]): PgFragment {
  return { text: `${PLACE}::double precision[]`, values: [arrayOf(701, values, DOUBLE)] };
}

/** Booleans as one bound `boolean[]`. */
export function booleanArray(values: readonly (boolean | null)[]): PgFragment {
  return { text: `${PLACE}::boolean[]`, values: [arrayOf(16, values, BOOLEAN)] };
}

/** Bytes as one bound `bytea[]`. */
export function bytesArray(values: readonly (Uint8Array | null)[]): PgFragment {
  return { text: `${PLACE}::bytea[]`, values: [arrayOf(17, values, BYTES)] };
}

/**
 * Text as columns keep it: PostgreSQL has no NUL in text (and none in jsonb). U+0000 becomes U+0001
 * U+0001, and U+0001 becomes U+0001 U+0002: order, equality and prefixes under `COLLATE "C"` stay as
 * they are. Lone surrogates are replaced, as UTF-8 has none.
 */
export function storedText(text: string): string {
  return ESCAPED.test(text)
    ? text.replaceAll(ALL_ESCAPED, (mark) => (mark === "\0" ? "\u0001\u0001" : "\u0001\u0002"))
    : text;
}

/** The text that {@link storedText} stored. */
export function originalText(stored: string): string {
  return stored.includes("\u0001")
    ? stored.replaceAll(ALL_STORED, (pair) => (pair === "\u0001\u0001" ? "\0" : "\u0001"))
    : stored;
}

// oxlint-disable-next-line no-control-regex -- these two are what it is about
const ESCAPED = /[\u0000\u0001]/;
// oxlint-disable-next-line no-control-regex -- these two are what it is about
const ALL_ESCAPED = /[\u0000\u0001]/g;
// oxlint-disable-next-line no-control-regex -- these two are what it is about
const ALL_STORED = /\u0001[\u0001\u0002]/g;

// Longer names are cut off by the server with no more than a notice (postgresql.org/docs/current/limits.html).
const NAME_BYTES_MAX = 63;

/** A name that the server keeps as it is: one of more than 63 bytes is cut and told apart by a hash. */
export function serverNameOf(name: string): string {
  if (Buffer.byteLength(name) <= NAME_BYTES_MAX) return name;
  const start = Buffer.from(name).subarray(0, 46).toString("utf8").replaceAll("\ufffd", "");
  return `${start}~${hash("sha256", name, "hex").slice(0, 16)}`;
}

/** A quoted name, of a table, a column, a schema; parts are joined by a dot. */
export function pgName(...parts: readonly string[]): string {
  return parts.map((part) => quoteName(serverNameOf(part))).join(".");
}

/** How elements of one type are written in binary arrays (array_recv in the server's arrayfuncs.c). */
interface Element<Value> {
  readonly bytes: (value: Value) => number;
  readonly write: (into: Buffer, at: number, value: Value) => void;
}

const TEXT: Element<string> = {
  bytes: (value) => Buffer.byteLength(value),
  write: (into, at, value) => void into.write(value, at),
};
const BIGINT: Element<number | bigint> = {
  bytes: () => 8,
  write: (into, at, value) => void into.writeBigInt64BE(BigInt(value), at),
};
const DOUBLE: Element<number> = {
  bytes: () => 8,
  write: (into, at, value) => void into.writeDoubleBE(value, at),
};
const BOOLEAN: Element<boolean> = {
  bytes: () => 1,
  write: (into, at, value) => void into.writeUInt8(value ? 1 : 0, at),
};
const BYTES: Element<Uint8Array> = {
  bytes: (value) => value.byteLength,
  write: (into, at, value) => into.set(value, at),
};

function arrayOf<Value>(
  typeNumber: number,
  values: readonly (Value | null)[],
  { bytes, write }: Element<Value>,
): Uint8Array {
  let length = 20;
  for (const value of values) length += 4 + (value === null ? 0 : bytes(value));
  const buffer = Buffer.allocUnsafe(length);
  // Dimensions, whether there are nulls, the elements' type, their number, the first one's index.
  buffer.writeInt32BE(values.length === 0 ? 0 : 1, 0);
  buffer.writeInt32BE(values.includes(null) ? 1 : 0, 4);
  buffer.writeInt32BE(typeNumber, 8);
  buffer.writeInt32BE(values.length, 12);
  buffer.writeInt32BE(1, 16);
  let at = 20;
  for (const value of values) {
    const size = value === null ? -1 : bytes(value);
    buffer.writeInt32BE(size, at);
    at += 4;
    if (value === null) continue;
    write(buffer, at, value);
    at += size;
  }
  return values.length === 0 ? buffer.subarray(0, 12) : buffer;
}
