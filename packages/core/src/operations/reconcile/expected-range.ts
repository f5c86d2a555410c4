import { hashText, rowHash } from "@custody/stores/content-form";
import type { RowDigest } from "@custody/stores/projected-store";
import type { StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { bindRow, ownerFactor } from "../../projection/owner-digest.ts";
import type { Projection } from "../../projection/projections.ts";
import { expectedRows } from "../expected-rows.ts";
import type { ExpectedRow } from "../expected-rows.ts";
import type { Quarantined } from "./expected-sums.ts";
import type { JournalMonths } from "./journal-months.ts";
import { liveRecordsOf } from "./journal-pass.ts";
import type { PassParts } from "./journal-pass.ts";

/** Sequences from the first up to, without, the last. */
export interface SequenceRange {
  readonly from: number;
  readonly to: number;
}

/** As of when rows are expected, and without which. */
export interface AsOf {
  readonly checkpoint: number;
  readonly quarantined: Quarantined;
  /** Told of the range's entries and rows. */
  readonly months: JournalMonths;
}

const ENTRIES_PER_STEP = 64;

/**
 * The rows of a range that a store should hold, by id. Where rows are shared by records the whole
 * journal is read for them, and all of them are held.
 */
export async function expectedOfRange(
  parts: PassParts,
  { scope, projection }: { readonly scope: Scope; readonly projection: Projection },
  range: SequenceRange,
  { checkpoint, quarantined, months }: AsOf,
): Promise<Map<string, RowDigest>> {
  const found = new Map<string, RowDigest>();
  const made = expectedRows(projection);
  const tell = (row: ExpectedRow): void => {
    const digest = digestOf(row, projection.isCounted);
    months.count(row.sequence, 1);
    found.set(digest.id, digest);
  };
  // Rows of many records have no sequence of their own: all are at 0.
  const first = projection.isCounted ? 1 : range.from;
  const end = Math.min(checkpoint, projection.isCounted ? checkpoint : range.to - 1);
  for await (const entry of entriesOf(parts, scope, projection, { from: first, to: end + 1 })) {
    months.entry(entry.sequence, entry.receivedAt);
    for await (const record of liveRecordsOf(parts, scope, entry, checkpoint)) {
      const key = `${record.type}\0${record.id}`;
      const isRefused = quarantined.versions.get(key) === record.sequence;
      const row = isRefused ? undefined : made.row(record);
      if (row !== undefined) tell(row);
    }
  }
  for (const row of made.shared()) tell(row);
  return found;
}

/** The entries of a projection's types within a range, in order. */
async function* entriesOf(
  { journal }: PassParts,
  scope: Scope,
  { types: type }: Projection,
  { from, to }: SequenceRange,
): AsyncGenerator<StoredEntry> {
  for (let after = from - 1; after < to - 1;) {
    const entries = await journal.entries(scope, { after, type, limit: ENTRIES_PER_STEP });
    for (const entry of entries) {
      after = entry.sequence;
      if (after >= to) return;
      yield entry;
    }
    if (entries.length < ENTRIES_PER_STEP) return;
  }
}

function digestOf({ id, sequence, content, owner }: ExpectedRow, isCounted: boolean): RowDigest {
  const row = { id, sequence, hash: hashText(rowHash(id, sequence, content)) };
  return owner === undefined ? row : bindRow(ownerFactor(owner), row, isCounted);
}
