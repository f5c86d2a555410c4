import { StoreError } from "./errors.ts";
import type { Collection } from "./projected-store.ts";

/** The type and placement of a collection that holds one type. @throws StoreError `refused` otherwise. */
export function onlyPlacement<Placement>(
  collection: Collection<Placement>,
): readonly [string, Placement] {
  const entries = Object.entries(collection.placements);
  const [first] = entries;
  if (first !== undefined && entries.length === 1) return first;
  throw new StoreError(
    "refused",
    `${collection.name} must hold one type here, not ${entries.length}`,
  );
}

/** The error for a collection nobody prepared. */
export function notPrepared({ name, generation }: Collection<unknown>): StoreError {
  return new StoreError("refused", `${name} generation ${generation} was not prepared`);
}
