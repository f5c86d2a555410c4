import type { Delivery, RecordBatch } from "@custody/stores/record-batch";
import type { JournalStore, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { joinBytes, joinEntries } from "../journal/entry-records.ts";
import type { EntryRecords } from "../journal/entry-records.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import type { ProjectionPlan } from "./projections.ts";

/** Bounds of one delivery: enough to write in bulk, little enough to keep memory flat. */
export interface DeliveryLimits {
  readonly recordsMax: number;
  readonly bytesMax: number;
}

/** A delivery and what it holds. */
export interface NextDelivery {
  readonly delivery: Delivery;
  readonly records: number;
}

// Entries looked at in one step; small commits are many entries.
const ENTRIES_PER_STEP = 256;
const BYTES_PER_RECORD_GUESS = 3_000;

/** Makes the next delivery of a projection out of the journal. */
export class DeliverySource {
  readonly #journal: JournalStore;
  readonly #reader: JournalReader;
  readonly #limits: DeliveryLimits;

  constructor(journal: JournalStore, reader: JournalReader, limits: DeliveryLimits) {
    this.#journal = journal;
    this.#reader = reader;
    this.#limits = limits;
  }

  /** The entries of the projection's types after a checkpoint, up to the limits; `undefined` at the journal's end. */
  async next(scope: Scope, plan: ProjectionPlan, after: number): Promise<NextDelivery | undefined> {
    const listed = await this.#journal.entries(scope, {
      after,
      type: plan.types,
      limit: ENTRIES_PER_STEP,
    });
    const entries = this.#withinLimits(listed);
    const last = entries.at(-1);
    if (last === undefined) return undefined;
    const byType = new Map<string, EntryRecords[]>();
    for (const entry of entries) {
      if (!holdsRecords(entry)) continue;
      const records = await this.#reader.records(scope, entry);
      byType.set(entry.type, [...(byType.get(entry.type) ?? []), records]);
    }
    const batches: RecordBatch[] = [];
    for (const list of byType.values()) {
      batches.push(await this.#withPrevious(scope, plan, joinEntries(list), list));
    }
    const records = batches.reduce((sum, batch) => sum + batch.ids.length, 0);
    return { delivery: { batches, checkpoint: last.sequence }, records };
  }

  #withinLimits(entries: readonly StoredEntry[]): readonly StoredEntry[] {
    let records = 0;
    let end = 0;
    for (const entry of entries) {
      const isFull =
        records + entry.count > this.#limits.recordsMax ||
        (records + entry.count) * BYTES_PER_RECORD_GUESS > this.#limits.bytesMax;
      if (end > 0 && isFull) break;
      records += entry.count;
      end += 1;
    }
    return entries.slice(0, end);
  }

  /** Adds what the records were before, where a store counts contributions and records can change. */
  async #withPrevious(
    scope: Scope,
    plan: ProjectionPlan,
    batch: RecordBatch,
    entries: readonly EntryRecords[],
  ): Promise<RecordBatch> {
    if (!plan.isCounted || !this.#reader.canChange(batch.type)) return batch;
    const firstSequence = entries[0]?.sequence ?? 0;
    const texts = await this.#reader.textsBefore(scope, batch.type, batch.ids, firstSequence);
    if (texts.every((text) => text === undefined)) return batch;
    return { ...batch, previous: joinBytes(texts.map((text) => text ?? new Uint8Array(0))) };
  }
}

/** Entries of holds, dispositions and the like carry no records. */
function holdsRecords(entry: StoredEntry): boolean {
  return (
    entry.operation === "put" || entry.operation === "delete" || entry.operation === "correction"
  );
}
