import { canonicalJson } from "@custody/contract/json";
import type { ColumnType, RelationalPlacement } from "@custody/contract/placement";
import type { SummaryDeclaration } from "@custody/contract/summary";
import { coerceColumn, compileValue } from "@custody/contract/value-expression";
import type { ColumnValue } from "@custody/contract/value-expression";

import { SummaryFold } from "./summary-fold.ts";

/** A table's column and how a record fills it. */
export interface TableColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly take: (record: unknown) => ColumnValue;
}

/** A table's columns, sorted by name. */
export function compileTable(placement: RelationalPlacement): readonly TableColumn[] {
  return Object.entries(placement.columns)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, { type, from }]) => {
      const take = compileValue(from);
      return { name, type, take: (record) => storable(type, coerceColumn(type, take(record))) };
    });
}

/** Canonical JSON of a row's values: what reconciliation hashes. */
export function rowContent(
  columns: readonly { readonly name: string }[],
  values: readonly ColumnValue[],
): string {
  return canonicalJson(
    Object.fromEntries(columns.map(({ name }, index) => [name, values[index] ?? null])),
  );
}

/** The content form of a record in a table, as the journal's side computes it. */
export function tableContent(placement: RelationalPlacement): (record: unknown) => string {
  const columns = compileTable(placement);
  return (record) =>
    rowContent(
      columns,
      columns.map(({ take }) => take(record)),
    );
}

/**
 * The content forms of a summary: add every record's latest version, then read the rows. All rows
 * lie in bucket 0 with sequence 0; an id is the canonical JSON of the group's key.
 */
export function summaryContent(declaration: SummaryDeclaration): SummaryFold {
  return new SummaryFold(declaration);
}

/** A value as every engine can keep it: well-formed text, no -0, instants in whole milliseconds. */
function storable(type: ColumnType, value: ColumnValue): ColumnValue {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value === "number") {
    if (type !== "timestamp") return value + 0;
    const rounded = Math.round(value);
    return Number.isSafeInteger(rounded) ? rounded + 0 : null;
  }
  if (type === "text[]" && Array.isArray(value)) {
    return value.map((text) => String(text).toWellFormed());
  }
  return value;
}
