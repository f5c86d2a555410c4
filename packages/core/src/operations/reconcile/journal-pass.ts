import { parseJson } from "@custody/contract/json";
import { recordText } from "@custody/stores/record-batch";
import type { RecordBatch } from "@custody/stores/record-batch";
import type { IdPosition, JournalStore, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { JournalReader } from "../../journal/journal-reader.ts";
import type { LiveRecord } from "../expected-rows.ts";
import type { ExpectedSums } from "./expected-sums.ts";
import type { Pace } from "./pace.ts";

/** What reads the journal. */
export interface PassParts {
  readonly journal: JournalStore;
  readonly reader: JournalReader;
}

/** One that is brought forward by a pass, and how far. */
export interface PassTarget {
  readonly sums: ExpectedSums;
  readonly upTo: number;
}

/** Told during a pass: how far the journal was read. */
export interface PassProgress {
  readonly done: number;
  readonly of: number;
}

const ENTRIES_PER_STEP = 256;
const RECORD_OPERATIONS: ReadonlySet<string> = new Set(["put", "delete", "correction", "restore"]);

/**
 * Brings sums of many projections forward, reading and decoding each entry of the journal once for all
 * of them. Each is to have begun (`ExpectedSums.begin`) towards the same point.
 */
export async function passJournal(
  parts: PassParts,
  scope: Scope,
  targets: readonly PassTarget[],
  { pace, onProgress }: { readonly pace: Pace; readonly onProgress?: (at: PassProgress) => void },
): Promise<void> {
  const open = targets.filter(({ sums, upTo }) => sums.position < upTo);
  const first = Math.min(...open.map(({ sums }) => sums.position));
  const last = Math.max(0, ...open.map(({ upTo }) => upTo));
  const type = [...new Set(open.flatMap(({ sums }) => sums.projection.types))].sort();
  for (let after = first; after < last;) {
    pace.check();
    const limit = ENTRIES_PER_STEP;
    const entries = await parts.journal.entries(scope, { after, type, limit });
    for (const entry of entries) {
      after = entry.sequence;
      if (after > last) break;
      const wanting = open.filter(
        ({ sums, upTo }) =>
          sums.position < after && after <= upTo && sums.projection.types.includes(entry.type),
      );
      const rows = await new EntryPass(parts, scope, entry).tell(wanting);
      onProgress?.({ done: after, of: last });
      await pace.rest(rows);
    }
    if (entries.length < limit) break;
  }
  for (const { sums, upTo } of open) sums.end(upTo);
}

/** The records of one entry that are live at a checkpoint, in line order. */
export async function* liveRecordsOf(
  parts: PassParts,
  scope: Scope,
  entry: StoredEntry,
  checkpoint: number,
): AsyncGenerator<LiveRecord> {
  if (!RECORD_OPERATIONS.has(entry.operation)) return;
  const { batch } = await parts.reader.readRecords(scope, entry);
  const latest = await latestOf(parts, scope, { batch, type: entry.type }, checkpoint);
  for (let index = 0; index < batch.ids.length; index += 1) {
    if (batch.removed[index] === 1 || latest[index]?.sequence !== entry.sequence) continue;
    yield recordOf(entry, batch, index);
  }
}

/** One entry, read once and told to many. */
class EntryPass {
  readonly #parts: PassParts;
  readonly #scope: Scope;
  readonly #entry: StoredEntry;
  readonly #latest = new Map<number, readonly (IdPosition | undefined)[]>();
  readonly #earlier = new Map<string, LiveRecord | undefined>();

  constructor(parts: PassParts, scope: Scope, entry: StoredEntry) {
    this.#parts = parts;
    this.#scope = scope;
    this.#entry = entry;
  }

  /** @returns how many rows were told. */
  async tell(targets: readonly PassTarget[]): Promise<number> {
    const entry = this.#entry;
    for (const { sums } of targets) sums.entry(entry.sequence, entry.receivedAt);
    if (targets.length === 0 || !RECORD_OPERATIONS.has(entry.operation)) return 0;
    const { batch } = await this.#parts.reader.readRecords(this.#scope, entry);
    const wanted: [PassTarget, readonly (IdPosition | undefined)[] | undefined][] = [];
    for (const target of targets) wanted.push([target, await this.#latestAt(batch, target.upTo)]);
    for (let index = 0; index < batch.ids.length; index += 1) {
      // Parsed where it is wanted, and once: parsing is most of the work.
      let record: LiveRecord | undefined;
      for (const [{ sums }, latest] of wanted) {
        if (latest !== undefined && latest[index]?.sequence !== entry.sequence) continue;
        if (sums.position > 0 && this.#canReplace()) await this.#takeBack(sums, batch, index);
        if (batch.removed[index] === 1) continue;
        record ??= recordOf(entry, batch, index);
        sums.add(record);
      }
    }
    return batch.ids.length * targets.length;
  }

  /** Whether a record of this entry may have had an earlier version. */
  #canReplace(): boolean {
    return this.#entry.operation !== "put" || this.#parts.reader.canChange(this.#entry.type);
  }

  /** Where each record's latest version lies at a checkpoint. */
  async #latestAt(
    batch: RecordBatch,
    checkpoint: number,
  ): Promise<readonly (IdPosition | undefined)[]> {
    const known = this.#latest.get(checkpoint);
    if (known !== undefined) return known;
    const { type } = this.#entry;
    const found = await latestOf(this.#parts, this.#scope, { batch, type }, checkpoint);
    this.#latest.set(checkpoint, found);
    return found;
  }

  /** Takes the version back that was live when the sums were last complete. */
  async #takeBack(sums: ExpectedSums, batch: RecordBatch, index: number): Promise<void> {
    const earlier = await this.#before(batch.ids[index] ?? "", sums.position);
    if (earlier !== undefined) sums.takeBack(earlier);
  }

  /** A record as it was live at an earlier point; `undefined` where it was not. */
  async #before(id: string, position: number): Promise<LiveRecord | undefined> {
    const key = `${position} ${id}`;
    if (this.#earlier.has(key)) return this.#earlier.get(key);
    const { type } = this.#entry;
    const keys = [{ id, sequence: position + 1 }];
    const [at] = await this.#parts.journal.lookupBefore(this.#scope, type, keys);
    const record = at === undefined || at.isDeleted ? undefined : await this.#read(id, at);
    this.#earlier.set(key, record);
    return record;
  }

  async #read(id: string, at: IdPosition): Promise<LiveRecord> {
    const { text, line } = await this.#parts.reader.recordAt(this.#scope, at);
    const { type } = this.#entry;
    const observedAt = line.observedAt ?? Number.NaN;
    return { type, id, sequence: at.sequence, fields: parseJson(text), observedAt };
  }
}

async function latestOf(
  { journal }: PassParts,
  scope: Scope,
  { batch, type }: { readonly batch: RecordBatch; readonly type: string },
  checkpoint: number,
): Promise<readonly (IdPosition | undefined)[]> {
  const keys = batch.ids.map((id) => ({ id, sequence: checkpoint + 1 }));
  return await journal.lookupBefore(scope, type, keys);
}

function recordOf(entry: StoredEntry, batch: RecordBatch, index: number): LiveRecord {
  const text = Buffer.from(recordText(batch, index)).toString("utf8");
  const observedAt = batch.observedAt[index] ?? Number.NaN;
  const id = batch.ids[index] ?? "";
  return { type: entry.type, id, sequence: entry.sequence, fields: parseJson(text), observedAt };
}
