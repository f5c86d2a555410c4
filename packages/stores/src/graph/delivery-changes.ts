import type { GraphPlacement } from "@custody/contract/placement";

import { requireSameStart } from "../delivery-start.ts";
import { batchPreviousRecord, batchRecord } from "../record-batch.ts";
import type { Delivery } from "../record-batch.ts";
import { compileMention } from "./graph-fold.ts";
import type { GraphFold, Mention } from "./graph-fold.ts";

/** What one record of a delivery changes in the graph. */
export interface GraphChange {
  readonly sequence: number;
  readonly previous: Mention | undefined;
  /** The version of `previous`, where the delivery tells it. */
  readonly previousSequence: number | undefined;
  readonly next: Mention | undefined;
}

/** How a delivery is read, and where the graph that takes it stands. */
export interface DeliveryReading {
  readonly placements: Readonly<Record<string, GraphPlacement>>;
  readonly delivery: Delivery;
  readonly isAppendOnly: boolean;
  readonly checkpoint: number;
}

/**
 * What the delivery's new records change, in the order of the journal; `undefined` when it is known.
 *
 * @throws StoreError `conflict` when the delivery was read from elsewhere than where the graph stands,
 *   as after a damaged graph was replaced: records between would be missing, or taken back twice.
 */
export function newChanges(reading: DeliveryReading): readonly GraphChange[] | undefined {
  const { delivery, isAppendOnly, checkpoint } = reading;
  if (delivery.checkpoint <= checkpoint) return undefined;
  // What never changes may be told again: its first telling is known by its sequence.
  requireSameStart({ name: "graph", isAppendOnly }, delivery, checkpoint);
  return changesAfter(reading);
}

function changesAfter({ placements, delivery, checkpoint }: DeliveryReading): GraphChange[] {
  const changes: GraphChange[] = [];
  for (const batch of delivery.batches) {
    const placement = placements[batch.type];
    if (placement === undefined) continue;
    const mention = compileMention(placement);
    for (const [index, sequence] of batch.sequences.entries()) {
      if (sequence <= checkpoint) continue;
      const before = batchPreviousRecord(batch, index);
      const after = batchRecord(batch, index);
      changes.push({
        sequence,
        previous: before === undefined ? undefined : mention(before),
        previousSequence: batch.previous?.sequences?.[index],
        next: after === undefined ? undefined : mention(after),
      });
    }
  }
  return changes.sort((left, right) => left.sequence - right.sequence);
}

/** The ids of all nodes that the changes name, by label. */
export function touchedNodes(
  changes: readonly GraphChange[],
): ReadonlyMap<string, ReadonlySet<string>> {
  const touched = new Map<string, Set<string>>();
  for (const { previous, next } of changes) {
    for (const { label, id } of [...(previous?.nodes ?? []), ...(next?.nodes ?? [])]) {
      const ids = touched.get(label);
      if (ids === undefined) touched.set(label, new Set([id]));
      else ids.add(id);
    }
  }
  return touched;
}

/** Folds the changes into what is stored of the touched nodes. */
export function foldChanges(fold: GraphFold, changes: readonly GraphChange[]): void {
  for (const { sequence, previous, previousSequence, next } of changes) {
    if (previous !== undefined) fold.retract(previous, previousSequence);
    if (next !== undefined) fold.add(next, sequence);
  }
}
