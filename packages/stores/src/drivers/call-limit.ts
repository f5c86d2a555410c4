import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";

/**
 * How many milliseconds a call may still take: the server's time-out, or less where the scope's
 * deadline is nearer.
 *
 * @throws StoreError `unavailable` when the deadline has passed.
 */
export function callMilliseconds(scope: Scope, timeoutMs: number, now: number): number {
  const left = scope.deadline - now;
  if (left <= 0) throw new StoreError("unavailable", "the deadline of the call has passed");
  return Math.min(timeoutMs, Math.ceil(left));
}

/**
 * Waits for work no longer than `ms`; for clients that have no time-out of their own for a call. The
 * work itself goes on when it cannot be stopped through the signal.
 *
 * @throws StoreError `unavailable` when the time is over.
 */
export async function withinMilliseconds<Result>(
  ms: number,
  what: string,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const over = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new StoreError("unavailable", `${what} did not answer within ${ms} ms`));
    over.abort();
  }, ms);
  try {
    return await Promise.race([work(over.signal), promise]);
  } finally {
    clearTimeout(timer);
  }
}
