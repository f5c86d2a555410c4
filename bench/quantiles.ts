/** Times of many calls, in milliseconds. */
export interface Latency {
  readonly calls: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/** Sums measured times up. */
export function latencyOf(timesMs: readonly number[]): Latency {
  const sorted = timesMs.toSorted((left, right) => left - right);
  const at = (share: number): number => {
    const index = Math.min(sorted.length - 1, Math.floor(sorted.length * share));
    return Math.round((sorted[index] ?? 0) * 1_000) / 1_000;
  };
  return { calls: sorted.length, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) };
}

// A read that takes seconds is told well enough by a few calls.
const BUDGET_MS = 8_000;
const CALLS_MIN = 3;
const WARM_UPS_MAX = 20;

/**
 * Times a call up to so many times, one after another, after a few that warm it up; where calls are
 * slow, fewer times.
 */
export async function timeCalls(calls: number, call: (index: number) => unknown): Promise<Latency> {
  const times: number[] = [];
  const begun = performance.now();
  const spentMs = (): number => performance.now() - begun;
  for (let index = 0; index < WARM_UPS_MAX && spentMs() < BUDGET_MS / 4; index += 1) {
    await call(index);
  }
  for (let index = 0; index < calls; index += 1) {
    if (index >= CALLS_MIN && spentMs() > BUDGET_MS) break;
    const startedAt = performance.now();
    await call(index);
    times.push(performance.now() - startedAt);
  }
  return latencyOf(times);
}
