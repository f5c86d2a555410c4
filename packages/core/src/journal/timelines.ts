import type { Receipt } from "@custody/contract/receipt";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { restores } from "../system-types.ts";
import { decodeEntry } from "./format/entry.ts";
import type { Entry, OldHead } from "./format/entry.ts";
import { decodeTreeHead } from "./format/tree-head.ts";

/** One run of a journal's entries that were written in the same history. */
export interface Timeline {
  readonly name: string;
  /** Its first entry. */
  readonly from: number;
  /** Its last entry that is in this journal; `undefined` for the present timeline, which grows. */
  readonly to: number | undefined;
  /** What the restore that began it left behind; none for a journal's first timeline. */
  readonly oldHead?: OldHead;
}

/** A point that somebody remembers of a journal: from a receipt, a kept head, a backup. */
export interface RememberedPoint {
  readonly timeline: string;
  /** Entries that the journal had. */
  readonly size: number;
}

const ENTRIES_PER_STEP = 256;

/** The timelines of a tenant's journal, oldest first: each but the first was begun by a restore. */
export async function readTimelines(
  journal: Pick<JournalStore, "entry" | "entries">,
  scope: Scope,
): Promise<readonly Timeline[]> {
  const first = await journal.entry(scope, 1);
  if (first === undefined) return [];
  const begun: Entry[] = [decodeEntry(first.bytes)];
  for (const entry of await restoreEntries(journal, scope)) {
    if (entry.sequence > 1) begun.push(entry);
  }
  return begun.map(({ timeline, sequence, oldHead }, index) => {
    const next = begun[index + 1];
    return {
      name: timeline,
      from: sequence,
      to: next === undefined ? undefined : next.sequence - 1,
      ...(oldHead === undefined ? {} : { oldHead }),
    };
  });
}

/** The entries of a journal with which restores began new timelines, oldest first. */
export async function restoreEntries(
  journal: Pick<JournalStore, "entries">,
  scope: Scope,
): Promise<readonly Entry[]> {
  const found: Entry[] = [];
  let after = 0;
  for (;;) {
    const range = { after, type: [restores.name], limit: ENTRIES_PER_STEP };
    const entries = await journal.entries(scope, range);
    for (const { sequence, operation, bytes } of entries) {
      if (operation === "restore") found.push(decodeEntry(bytes));
      after = sequence;
    }
    if (entries.length < ENTRIES_PER_STEP) return found;
  }
}

/**
 * Makes sure that a journal still holds what a receipt acknowledges: that it had exactly these entries at the
 * receipt's size, in whichever timeline. An old copy of a data directory that was put back does not.
 *
 * @throws CoreError `conflict` that says why it does not.
 */
export async function requireAcknowledged(
  journal: Pick<JournalStore, "entry" | "entries" | "treeHead">,
  scope: Scope,
  { timeline, head: { size, root } }: Pick<Receipt, "timeline" | "head">,
): Promise<void> {
  // Nothing was acknowledged of an empty journal, whose timeline has no name yet.
  if (size === 0) return;
  const signed = await journal.treeHead(scope, size);
  if (signed !== undefined && decodeTreeHead(signed).root === root) return;
  requireKnownPoint(await readTimelines(journal, scope), { timeline, size });
  throw new CoreError(
    "conflict",
    `the receipt is of ${size} entries of timeline ${timeline}, and this journal does not hold them as they were ` +
      "acknowledged; was an old copy of the data directory or of the journal's database put back?",
  );
}

/**
 * Makes sure that what somebody remembers of a journal is a part of it: it lies in the present timeline,
 * or before the entry with which a restore left the one it names.
 *
 * @throws CoreError `conflict` that says which restore left it.
 */
export function requireKnownPoint(
  timelines: readonly Timeline[],
  { timeline, size }: RememberedPoint,
): void {
  const at = timelines.findIndex(({ name }) => name === timeline);
  const { to } = timelines[at] ?? { to: 0 };
  if (at >= 0 && (to === undefined || size <= to)) return;
  const present = timelines.at(-1)?.name ?? "none";
  const left =
    at >= 0 ? timelines[at + 1] : timelines.find(({ oldHead }) => oldHead?.timeline === timeline);
  if (left === undefined) {
    throw new CoreError(
      "conflict",
      `the receipt is of timeline ${timeline}, this journal is of ${present}`,
    );
  }
  const where = at >= 0 ? `after its entry ${left.from - 1}` : "and took nothing of it over";
  throw new CoreError(
    "conflict",
    `the receipt is of timeline ${timeline} with ${size} entries; the restore at entry ${left.from} left that timeline ` +
      `${where}: what it acknowledges is not in this journal, which is of ${present}. Commit it again`,
  );
}
