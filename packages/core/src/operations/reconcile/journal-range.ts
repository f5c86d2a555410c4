import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { SequenceRange } from "./expected-range.ts";

/** Times of receipt, epoch milliseconds: from the first up to, without, the last. */
export interface ReceivedWithin {
  readonly since?: number;
  readonly until?: number;
}

/** The sequences of the entries that were received within a time. */
export async function sequencesWithin(
  journal: JournalStore,
  scope: Scope,
  { since, until }: ReceivedWithin,
): Promise<SequenceRange> {
  const end = ((await journal.head(scope))?.sequence ?? 0) + 1;
  return {
    from: since === undefined ? 1 : await firstFrom(journal, scope, since, end),
    to: until === undefined ? end : await firstFrom(journal, scope, until, end),
  };
}

/** The first entry received at a time or later, by halving: no entry was received before the one before it. */
async function firstFrom(
  journal: JournalStore,
  scope: Scope,
  at: number,
  end: number,
): Promise<number> {
  let [low, high] = [1, end];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const entry = await journal.entry(scope, middle);
    if (entry !== undefined && entry.receivedAt < at) low = middle + 1;
    else high = middle;
  }
  return low;
}
