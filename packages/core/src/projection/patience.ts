import { StoreError } from "@custody/stores/errors";

import type { Runtime } from "../runtime.ts";

const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 30_000;

/**
 * Does work again, with growing pauses, for as long as a store that it needs cannot be reached or is full.
 * What fails otherwise is left to be seen where it failed.
 *
 * @param signal ends it.
 */
export async function patiently(
  { runtime, signal }: { readonly runtime: Runtime; readonly signal: AbortSignal },
  work: () => Promise<void>,
): Promise<void> {
  let pauseMs = RETRY_FIRST_MS;
  while (!signal.aborted) {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof StoreError) || !cause.retryable) return;
      await runtime.sleep(pauseMs * (0.5 + (runtime.random(1)[0] ?? 0) / 512), signal);
      pauseMs = Math.min(pauseMs * 2, RETRY_LAST_MS);
    }
  }
}
