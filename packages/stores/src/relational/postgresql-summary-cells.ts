import type { Measure } from "@custody/contract/summary";

import type { PgRow } from "../drivers/postgresql-statements.ts";
import { originalText } from "../drivers/postgresql-sql.ts";
import { StoreError } from "../errors.ts";
import { ExactSum } from "./exact-sum.ts";
import { numberCell, textCell } from "./postgresql-columns.ts";
import type { GroupState, MeasureState, SummaryFolding } from "./summary-fold.ts";

/** The columns of a summary's groups that are filled from their measures, in order. */
export type CellKind = "bigint" | "double" | "text";

/** The columns that a measure has in the table of groups; a table of counts has none. */
export function cellColumns(
  measure: Measure | undefined,
  index: number,
): readonly (readonly [name: string, kind: CellKind])[] {
  if (measure === undefined || "countBy" in measure || "histogram" in measure) return [];
  if ("count" in measure) return [[`m${index}`, "bigint"]];
  // A sum's exact form is kept beside the nearest double, which is what queries see.
  return "sum" in measure
    ? [
        [`m${index}`, "double"],
        [`x${index}`, "text"],
      ]
    : [[`m${index}`, "double"]];
}

/** What a measure puts in its columns. */
export function cellsOf(state: MeasureState): readonly (number | string | null)[] {
  switch (state.kind) {
    case "count":
      return [state.count];
    case "sum":
      return [state.sum.toNumber(), state.sum.toText()];
    case "extreme":
      return [state.value ?? null];
    case "counts":
      return [];
  }
}

/** A group from its row; counted values are left out. */
export function groupOf(folding: SummaryFolding, row: PgRow): GroupState {
  const key = folding.keyNames.map((_, index) => {
    const cell = row[`k${index}`] ?? null;
    return cell === null ? null : originalText(textCell(cell));
  });
  const group = folding.empty(key);
  group.records = numberCell(row["records"]);
  for (const [index, state] of group.measures.entries()) readState(state, row, index);
  return group;
}

/** Whether the numbers that queries see are those of the exact sums beside them. */
export function showsSums(group: GroupState, row: PgRow): boolean {
  return group.measures.every(
    (state, index) => state.kind !== "sum" || doubleCell(row[`m${index}`]) === state.sum.toNumber(),
  );
}

function readState(state: MeasureState, row: PgRow, index: number): void {
  const cell = row[`m${index}`] ?? null;
  if (state.kind === "count") state.count = numberCell(cell);
  else if (state.kind === "extreme") state.value = cell === null ? undefined : doubleCell(cell);
  else if (state.kind === "sum") state.sum.addSum(ExactSum.parse(textCell(row[`x${index}`])));
}

function doubleCell(stored: unknown): number {
  if (typeof stored === "number") return stored;
  throw new StoreError("corrupt", `a column of numbers holds ${typeof stored}`);
}
