import type { SQLInputValue, SQLOutputValue } from "node:sqlite";

import { parseJson, stringifyJson } from "@custody/contract/json";
import type { ColumnType } from "@custody/contract/placement";
import type { ColumnValue } from "@custody/contract/value-expression";

import type { Cell } from "../analytics/port.ts";
import { StoreError } from "../errors.ts";

/** What a column of a table or of a summary can be asked and shows. */
export type SqliteColumnType = ColumnType | "counts";

/** A column as queries see it. */
export interface QueryColumn {
  readonly name: string;
  readonly type: SqliteColumnType;
}

/** The type a column is declared with in a STRICT table (sqlite.org/stricttables.html). */
export const DECLARED_TYPES: Readonly<Record<ColumnType, string>> = {
  text: "TEXT",
  integer: "INTEGER",
  real: "REAL",
  boolean: "INTEGER",
  timestamp: "INTEGER",
  json: "TEXT",
  "text[]": "TEXT",
  vector: "TEXT",
};

/** A column's value as SQLite takes it: booleans are 0 and 1, lists JSON text. */
export function bindColumn(value: ColumnValue): SQLInputValue {
  if (typeof value === "boolean") return value ? 1 : 0;
  if (value === null || typeof value !== "object") return value;
  return stringifyJson(value);
}

/** A column's value as it was bound; the statement reads `bigint`. */
export function readColumn(type: ColumnType, stored: SQLOutputValue | undefined): ColumnValue {
  if (stored === null || stored === undefined) return null;
  if (stored instanceof Uint8Array) throw new StoreError("corrupt", "a column holds bytes");
  if (typeof stored === "bigint" && type === "boolean") return stored === 1n;
  if (typeof stored === "bigint") return safeNumber(stored);
  if (typeof stored === "number" || (type !== "text[]" && type !== "vector")) return stored;
  const list = parseJson(stored);
  if (!Array.isArray(list)) throw new StoreError("corrupt", "a list column holds no list");
  return type === "vector" ? list.map(Number) : list.map(String);
}

/** A column's value as an answer shows it. */
export function cellOf(type: SqliteColumnType, stored: SQLOutputValue | undefined): Cell {
  if (type === "counts") return typeof stored === "string" ? parseJson(stored) : {};
  const value = readColumn(type, stored);
  return type === "json" && typeof value === "string" ? parseJson(value) : value;
}

function safeNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
