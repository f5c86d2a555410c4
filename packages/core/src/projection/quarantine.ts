import { StoreError } from "@custody/stores/errors";
import type { ProjectedStore } from "@custody/stores/projected-store";
import { recordText } from "@custody/stores/record-batch";
import type { Delivery, RecordBatch } from "@custody/stores/record-batch";
import type { JournalStore, QuarantineRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { joinBytes, pickRecords } from "../journal/entry-records.ts";
import type { Runtime } from "../runtime.ts";
import type { Projection } from "./projections.ts";

/** A record that a store does not take, and why. */
interface Refusal {
  readonly type: string;
  readonly id: string;
  readonly sequence: number;
  /** The version before the delivery, where the delivery tells it. */
  readonly previous: number | undefined;
  readonly reason: string;
}

// Generations in which suspects are tried, so that a trial never counts anything twice. No build ever
// comes so far, and two projectors that try at once, in one process or in two, do not share one.
const TRIALS_BEGIN = 1_000_000;
const TRIALS = 1_000_000;

/** Draws the generation in which a projector tries suspects. */
export function drawTrialGeneration(random: Runtime["random"]): number {
  return TRIALS_BEGIN + (Buffer.from(random(4)).readUInt32BE() % TRIALS);
}

/** True for a failure that one of the records causes and that repeating will not mend. */
export function isRefusal(cause: unknown): cause is StoreError {
  return (
    cause instanceof StoreError &&
    ["refused", "limit", "conflict", "unsupported"].includes(cause.code)
  );
}

/**
 * Finds the records that a store refuses by halving the delivery in a trial collection.
 *
 * Answers the delivery in which they are deletions instead, so that no earlier version stays in their
 * place, and the refusals. When the trial takes everything, the refusal
 * depends on what the store already holds and the original failure is thrown.
 */
export async function isolateRefusals(
  scope: Scope,
  projection: Projection,
  store: ProjectedStore<unknown>,
  {
    delivery,
    failure,
    generation,
  }: {
    readonly delivery: Delivery;
    readonly failure: StoreError;
    /** Drawn by {@link drawTrialGeneration}. */
    readonly generation: number;
  },
): Promise<{ readonly delivery: Delivery; readonly refusals: readonly Refusal[] }> {
  const trial = { ...projection.collection, generation };
  const refusals: Refusal[] = [];
  const tryBatch = async (batch: RecordBatch): Promise<void> => {
    if (batch.ids.length === 0) return;
    await store.discard(scope, trial);
    await store.prepare(scope, trial);
    try {
      // The trial collection has nothing that could be taken back.
      const { previous: _, ...alone } = batch;
      await store.apply(scope, trial, { batches: [alone], checkpoint: delivery.checkpoint });
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
      await divide(batch, cause);
    }
  };
  const divide = async (batch: RecordBatch, cause: StoreError): Promise<void> => {
    const count = batch.ids.length;
    if (count === 1) {
      const [id = ""] = batch.ids;
      refusals.push({
        type: batch.type,
        id,
        sequence: batch.sequences[0] ?? 0,
        previous: batch.previous?.sequences?.[0],
        reason: cause.message,
      });
      return;
    }
    const middle = count >> 1;
    await tryBatch(pickRecords(batch, range(0, middle)));
    await tryBatch(pickRecords(batch, range(middle, count)));
  };
  for (const batch of delivery.batches) await tryBatch(batch);
  await store.discard(scope, trial);
  if (refusals.length === 0) throw failure;
  return { delivery: without(delivery, refusals), refusals };
}

function without(delivery: Delivery, refusals: readonly Refusal[]): Delivery {
  const refused = new Set(refusals.map(({ type, id }) => `${type}\0${id}`));
  const batches = delivery.batches.map((batch) => {
    const isRefused = batch.ids.map((id) => refused.has(`${batch.type}\0${id}`));
    if (!isRefused.includes(true)) return batch;
    // A batch of new records has no earlier version to be deleted.
    if (batch.isNew !== true) return asDeletions(batch, isRefused);
    return pickRecords(
      batch,
      range(0, batch.ids.length).filter((index) => isRefused[index] === false),
    );
  });
  return { ...delivery, batches: batches.filter((batch) => batch.ids.length > 0) };
}

/** The batch with some of its records deleted. */
function asDeletions(batch: RecordBatch, isDeleted: readonly boolean[]): RecordBatch {
  const texts = batch.ids.map((_, index) =>
    isDeleted[index] === true ? NO_TEXT : recordText(batch, index),
  );
  const removed = batch.removed.map((was, index) => (isDeleted[index] === true ? 1 : was));
  return { ...batch, ...joinBytes(texts), removed };
}

const NO_TEXT = new Uint8Array(0);

/** A refused record of which a later version was taken. */
export type PassedRow = QuarantineRow & { readonly passedBy: number };

/** Which records of a projection are or were quarantined, and in which versions. */
export class Quarantined {
  readonly #rows = new Map<string, QuarantineRow>();

  constructor(rows: readonly QuarantineRow[]) {
    this.add(rows);
  }

  add(rows: readonly QuarantineRow[]): void {
    for (const row of rows) this.#rows.set(`${row.type}\0${row.id}`, row);
  }

  /** Takes out of `previous` what the store never held, as it had refused it. */
  withoutPrevious(delivery: Delivery): Delivery {
    if (this.#rows.size === 0) return delivery;
    return { ...delivery, batches: delivery.batches.map((batch) => this.#cleared(batch)) };
  }

  /** The rows that a delivery has passed: it brought a later version of their record. */
  passedBy({ batches }: Delivery): PassedRow[] {
    if (this.#rows.size === 0) return [];
    return batches.flatMap(({ type, ids, sequences }) =>
      ids.flatMap((id, index) => {
        const row = this.#rows.get(`${type}\0${id}`);
        const passedBy = sequences[index] ?? 0;
        if (row === undefined || row.passedBy !== undefined || row.sequence >= passedBy) return [];
        return [{ ...row, passedBy }];
      }),
    );
  }

  /** The rows of records that are refused now in an earlier version. */
  laterThan(refusals: readonly Refusal[]): QuarantineRow[] {
    return refusals.flatMap(({ type, id, sequence }) => {
      const row = this.#rows.get(`${type}\0${id}`);
      return row !== undefined && row.sequence > sequence ? [row] : [];
    });
  }

  /** From which version on a record that is refused now was refused again and again. */
  since({ type, id, sequence, previous = 0 }: Refusal): number {
    const row = this.#rows.get(`${type}\0${id}`);
    return row !== undefined && isRefusedIn(row, previous) ? row.since : sequence;
  }

  #cleared(batch: RecordBatch): RecordBatch {
    const { previous, type, ids } = batch;
    if (previous === undefined) return batch;
    const isKept = ids.map((id, index) => {
      const row = this.#rows.get(`${type}\0${id}`);
      return row === undefined || !isRefusedIn(row, previous.sequences?.[index] ?? 0);
    });
    if (!isKept.includes(false)) return batch;
    const { text, offsets } = previous;
    const texts = ids.map((_, index) =>
      isKept[index] === true ? text.subarray(offsets[index], offsets[index + 1]) : NO_TEXT,
    );
    return { ...batch, previous: { ...previous, ...joinBytes(texts) } };
  }
}

/** Whether a version is one of those that were refused one after another. */
function isRefusedIn({ since, sequence }: QuarantineRow, version: number): boolean {
  return since <= version && version <= sequence;
}

/** Writes refusals down, so that they can be listed, replayed or discarded; answers what was written. */
export async function quarantineRefusals(
  journal: JournalStore,
  scope: Scope,
  projection: Projection,
  parts: {
    readonly refusals: readonly Refusal[];
    readonly known: Quarantined;
    readonly at: number;
  },
): Promise<readonly QuarantineRow[]> {
  const rows = parts.refusals.map((refusal): QuarantineRow => {
    const { type, id, sequence, reason } = refusal;
    const since = parts.known.since(refusal);
    const { role, name: collection } = projection;
    return { role, collection, type, id, sequence, since, reason, at: parts.at };
  });
  await journal.putQuarantine(scope, rows);
  return rows;
}

/** Quarantined records of a projection that are looked at. */
const QUARANTINED_MAX = 100_000;

/**
 * Reads which records of a projection are or were quarantined. Those whose later version the store has
 * taken before the process that delivered it could write so, are passed now.
 */
export async function readQuarantined(
  journal: JournalStore,
  scope: Scope,
  projection: Projection,
  checkpoint: number,
): Promise<Quarantined> {
  const rows = await readNotes(journal, scope, projection);
  const passed: PassedRow[] = [];
  const lost: QuarantineRow[] = [];
  const open = rows.filter((row) => row.passedBy === undefined && row.sequence <= checkpoint);
  for (const [type, ofType] of Map.groupBy(open, (row) => row.type)) {
    const keys = ofType.map(({ id }) => ({ id, sequence: checkpoint + 1 }));
    const positions = await journal.lookupBefore(scope, type, keys);
    for (const [index, row] of ofType.entries()) {
      const latest = positions[index]?.sequence;
      if (latest === undefined) lost.push(row);
      else if (latest !== row.sequence) passed.push({ ...row, passedBy: latest });
    }
  }
  if (passed.length > 0) await journal.passQuarantine(scope, passed);
  // Of another timeline: a restore has cut off what they name.
  if (lost.length > 0) await journal.dropQuarantine(scope, lost);
  const quarantined = new Quarantined(rows.filter((row) => !lost.includes(row)));
  quarantined.add(passed);
  return quarantined;
}

/** What is noted of a projection, what was passed as well. */
export function readNotes(
  journal: JournalStore,
  scope: Scope,
  { role, name }: Projection,
): Promise<readonly QuarantineRow[]> {
  const query = { role, collection: name, withPassed: true, limit: QUARANTINED_MAX };
  return journal.quarantine(scope, query);
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}
