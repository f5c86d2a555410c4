import { parseJson, stringifyJson } from "@custody/contract/json";
import type { ColumnType } from "@custody/contract/placement";
import type { ColumnValue } from "@custody/contract/value-expression";

import type { Cell } from "../analytics/port.ts";
import {
  bigintArray,
  booleanArray,
  doubleArray,
  originalText,
  pgName,
  sql,
  storedText,
  textArray,
} from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgRow } from "../drivers/postgresql-statements.ts";
import { quoteText } from "../drivers/sqlite-fragment.ts";
import { StoreError } from "../errors.ts";

/** What a column of a table or of a summary can be asked and shows. */
export type PgColumnType = ColumnType | "counts";

/** A column as queries see it. */
export interface PgColumn {
  readonly name: string;
  readonly type: PgColumnType;
  /** Quoted, as statements name it. */
  readonly sqlName: string;
  readonly isNullable: boolean;
  /** True where a value may be in {@link BEYOND}, and a stand-in in the column. */
  readonly hasStandIns: boolean;
}

/** A column of a table or a view as queries see it. */
export function pgColumn(
  name: string,
  type: PgColumnType,
  {
    isNullable = true,
    hasStandIns: standsIn = false,
  }: { readonly isNullable?: boolean; readonly hasStandIns?: boolean } = {},
): PgColumn {
  return { name, type, sqlName: pgName(physicalColumn(name)), isNullable, hasStandIns: standsIn };
}

// Every table has columns of these names already (postgresql.org/docs/current/ddl-system-columns.html).
const SYSTEM_COLUMNS: readonly string[] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/** What the server calls a column; another name only where it has one like it itself. */
export function physicalColumn(name: string): string {
  return SYSTEM_COLUMNS.includes(name) ? `${name}_` : name;
}

/**
 * What a column is declared as. `"C"` compares text by code point. JSON is kept as `json`, whose text
 * stays as it was written: `jsonb` knows neither NUL nor lone surrogates.
 */
export const DECLARED_TYPES: Readonly<Record<ColumnType, string>> = {
  text: 'text COLLATE "C"',
  integer: "bigint",
  real: "double precision",
  boolean: "boolean",
  timestamp: "timestamptz",
  json: "json",
  "text[]": 'text[] COLLATE "C"',
  vector: "double precision[]",
};

/**
 * The column that keeps, as a JSON object by column, what a column cannot: instants before
 * `timestamptz` begins, and texts too long for an index. The column itself then holds a stand-in, which
 * lies where the value lies in the order of what the column can hold.
 */
export const BEYOND = "_beyond";

// 4714-11-24 BC, where Julian days begin (postgresql.org/docs/current/datatype-datetime.html); the
// other end lies beyond 2^53 - 1 milliseconds.
const INSTANT_MIN_MS = -210_866_803_200_000;
const MINUS_INFINITY = -(2n ** 63n);
const EPOCH_2000_MS = 946_684_800_000n;

// A row of an index has at most 2,704 bytes (a third of a page, BTMaxItemSize in the server's nbtree.h);
// a character has four at most. Counted in characters, so that cutting keeps the order.
const INDEXED_CHARACTERS_MAX = 150;
/** Texts in one index at most, beside the space, the id and numbers. */
export const INDEXED_TEXTS_MAX = 4;

/** What a column with stand-ins holds for a value, and whether that is the value itself. */
export function standInOf(value: string | number | bigint): {
  readonly held: string | bigint;
  readonly isExact: boolean;
} {
  if (typeof value !== "string") {
    const isExact = value >= INSTANT_MIN_MS;
    return { held: isExact ? (BigInt(value) - EPOCH_2000_MS) * 1_000n : MINUS_INFINITY, isExact };
  }
  if (value.length <= INDEXED_CHARACTERS_MAX) return { held: value, isExact: true };
  const characters = Array.from(value.slice(0, INDEXED_CHARACTERS_MAX * 2 + 2));
  if (characters.length <= INDEXED_CHARACTERS_MAX) return { held: value, isExact: true };
  return { held: `${characters.slice(0, INDEXED_CHARACTERS_MAX).join("")}…`, isExact: false };
}

