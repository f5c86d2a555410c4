import { StoreError } from "./errors.ts";
import type { Collection } from "./projected-store.ts";
import type { Delivery } from "./record-batch.ts";

/**
 * Refuses a delivery that was read from beyond where its collection stands: the checkpoint would move over
 * records that nobody has told it. One that comes late does so after a store came back older than it was.
 *
 * To be asked in the transaction that writes, or under its lock, where the engine has one.
 *
 * @throws StoreError `conflict` naming where the collection stands.
 */
export function refuseGap(
  collection: Pick<Collection<unknown>, "name">,
  { after = 0 }: Pick<Delivery, "after">,
  checkpoint: number,
): void {
  if (after > checkpoint) throw readElsewhere(collection, after, checkpoint);
}

/**
 * Refuses a delivery that was read from elsewhere than where rows made of several records stand: its
 * `previous` is not what they are made of. Records that never change have none, so of them only a gap
 * is refused.
 *
 * @throws StoreError `conflict` naming where the collection stands.
 */
export function requireSameStart(
  collection: Pick<Collection<unknown>, "name" | "isAppendOnly">,
  { after }: Pick<Delivery, "after">,
  checkpoint: number,
): void {
  if (after === undefined || after === checkpoint) return;
  if (collection.isAppendOnly === true && after < checkpoint) return;
  throw readElsewhere(collection, after, checkpoint);
}

function readElsewhere(
  { name }: Pick<Collection<unknown>, "name">,
  after: number,
  checkpoint: number,
): StoreError {
  return new StoreError(
    "conflict",
    `a delivery of ${name} was read after ${after}, and the store stands at ${checkpoint}: read from there`,
  );
}
