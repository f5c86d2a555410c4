import { canonicalJson } from "@custody/contract/json";
import type { AnalyticsPlacement, AnalyticsTotals, ColumnType } from "@custody/contract/placement";
import { coerceColumn, compileValue } from "@custody/contract/value-expression";
import type { ColumnValue } from "@custody/contract/value-expression";

import { StoreError } from "../errors.ts";
import type { ContentRow } from "../content-form.ts";

/** A record as the journal has it. */
export interface JournalRecord {
  readonly id: string;
  /** The parsed fields. */
  readonly fields: unknown;
  /** Epoch milliseconds; NaN where the record has no observed time. */
  readonly observedAt: number;
}

/** A compiled column of a placement. */
export interface AnalyticsColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** The value as every engine stores it. */
  readonly take: (fields: unknown) => ColumnValue;
}

/** Compiles a placement's columns, in ascending order of their names. */
export function compileColumns(placement: AnalyticsPlacement): readonly AnalyticsColumn[] {
  return Object.entries(placement.columns ?? {})
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, { type, from }]) => {
      const take = compileValue(from);
      return { name, type, take: (fields) => storedValue(type, coerceColumn(type, take(fields))) };
    });
}

/** The totals of a placement. @throws StoreError `refused` where a column of theirs is none, or no number. */
export function checkedTotals({
  columns = {},
  totals,
}: AnalyticsPlacement): AnalyticsTotals | undefined {
  if (totals === undefined) return undefined;
  const isNumber = (name: string): boolean =>
    ["integer", "real"].includes(columns[name]?.type ?? "none") && !totals.by.includes(name);
  const unknown = totals.by.find((name) => !Object.hasOwn(columns, name));
  const wrong = unknown ?? totals.sum.find((name) => !isNumber(name));
  if (wrong === undefined && totals.by.length > 0) return totals;
  throw new StoreError(
    "refused",
    `totals cannot be made with ${JSON.stringify(wrong ?? "no column")}`,
  );
}

/** The content form of a record's row: what its columns hold, and its observed time. */
export function compileAnalyticsContent(
  placement: AnalyticsPlacement,
): (record: JournalRecord) => ContentRow {
  const columns = compileColumns(placement);
  return ({ id, fields, observedAt }) => {
    const values = columns.map(({ take }) => take(fields));
    return { id, content: analyticsContent(storedInstant(observedAt), values) };
  };
}

/**
 * The content of a row.
 *
 * @param values in ascending order of the columns' names.
 */
export function analyticsContent(observedAt: number | null, values: readonly unknown[]): string {
  return canonicalJson([observedAt, ...values]);
}

/**
 * What a column really keeps of a value: text without lone surrogates, whole milliseconds, vectors in
 * single precision.
 */
function storedValue(type: ColumnType, value: ColumnValue): ColumnValue {
  if (type === "timestamp") return typeof value === "number" ? storedInstant(value) : null;
  if (type === "vector") {
    return Array.isArray(value) ? value.map((part) => Math.fround(Number(part))) : null;
  }
  if (typeof value === "string") return value.toWellFormed();
  if (type === "text[]" && Array.isArray(value)) {
    return value.map((part) => String(part).toWellFormed());
  }
  return value;
}

// The range of ECMAScript's instants, which lies within that of every engine's timestamps we use
// (tc39.es/ecma262/#sec-time-values-and-time-range).
const INSTANT_MAX = 8.64e15;

/** An instant in whole milliseconds; `null` where there is none, or one that no calendar has. */
export function storedInstant(ms: number): number | null {
  // Adding 0 turns -0 into 0.
  return Math.abs(ms) <= INSTANT_MAX ? Math.floor(ms) + 0 : null;
}
