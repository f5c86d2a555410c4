import { expect, test } from "vitest";

import { Pace } from "./pace.ts";

/** A clock that rests move on, and the rests. */
function restingRuntime(): {
  readonly clock: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  nowMs: number;
  readonly rests: number[];
} {
  const runtime = {
    nowMs: 1_000,
    rests: [] as number[],
    clock: () => runtime.nowMs,
    sleep: (ms: number) => {
      runtime.rests.push(ms);
      runtime.nowMs += ms;
      return Promise.resolve();
    },
  };
  return runtime;
}

test("a quarter of a core rests three times as long as it works", async () => {
  const runtime = restingRuntime();
  const pace = new Pace(runtime, { share: 0.25 }, undefined);
  runtime.nowMs += 40;
  await pace.rest(10);
  runtime.nowMs += 100;
  await pace.rest(10);
  expect(runtime.rests).toEqual([120, 300]);
});

test("a limit of rows a second rests for the rest of the second", async () => {
  const runtime = restingRuntime();
  const pace = new Pace(runtime, { rowsPerSecond: 1_000 }, undefined);
  runtime.nowMs += 100;
  await pace.rest(500);
  expect(runtime.rests).toEqual([400]);
});

test("without a throttle nothing rests", async () => {
  const runtime = restingRuntime();
  const pace = new Pace(runtime, undefined, undefined);
  runtime.nowMs += 40;
  await pace.rest(1_000_000);
  expect(runtime.rests).toEqual([]);
});

test("a clock that jumps an hour is rested for by a minute at most", async () => {
  const runtime = restingRuntime();
  const pace = new Pace(runtime, { share: 0.5 }, undefined);
  runtime.nowMs += 3_600_000;
  await pace.rest(1);
  runtime.nowMs -= 7_200_000;
  await pace.rest(1);
  expect(runtime.rests).toEqual([60_000]);
});

test("a signal ends the work at its next rest", async () => {
  const abort = new AbortController();
  const pace = new Pace(restingRuntime(), undefined, abort.signal);
  await pace.rest(1);
  abort.abort();
  await expect(pace.rest(1)).rejects.toMatchObject({ name: "CoreError", code: "failed" });
});

test("a share of nothing or of more than a core is refused", () => {
  for (const share of [0, -1, 1.01, Number.NaN]) {
    expect(() => new Pace(restingRuntime(), { share }, undefined)).toThrow("share of a core");
  }
  expect(() => new Pace(restingRuntime(), { rowsPerSecond: 0 }, undefined)).toThrow("rows per");
});
