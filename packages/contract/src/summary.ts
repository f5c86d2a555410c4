import { ContractError } from "./errors.ts";
import type { RecordType } from "./record-type.ts";
import type { ValueExpression } from "./placement.ts";

/** Keeps a record when the expression's value equals one of the literals. */
export interface Condition {
  readonly value: ValueExpression;
  readonly isIn: readonly (string | number | boolean)[];
}

/**
 * One number or table of numbers kept for a group of records.
 *
 * `countBy` counts by each value of an expression (a record with three values counts three times);
 * `histogram` counts numbers into the ranges between `edges`, with one range below and one above.
 */
export type Measure =
  | { readonly count: true; readonly where?: Condition }
  | { readonly sum: ValueExpression }
  | { readonly min: ValueExpression }
  | { readonly max: ValueExpression }
  | { readonly countBy: ValueExpression; readonly where?: Condition }
  | { readonly histogram: ValueExpression; readonly edges: readonly number[] };

/** A table of groups, kept in step with the records of one type: a projection like any other. */
export interface SummaryDeclaration {
  /** `pack/name`. */
  readonly name: string;
  readonly version: number;
  readonly title: string;
  /** The record type that is summed up. */
  readonly of: string;
  /** The group's key columns, by name. */
  readonly key: Readonly<Record<string, ValueExpression>>;
  readonly measures: Readonly<Record<string, Measure>>;
}

/**
 * Declares a summary of a record type.
 *
 * @throws ContractError `invalid-type` when min or max is kept over a type whose records can change:
 *   an extreme cannot be taken back.
 */
export function defineSummary(
  type: RecordType,
  summary: Omit<SummaryDeclaration, "of">,
): SummaryDeclaration {
  for (const [name, measure] of Object.entries(summary.measures)) {
    if (type.mode !== "append" && ("min" in measure || "max" in measure)) {
      throw new ContractError(
        "invalid-type",
        `summary ${summary.name}: ${name} keeps an extreme over ${type.name}, whose records can change`,
      );
    }
  }
  return { ...summary, of: type.name };
}