/** What {@link standInOf} says is held, bound: instants in their binary form, exact in any time zone. */
export function boundStandIn(held: string | bigint): PgFragment {
  if (typeof held === "string") return sql`${held}::text`;
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(held);
  return sql`${bytes}::timestamptz`;
}

/** The value of a column that holds a stand-in, and null of others. */
export function beyondStandIn({ name, type }: PgColumn): string {
  const text = `(${pgName(BEYOND)}->>${quoteText(name)})`;
  return type === "timestamp" ? `${text}::bigint` : `${text} COLLATE "C"`;
}

const TIMESTAMPTZ_OID = 1184;

function instantArray(values: readonly ColumnValue[]): PgFragment {
  const instants = values.map((value) => (isWhole(value) ? BigInt(standInOf(value).held) : null));
  const [bytes] = bigintArray(instants).values;
  if (!(bytes instanceof Uint8Array)) return sql`${null}::timestamptz[]`;
  // An instant has 8 bytes like a bigint: microseconds since 2000. Only the elements' type is another.
  if (values.length > 0) new DataView(bytes.buffer, bytes.byteOffset).setInt32(8, TIMESTAMPTZ_OID);
  return sql`${bytes}::timestamptz[]`;
}

/** A column's values as one bound array, which {@link arrayElement} turns into the column's type. */
export function boundColumn(
  { type, hasStandIns }: PgColumn,
  values: readonly ColumnValue[],
): PgFragment {
  switch (type) {
    case "integer":
      return bigintArray(values.map((value) => (isWhole(value) ? value : null)));
    case "real":
      return doubleArray(values.map((value) => (value === null ? null : Number(value))));
    case "boolean":
      return booleanArray(values.map((value) => (typeof value === "boolean" ? value : null)));
    case "timestamp":
      return instantArray(values);
    case "text":
      return textArray(values.map((value) => heldText(value, hasStandIns)));
    default:
      return textArray(values.map(boundText));
  }
}

/** What rows keep in {@link BEYOND}: the values, by column, that their columns have stand-ins for. */
export function beyondTexts(
  columns: readonly PgColumn[],
  cells: readonly (readonly ColumnValue[])[],
): readonly (string | null)[] {
  const beyond: Record<string, string | number | bigint>[] = [];
  for (const [at, { name, hasStandIns: standsIn }] of columns.entries()) {
    if (!standsIn) continue;
    for (const [row, value] of (cells[at] ?? []).entries()) {
      if (typeof value !== "string" && !isWhole(value)) continue;
      const stored = typeof value === "string" ? storedText(value) : value;
      if (!standInOf(stored).isExact) beyond[row] = { ...beyond[row], [name]: stored };
    }
  }
  return (cells[0] ?? []).map((_, row) => {
    const values = beyond[row];
    return values === undefined ? null : stringifyJson(values);
  });
}

function heldText(value: ColumnValue, hasStandIns: boolean): string | null {
  if (value === null) return null;
  const stored = storedText(String(value));
  return hasStandIns ? String(standInOf(stored).held) : stored;
}

/** An element of {@link boundColumn}'s array as the column's type. */
export function arrayElement(type: ColumnType, element: string): string {
  return type === "json" || type === "text[]" || type === "vector"
    ? `${element}::${DECLARED_TYPES[type].replace(' COLLATE "C"', "")}`
    : element;
}

function boundText(value: ColumnValue): string | null {
  if (value === null) return null;
  return typeof value === "object" ? arrayLiteral(value) : storedText(String(value));
}

/** A list in PostgreSQL's own notation (postgresql.org/docs/current/arrays.html#ARRAYS-IO). */
function arrayLiteral(values: readonly (string | number)[]): string {
  return `{${values.map((value) => (typeof value === "number" ? value : quoted(value))).join(",")}}`;
}

