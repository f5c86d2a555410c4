import type { Delivery, RecordBatch } from "@custody/stores/record-batch";
import type { JournalStore, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { joinBytes, joinEntries } from "../journal/entry-records.ts";
import type { EntryRecords } from "../journal/entry-records.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import type { Runtime } from "../runtime.ts";
import type { ProjectionPlan } from "./projections.ts";
import { untilRecordsMove } from "./split-delivery.ts";

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

interface ReaderPosition {
  readonly after: number;
  /** The number of the call that told it. */
  readonly call: number;
}

// A projection that does not ask while others ask so often waits for its store; what it has yet to
// read is kept for it no longer.
const CALLS_PATIENCE = 64;

// A projection may be so many entries ahead of another, and then waits 200 ms at most.
const LEAD_ENTRIES = 3;
const WAIT_MS = 10;
const WAITS_MAX = 20;
const CALLS_TOGETHER = 16;

/** Makes the next delivery of a projection out of the journal. */
export class DeliverySource {
  readonly #journal: JournalStore;
  readonly #reader: JournalReader;
  readonly #limits: DeliveryLimits;
  readonly #sleep: Runtime["sleep"];
  /** Where the projections of each tenant read just now. */
  readonly #readers = new Map<string, Map<string, ReaderPosition>>();
  #calls = 0;

  constructor(
    journal: JournalStore,
    reader: JournalReader,
    limits: DeliveryLimits,
    sleep: Runtime["sleep"],
  ) {
    this.#sleep = sleep;
    this.#journal = journal;
    this.#reader = reader;
    this.#limits = limits;
  }

  /**
   * The entries of the projection's types after a checkpoint, up to the limits; `undefined` at the journal's end.
   *
   * @param upTo where an earlier delivery ended that was cut off: what lies before it is read alone.
   */
  async next(
    scope: Scope,
    plan: ProjectionPlan,
    after: number,
    upTo = 0,
  ): Promise<NextDelivery | undefined> {
    const listed = await this.#journal.entries(scope, {
      after,
      type: plan.types,
      limit: ENTRIES_PER_STEP,
    });
    const cutOff = listed.filter(({ sequence }) => sequence <= upTo);
    const entries = this.#withinLimits(cutOff.length > 0 ? cutOff : listed);
    const last = entries.at(-1);
    this.#note(scope.tenant, plan, last === undefined ? undefined : after);
    if (last === undefined) return undefined;
    const count = entries.reduce((sum, entry) => sum + entry.count, 0);
    // Small commits are projected at once: they are in memory still, and somebody may wait to read them.
    if (count * 2 >= this.#limits.recordsMax) await this.#keepTogether(scope.tenant, after);
    const all: EntryRecords[] = [];
    for (const entry of entries.filter(holdsRecords))
      all.push(await this.#reader.records(scope, entry));
    const read = untilRecordsMove(all, plan);
    const isWhole = read.length === all.length;
    const checkpoint = (isWhole ? last : (read.at(-1) ?? last)).sequence;
    const puts = new Set(
      entries.filter(({ operation }) => operation === "put").map(({ sequence }) => sequence),
    );
    const batches: RecordBatch[] = [];
    for (const list of Map.groupBy(read, ({ type }) => type).values())
      batches.push(...(await this.#batches(scope, plan, list, puts)));
    const records = batches.reduce((sum, batch) => sum + batch.ids.length, 0);
    return { delivery: { batches, checkpoint, after }, records };
  }

  /** Notes where a projection reads (`undefined` at the end), and lets go of what all have passed. */
  #note(tenant: string, plan: ProjectionPlan, after: number | undefined): void {
    const key = `${plan.role} ${plan.name}`;
    const readers = this.#readers.get(tenant) ?? new Map<string, ReaderPosition>();
    this.#readers.set(tenant, readers);
    this.#calls += 1;
    if (after === undefined) readers.delete(key);
    else readers.set(key, { after, call: this.#calls });
    let lowest = after ?? Number.POSITIVE_INFINITY;
    for (const [name, reader] of readers) {
      if (this.#calls - reader.call > CALLS_PATIENCE) readers.delete(name);
      else lowest = Math.min(lowest, reader.after);
    }
    if (readers.size > 0) this.#reader.recent.release(tenant, lowest);
    else this.#readers.delete(tenant);
  }

  /**
   * Lets those close behind catch up, for a moment: what is read from segments is then read once for
   * all. Nobody waits for a projection that asks much more rarely than the others.
   */
  async #keepTogether(tenant: string, after: number): Promise<void> {
    for (let waits = 0; waits < WAITS_MAX; waits += 1) {
      const isAhead = [...(this.#readers.get(tenant)?.values() ?? [])].some(
        (reader) =>
          reader.after < after - LEAD_ENTRIES && this.#calls - reader.call <= CALLS_TOGETHER,
      );
      if (!isAhead) return;
      await this.#sleep(WAIT_MS);
    }
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

  /**
   * Joins the entries of one type. Where every record is new there is no latest version to be looked
   * for, and large entries go as they are: joining would copy each record once for each projection.
   */
  async #batches(
    scope: Scope,
    plan: ProjectionPlan,
    read: readonly EntryRecords[],
    puts: ReadonlySet<number>,
  ): Promise<readonly RecordBatch[]> {
    const isNew = read.every(
      ({ type, sequence }) => puts.has(sequence) && !this.#reader.canChange(type),
    );
    if (isNew) return groupSmall(read).map((group) => ({ ...joinEntries(group), isNew }));
    return [await this.#withPrevious(scope, plan, joinEntries(read), read)];
  }

  /** Adds what the records were before, where a store counts contributions or keeps owners apart. */
  async #withPrevious(
    scope: Scope,
    plan: ProjectionPlan,
    batch: RecordBatch,
    entries: readonly EntryRecords[],
  ): Promise<RecordBatch> {
    if (!plan.isCounted && plan.owner === undefined) return batch;
    const firstSequence = entries[0]?.sequence ?? 0;
    const before = await this.#reader.versionsBefore(scope, batch.type, batch.ids, firstSequence);
    if (before.every((version) => version === undefined)) return batch;
    const texts = joinBytes(before.map((version) => version?.text ?? new Uint8Array(0)));
    const sequences = Float64Array.from(before, (version) => version?.sequence ?? 0);
    return { ...batch, previous: { ...texts, sequences } };
  }
}

// Below this many records the work that a store does once a batch outweighs a copy.
const OWN_BATCH_RECORDS = 500;

/** Neighbouring small entries together, each large one alone. */
function groupSmall(entries: readonly EntryRecords[]): readonly (readonly EntryRecords[])[] {
  const groups: EntryRecords[][] = [];
  let room = 0;
  for (const entry of entries) {
    const { length } = entry.batch.ids;
    const last = groups.at(-1);
    if (last === undefined || length > room) {
      groups.push([entry]);
      room = OWN_BATCH_RECORDS - length;
    } else {
      last.push(entry);
      room -= length;
    }
  }
  return groups;
}

const WITH_RECORDS = new Set(["put", "delete", "correction", "restore"]);

/** Entries of holds, dispositions and the like carry no records. */
function holdsRecords({ operation }: StoredEntry): boolean {
  return WITH_RECORDS.has(operation);
}
