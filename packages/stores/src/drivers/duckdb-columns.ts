import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  DuckDBDataChunk,
  DuckDBListValue,
  DuckDBTimestampValue,
  FLOAT,
  LIST,
  TIMESTAMP,
  VARCHAR,
} from "@duckdb/node-api";
import type { DuckDBType, DuckDBValue } from "@duckdb/node-api";

/** Rows of a DuckDB vector, and so the most that one packed part may have (duckdb.org/docs/stable/internals/vector). */
export const PART_ROWS_MAX = 2_048;

/**
 * Values of one column on their way to DuckDB, in a form that crosses a process boundary fast.
 *
 * Absent values are `null` in lists, NaN in `real` and `timestamp` (epoch milliseconds), 2 in
 * `boolean`, and marked in `absent` for `integer`.
 */
export type PackedColumn =
  | { readonly kind: "text"; readonly values: readonly (string | null)[] }
  | { readonly kind: "real" | "timestamp"; readonly values: Float64Array }
  | { readonly kind: "integer"; readonly values: BigInt64Array; readonly absent: Uint8Array }
  | { readonly kind: "boolean"; readonly values: Uint8Array }
  | { readonly kind: "text[]"; readonly values: readonly (readonly string[] | null)[] }
  | { readonly kind: "vector"; readonly values: readonly (readonly number[] | null)[] };

/** How a packed column's kind is stored. */
export type PackedKind = PackedColumn["kind"];

const TYPES: Readonly<Record<PackedKind, DuckDBType>> = {
  text: VARCHAR,
  real: DOUBLE,
  timestamp: TIMESTAMP,
  integer: BIGINT,
  boolean: BOOLEAN,
  "text[]": LIST(VARCHAR),
  vector: LIST(FLOAT),
};

/** The SQL type a packed column is stored as. */
export const SQL_TYPES: Readonly<Record<PackedKind, string>> = {
  text: "VARCHAR",
  real: "DOUBLE",
  timestamp: "TIMESTAMP",
  integer: "BIGINT",
  boolean: "BOOLEAN",
  "text[]": "VARCHAR[]",
  vector: "FLOAT[]",
};

/** Builds the data chunk of packed columns of equal length, at most {@link PART_ROWS_MAX} rows. */
export function packedChunk(columns: readonly PackedColumn[]): DuckDBDataChunk {
  const rows = columns[0]?.values.length ?? 0;
  const chunk = DuckDBDataChunk.create(
    columns.map(({ kind }) => TYPES[kind]),
    rows,
  );
  for (const [index, column] of columns.entries()) {
    chunk.setColumnValues(index, duckdbValues(column));
  }
  return chunk;
}

function duckdbValues(column: PackedColumn): readonly DuckDBValue[] {
  switch (column.kind) {
    case "text":
      return column.values;
    case "real":
      return Array.from(column.values, (value) => (Number.isNaN(value) ? null : value));
    case "timestamp":
      return Array.from(column.values, (ms) =>
        Number.isNaN(ms) ? null : new DuckDBTimestampValue(BigInt(ms) * 1000n),
      );
    case "integer":
      return Array.from(column.values, (value, row) => (column.absent[row] === 1 ? null : value));
    case "boolean":
      return Array.from(column.values, (value) => (value === 2 ? null : value === 1));
    case "text[]":
    case "vector":
      return column.values.map((value) =>
        value === null ? null : new DuckDBListValue([...value]),
      );
  }
}

/** A value as DuckDB's client gives it, in plain form: timestamps as epoch milliseconds, lists as arrays. */
export function plainValue(value: DuckDBValue): unknown {
  if (value instanceof DuckDBTimestampValue) return Number(value.micros / 1000n);
  if (value instanceof DuckDBListValue) return value.items.map(plainValue);
  return value;
}
