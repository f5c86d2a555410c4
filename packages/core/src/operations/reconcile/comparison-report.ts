import type { Difference, MonthCompared, ProjectionCompared } from "../../reports.ts";
import type { Compared, Comparison } from "./comparison.ts";

const EXAMPLES_MAX = 1_000;

/** Puts what a comparison came to into a report: by kind, and by month of the journal. */
export function describeComparison(
  { projection, scope, sums }: Comparison,
  { checkpoint, found, months }: Compared,
): ProjectionCompared {
  const { role, name, types, isCounted } = projection;
  const differences = found.list();
  const records = isCounted
    ? sums.digests().reduce((total, { count }) => total + count, 0)
    : months.list().reduce((total, month) => total + month.records, 0);
  return {
    tenant: scope.tenant,
    role,
    name,
    types,
    checkpoint,
    records,
    differences: differences.length,
    isCut: found.isCut,
    kinds: countKinds(differences),
    months: isCounted
      ? [{ month: "", records, differences: differences.length }]
      : countMonths(months, differences),
    examples: differences.slice(0, EXAMPLES_MAX),
    repaired: 0,
  };
}

function countKinds(differences: readonly Difference[]): ProjectionCompared["kinds"] {
  const kinds = { missing: 0, extra: 0, stale: 0, altered: 0 };
  for (const { kind } of differences) kinds[kind] += 1;
  return kinds;
}

function countMonths(
  months: Compared["months"],
  differences: readonly Difference[],
): readonly MonthCompared[] {
  const counted = new Map<string, { records: number; differences: number }>();
  const of = (month: string): { records: number; differences: number } => {
    const known = counted.get(month) ?? { records: 0, differences: 0 };
    counted.set(month, known);
    return known;
  };
  for (const { month, records } of months.list()) of(month).records += records;
  for (const { sequence } of differences) of(months.of(sequence) ?? "").differences += 1;
  return [...counted]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([month, counts]) => ({ month, ...counts }));
}
