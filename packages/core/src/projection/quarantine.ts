import { StoreError } from "@custody/stores/errors";
import type { ProjectedStore } from "@custody/stores/projected-store";
import type { Delivery, RecordBatch } from "@custody/stores/record-batch";
import type { JournalStore, QuarantineRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { pickRecords } from "../journal/entry-records.ts";
import type { Projection } from "./projections.ts";

/** A record that a store does not take, and why. */
interface Refusal {
  readonly type: string;
  readonly id: string;
  readonly sequence: number;
  readonly reason: string;
}

// A generation of its own in which suspects are tried, so that a trial never counts anything twice.
const TRIAL_GENERATION = 999_999;

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
 * Answers the delivery without them, and the refusals. When the trial takes everything, the refusal
 * depends on what the store already holds and the original failure is thrown.
 */
export async function isolateRefusals(
  scope: Scope,
  projection: Projection,
  store: ProjectedStore<unknown>,
  { delivery, failure }: { readonly delivery: Delivery; readonly failure: StoreError },
): Promise<{ readonly delivery: Delivery; readonly refusals: readonly Refusal[] }> {
  const trial = { ...projection.collection, generation: TRIAL_GENERATION };
  const refusals: Refusal[] = [];
  const tryBatch = async (batch: RecordBatch): Promise<void> => {
    if (batch.ids.length === 0) return;
    await store.discard(scope, trial);
    await store.prepare(scope, trial);
    try {
      await store.apply(scope, trial, { batches: [batch], checkpoint: delivery.checkpoint });
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
    const kept = range(0, batch.ids.length).filter(
      (i) => !refused.has(`${batch.type}\0${batch.ids[i] ?? ""}`),
    );
    return kept.length === batch.ids.length ? batch : pickRecords(batch, kept);
  });
  return { ...delivery, batches: batches.filter((batch) => batch.ids.length > 0) };
}

/** Writes refusals down, so that they can be listed, replayed or discarded. */
export async function quarantineRefusals(
  journal: JournalStore,
  scope: Scope,
  projection: Projection,
  parts: { readonly refusals: readonly Refusal[]; readonly at: number },
): Promise<void> {
  const rows: QuarantineRow[] = parts.refusals.map((refusal) => ({
    ...refusal,
    role: projection.role,
    collection: projection.name,
    at: parts.at,
  }));
  await journal.putQuarantine(scope, rows);
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}
