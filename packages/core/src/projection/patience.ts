import { StoreError } from "@custody/stores/errors";

import { CoreError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";

const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 30_000;
// Nearly a minute in all: what is read wrongly for longer is damaged, and reading it again does not help.
const MISREADS_MAX = 10;

/**
 * Does work again, with growing pauses, for as long as a store that it needs cannot be reached or is full;
 * some times also where what it read was damaged, as a disk or a wire may have turned a bit on the way.
 * What fails otherwise, or still, is left to be seen where it failed.
 *
 * @param signal ends it.
 */
export async function patiently(
  { runtime, signal }: { readonly runtime: Runtime; readonly signal: AbortSignal },
  work: () => Promise<void>,
): Promise<void> {
  let pauseMs = RETRY_FIRST_MS;
  for (let misreads = 0; !signal.aborted;) {
    try {
      return await work();
    } catch (cause) {
      if (isMisread(cause)) misreads += 1;
      else if (!(cause instanceof StoreError) || !cause.retryable) return;
      if (misreads === MISREADS_MAX) return;
      await runtime.sleep(pauseMs * (0.5 + (runtime.random(1)[0] ?? 0) / 512), signal);
      pauseMs = Math.min(pauseMs * 2, RETRY_LAST_MS);
    }
  }
}

/** Whether a projection stopped at something in the journal or its segments that is not as it was written. */
function isMisread(cause: unknown): boolean {
  return (
    cause instanceof CoreError && cause.cause instanceof CoreError && cause.cause.code === "damaged"
  );
}
