import { StoreError } from "@custody/stores/errors";

import type { Projector } from "./projector.ts";

/** By whose mapping a store holds a build. */
export type Holder = "own" | "other" | "unknown";

/** Looks by whose mapping the store of a projector holds its build; `unknown` where it cannot be asked. */
export async function holderOf(projector: Projector): Promise<Holder> {
  try {
    await projector.checkpoint();
    return "own";
  } catch (cause) {
    return isRefusedMapping(cause) ? "other" : "unknown";
  }
}

/** Passes over a store's refusal of a mapping. */
export function unlessRefused(cause: unknown): void {
  if (!isRefusedMapping(cause)) throw cause;
}

function isRefusedMapping(cause: unknown): boolean {
  return cause instanceof StoreError && cause.code === "refused";
}
