import type { ColumnType, GraphPlacement } from "@custody/contract/placement";

import type { LadybugSession } from "../drivers/ladybug.ts";
import type { Delivery } from "../record-batch.ts";
import { foldChanges, newChanges, touchedNodes } from "./delivery-changes.ts";
import { GraphFold } from "./graph-fold.ts";
import type { GraphModel } from "./graph-model.ts";
import { readCheckpoint } from "./ladybug-read.ts";
import { writeCheckpoint } from "./ladybug-tables.ts";
import type { NodeRef } from "./port.ts";
import { addEdges, loadNodes, writeNodes } from "./ladybug-write.ts";

/**
 * Writes a delivery in the session's transaction: folds it into net changes in memory first, so that a
 * probe named by a thousand records costs one statement row.
 *
 * @throws StoreError `conflict` as `newChanges`.
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
  const changes = newChanges({ placements, delivery, isAppendOnly, checkpoint });
  if (changes === undefined) return;
  const fold = new GraphFold();
  const stored = new Map<string, ReadonlySet<string>>();
  for (const [label, ids] of touchedNodes(changes)) {
    const properties = propertiesOfLabel(model, label);
    stored.set(label, await loadNodes(session, fold, label, { properties, ids: [...ids] }));
  }
  foldChanges(fold, changes);
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
