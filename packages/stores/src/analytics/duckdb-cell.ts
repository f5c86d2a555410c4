import {
  DuckDBArrayValue,
  DuckDBDateValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
} from "../drivers/duckdb-values.ts";
import type { DuckDBValue } from "@duckdb/node-api";

import { plainNumber } from "./cell.ts";
import type { Cell } from "./port.ts";

/** A value of an SQL answer as a cell: instants as RFC 3339 text, exact decimals and the like as text. */
export function sqlCell(value: DuckDBValue): Cell {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return plainNumber(value);
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue) {
    return instantText(value.micros);
  }
  if (value instanceof DuckDBDateValue) return value.toString();
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) {
    return value.items.map(sqlCell);
  }
  if (value instanceof DuckDBStructValue) {
    return Object.fromEntries(
      Object.entries(value.entries).map(([name, member]) => [name, sqlCell(member)]),
    );
  }
  if (value instanceof DuckDBMapValue) {
    return value.entries.map((entry) => [sqlCell(entry.key), sqlCell(entry.value)]);
  }
  return value.toString();
}

const INSTANT_MAX_MICROS = 8_640_000_000_000_000_000n;

function instantText(micros: bigint): string {
  // Beyond ECMAScript's instants, and for DuckDB's infinities, there is no RFC 3339 text.
  if (micros > INSTANT_MAX_MICROS || micros < -INSTANT_MAX_MICROS) {
    return new DuckDBTimestampValue(micros).toString();
  }
  const below = ((micros % 1000n) + 1000n) % 1000n;
  const text = new Date(Number((micros - below) / 1000n)).toISOString();
  return below === 0n ? text : text.replace("Z", `${below.toString().padStart(3, "0")}Z`);
}
