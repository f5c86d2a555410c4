/** Times of many calls, in milliseconds. */
export interface Latency {
  readonly calls: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Sums measured times up. */
export function latencyOf(timesMs: readonly number[]): Latency {
  const sorted = timesMs.toSorted((left, right) => left - right);
  const at = (share: number): number => {
    const index = Math.min(sorted.length - 1, Math.floor(sorted.length * share));
    return Math.round((sorted[index] ?? 0) * 1_000) / 1_000;
  };
  return { calls: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** Times a call so many times, one after another, after a few that warm it up. */
export async function timeCalls(calls: number, call: (index: number) => unknown): Promise<Latency> {
  const times: number[] = [];
  const warmUps = Math.min(20, calls);
  for (let index = -warmUps; index < calls; index += 1) {
    const begun = performance.now();
    await call(Math.abs(index));
    if (index >= 0) times.push(performance.now() - begun);
  }
  return latencyOf(times);
}
