import type { ColumnType, GraphPlacement } from "@custody/contract/placement";

import type { LadybugSession } from "../drivers/ladybug.ts";
import { StoreError } from "../errors.ts";
import { batchPreviousRecord, batchRecord } from "../record-batch.ts";
import type { Delivery } from "../record-batch.ts";
import { GraphFold, compileMention } from "./graph-fold.ts";
import type { Mention } from "./graph-fold.ts";
import type { GraphModel } from "./graph-model.ts";
import { readCheckpoint } from "./ladybug-read.ts";
import { writeCheckpoint } from "./ladybug-tables.ts";
import type { NodeRef } from "./port.ts";
import { addEdges, loadNodes, writeNodes } from "./ladybug-write.ts";

interface Change {
  readonly sequence: number;
  readonly previous: Mention | undefined;
  /** The version of `previous`, where the delivery tells it. */
  readonly previousSequence: number | undefined;
  readonly next: Mention | undefined;
}

/**
 * Writes a delivery in the session's transaction: folds it into net changes in memory first, so that a
 * probe named by a thousand records costs one statement row.
 *
 * @throws StoreError `conflict` when the delivery was read from elsewhere than where the graph stands,
 *   as after a damaged graph was replaced: records between would be missing, or taken back twice.
 */
export async function applyDelivery(
  session: LadybugSession,
  {
    model,
    placements,
    delivery,
    isAppendOnly,
  }: {
    readonly model: GraphModel;
    readonly placements: Readonly<Record<string, GraphPlacement>>;
    readonly delivery: Delivery;
    readonly isAppendOnly: boolean;
  },
): Promise<void> {
  const checkpoint = await readCheckpoint(session);
  if (delivery.checkpoint <= checkpoint) return;
  const { after = checkpoint } = delivery;
  // What never changes may be told again: its first telling is known by its sequence.
  if (after > checkpoint || (after < checkpoint && !isAppendOnly)) {
    throw new StoreError(
      "conflict",
      `the graph stands at ${checkpoint}, and the delivery was read from ${after}`,
    );
  }
  const changes = changesAfter(checkpoint, placements, delivery);
  const fold = new GraphFold();
  const stored = new Map<string, ReadonlySet<string>>();
  for (const [label, ids] of touchedNodes(changes)) {
    const properties = propertiesOfLabel(model, label);
    stored.set(label, await loadNodes(session, fold, label, { properties, ids: [...ids] }));
  }
  for (const { sequence, previous, previousSequence, next } of changes) {
    if (previous !== undefined) fold.retract(previous, previousSequence);
    if (next !== undefined) fold.add(next, sequence);
  }
  for (const [label, known] of stored) {
    const nodes = fold.nodes.get(label)?.values() ?? [];
    const properties = propertiesOfLabel(model, label);
    await writeNodes(session, label, { properties, stored: known }, nodes);
  }
  const wasStored = ({ label, id }: NodeRef): boolean => stored.get(label)?.has(id) === true;
  await addEdges(session, { model, wasStored }, fold.edges.values());
  await session.direct(writeCheckpoint(delivery.checkpoint));
}

function propertiesOfLabel(model: GraphModel, label: string): ReadonlyMap<string, ColumnType> {
  return model.labels.get(label) ?? new Map<string, ColumnType>();
}

/** What the delivery's new records change, in the order of the journal. */
function changesAfter(
  checkpoint: number,
  placements: Readonly<Record<string, GraphPlacement>>,
  { batches }: Delivery,
): readonly Change[] {
  const changes: Change[] = [];
  for (const batch of batches) {
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

function touchedNodes(changes: readonly Change[]): ReadonlyMap<string, ReadonlySet<string>> {
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
