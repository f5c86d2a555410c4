import type { Compared, Comparison } from "./comparison.ts";
import type { SequenceRange } from "./expected-range.ts";
import { FoundDifferences } from "./found-differences.ts";
import { JournalMonths } from "./journal-months.ts";
import type { Pace } from "./pace.ts";

// Entries of a step: their rows are held in memory while they are compared.
const SEQUENCES_PER_STEP = 32;

/** Compares the rows of one range of the journal, entry by entry, with what the store holds of them. */
export async function compareWithin(
  comparison: Comparison,
  range: SequenceRange,
  pace: Pace,
): Promise<Compared> {
  const found = new FoundDifferences();
  const months = new JournalMonths();
  const ranges: SequenceRange[] = [];
  let checkpoint = await comparison.standing();
  for (let { from } = range; from < range.to && !found.isCut; from += SEQUENCES_PER_STEP) {
    pace.check();
    const step = { from, to: Math.min(from + SEQUENCES_PER_STEP, range.to) };
    const compared = await comparison.compareRanges([step]);
    ({ checkpoint } = compared);
    months.join(compared.months);
    if (compared.found.size > 0) ranges.push(step);
    for (const difference of compared.found.list()) found.add(difference);
  }
  return { checkpoint, found, months, ranges };
}