function quoted(text: string): string {
  const stored = storedText(text);
  return MARKED.test(stored)
    ? `"${stored.replaceAll(ALL_MARKED, String.raw`\$&`)}"`
    : `"${stored}"`;
}

const MARKED = /["\\]/;
const ALL_MARKED = /["\\]/g;

function isWhole(value: ColumnValue): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

/** Whether a table with these columns has a column {@link BEYOND}. */
export function hasStandIns(columns: readonly PgColumn[]): boolean {
  return columns.some((column) => column.hasStandIns);
}

/** How columns are selected, so that {@link storedColumns} finds what was stored. */
export function selectedColumns(columns: readonly PgColumn[]): readonly string[] {
  const beyond = hasStandIns(columns) ? [`${BEYOND}::text AS beyond`] : [];
  return [...columns.map((column, index) => `${selectedColumn(column)} AS c${index}`), ...beyond];
}

/** The stored values of a row that was selected so, for {@link readColumn} or {@link cellOf}. */
export function storedColumns(row: PgRow, columns: readonly PgColumn[]): readonly unknown[] {
  const stored: unknown[] = columns.map((_, index) => row[`c${index}`] ?? null);
  const beyond = row["beyond"] ?? null;
  if (beyond === null) return stored;
  const values = parseJson(textCell(beyond));
  if (typeof values !== "object" || values === null) {
    throw new StoreError("corrupt", `${BEYOND} holds no object`);
  }
  const exact = new Map<string, unknown>(Object.entries(values));
  return stored.map((value, index) => exact.get(columns[index]?.name ?? "") ?? value);
}

function selectedColumn({ type, sqlName }: PgColumn): string {
  switch (type) {
    case "timestamp":
      return `extract(epoch FROM ${sqlName}) * 1000`;
    case "json":
    case "counts":
      return `${sqlName}::text`;
    case "text[]":
    case "vector":
      return `array_to_json(${sqlName})::text`;
    default:
      return sqlName;
  }
}

/** A column's value as it was bound. */
export function readColumn(type: ColumnType, stored: unknown): ColumnValue {
  if (stored === null || stored === undefined) return null;
  switch (type) {
    case "boolean":
      return stored === true;
    case "integer":
      return wholeNumber(stored);
    case "real":
    case "timestamp":
      return Number(stored);
    case "text":
      return originalText(textCell(stored));
    case "json":
      return textCell(stored);
    case "text[]":
      return listOf(stored).map((value) => originalText(String(value)));
    case "vector":
      return listOf(stored).map(Number);
  }
}

/** A column's value as an answer shows it. */
export function cellOf(type: PgColumnType, stored: unknown): Cell {
  if (type === "counts") return typeof stored === "string" ? parseJson(stored) : {};
  const value = readColumn(type, stored);
  return type === "json" && typeof value === "string" ? parseJson(value) : value;
}

/** A column declared text and NOT NULL. @throws StoreError `corrupt` when it is something else. */
export function textCell(stored: unknown): string {
  if (typeof stored === "string") return stored;
  throw new StoreError("corrupt", `a text column holds ${typeof stored}`);
}

/** A column declared bigint and NOT NULL. @throws StoreError `corrupt` when it is something else. */
export function numberCell(stored: unknown): number {
  return Number(wholeNumber(stored));
}

function wholeNumber(stored: unknown): number | bigint {
  if (typeof stored === "number" || typeof stored === "bigint") return stored;
  throw new StoreError("corrupt", `a column of whole numbers holds ${typeof stored}`);
}

function listOf(stored: unknown): readonly unknown[] {
  const list = parseJson(textCell(stored));
  if (Array.isArray(list)) return list;
  throw new StoreError("corrupt", "a list column holds no list");
}

/** Fragments with commas between them: lists of arrays and the like. */
export function commaList(parts: readonly PgFragment[]): PgFragment {
  return {
    text: parts.map(({ text }) => text).join(", "),
    values: parts.flatMap(({ values }) => values),
  };
}
