import { StoreError } from "@custody/stores/errors";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { CALL_RULES } from "./call-rules.ts";
import type { CallRule } from "./call-rules.ts";
import { GUARD_SETTINGS, StoreGuard } from "./store-guard.ts";

const START = Date.parse("2026-04-01T00:00:00Z");
const once: CallRule = { isRepeatable: false, time: "readMs" };
const again: CallRule = { isRepeatable: true, time: "readMs" };
const away = (): Promise<never> =>
  Promise.reject(new StoreError("unavailable", "connection refused"));

let notices: string[];
let guard: StoreGuard;

// The library takes its time from the system's clock and timers; here both are ours.
beforeEach(() => {
  vi.useFakeTimers({ now: START });
  notices = [];
  guard = new StoreGuard({
    store: "search",
    product: "OpenSearch",
    settings: GUARD_SETTINGS,
    clock: () => Date.now(),
    random: () => Uint8Array.of(255),
    onNotice: (text) => notices.push(text),
  });
});
afterEach(() => vi.useRealTimers());

const call = (work: () => Promise<unknown>, rule = once, deadline = Infinity): Promise<unknown> =>
  guard.call({ name: "search", rule, deadline, work });

const fail = async (times: number): Promise<void> => {
  for (let time = 0; time < times; time += 1)
    await expect(call(away)).rejects.toMatchObject({ message: "connection refused" });
};

test("after five calls without an answer the store is asked no more, and callers are told at once", async () => {
  await fail(5);
  let asked = 0;
  const work = (): Promise<number> => Promise.resolve((asked += 1));
  await expect(call(work)).rejects.toMatchObject({
    name: "StoreError",
    code: "unavailable",
    retryable: true,
    message:
      "OpenSearch (search) has not answered since 2026-04-01T00:00:00.000Z and is asked again at 2026-04-01T00:00:01.000Z; its last failure: connection refused",
  });
  expect(asked).toBe(0);
});

test("four failures and an answer leave the store asked", async () => {
  await fail(4);
  expect(await call(() => Promise.resolve("yes"))).toBe("yes");
  await fail(4);
  expect(await call(() => Promise.resolve("yes"))).toBe("yes");
});

test("a refusal is an answer: it shows that the store is there", async () => {
  await fail(4);
  const refusal = new StoreError("refused", "no such field");
  await expect(call(() => Promise.reject(refusal))).rejects.toBe(refusal);
  await fail(4);
  expect(guard.report).toBeUndefined();
});

test("when the while is over one call is let through, and its answer opens the way for all", async () => {
  await fail(5);
  vi.advanceTimersByTime(1_000);
  const { promise, resolve } = Promise.withResolvers<string>();
  const trial = call(() => promise);
  expect(guard.report).toMatchObject({ state: "half-open", since: START });
  await expect(call(() => Promise.resolve("me too"))).rejects.toMatchObject({
    code: "unavailable",
  });
  resolve("here");
  expect(await trial).toBe("here");
  expect(await call(() => Promise.resolve("me too"))).toBe("me too");
  expect(guard.report).toBeUndefined();
});

test("each trial that fails doubles the while, up to fifteen seconds", async () => {
  await fail(5);
  const waited: number[] = [];
  for (let trial = 0; trial < 6; trial += 1) {
    const { retryAt = 0 } = guard.report ?? {};
    waited.push(retryAt - Date.now());
    vi.setSystemTime(retryAt);
    await fail(1);
  }
  expect(waited).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  expect(guard.report).toMatchObject({ state: "open", since: START });
});

test("people are told once that a store does not answer, and once that it does again", async () => {
  await fail(5);
  for (let trial = 0; trial < 3; trial += 1) {
    vi.setSystemTime(guard.report?.retryAt ?? 0);
    await fail(1);
  }
  vi.setSystemTime(guard.report?.retryAt ?? 0);
  await call(() => Promise.resolve("here"));
  expect(notices).toEqual([
    "OpenSearch (search) did not answer 5 times in a row and is asked more rarely until it does: connection refused",
    "OpenSearch (search) answers again",
  ]);
});

test("a read is asked three times in all, after pauses that are drawn", async () => {
  let asked = 0;
  const answer = call(() => {
    asked += 1;
    return asked < 3 ? away() : Promise.resolve("third");
  }, again);
  await vi.runAllTimersAsync();
  expect(await answer).toBe("third");
  expect(asked).toBe(3);
  expect(Date.now()).toBeGreaterThan(START);
});

test("a read that waited in vain is not made again, as its caller has waited long enough", async () => {
  let asked = 0;
  const answer = call(() => {
    asked += 1;
    vi.setSystemTime(Date.now() + 3_000);
    return away();
  }, again);
  await expect(answer).rejects.toMatchObject({ message: "connection refused" });
  expect(asked).toBe(1);
});

test("a call that must not be repeated is made once", async () => {
  let asked = 0;
  const answer = call(() => {
    asked += 1;
    return away();
  });
  await expect(answer).rejects.toMatchObject({ message: "connection refused" });
  await vi.runAllTimersAsync();
  expect(asked).toBe(1);
});

test("a call without a deadline that is never answered ends after two minutes", async () => {
  const failed = call(() => new Promise(() => undefined)).catch((cause: unknown) => cause);
  await vi.advanceTimersByTimeAsync(119_999);
  expect(vi.getTimerCount()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(await failed).toMatchObject({
    code: "unavailable",
    message: "OpenSearch (search) did not answer `search` within 120 s",
  });
});

test("a caller whose time is over says nothing about the store", async () => {
  vi.setSystemTime(START + 10);
  for (let time = 0; time < 9; time += 1)
    await expect(call(away, again, START + 5)).rejects.toMatchObject({ code: "unavailable" });
  expect(guard.report).toBeUndefined();
});

test("work that takes as long as there is data has no limit", async () => {
  const unlimited = { isRepeatable: false, time: "unlimited" } as const;
  const { promise, resolve } = Promise.withResolvers<string>();
  const answer = call(() => promise, unlimited);
  await vi.advanceTimersByTimeAsync(3_600_000);
  resolve("at last");
  expect(await answer).toBe("at last");
});

test("nothing that commits, delivers, claims or counts is repeated blindly", () => {
  const names = "apply repair relocate putIntent claim complete fail increment acquire put";
  const repeated = names.split(" ").filter((name) => CALL_RULES.get(name)?.isRepeatable === true);
  expect(repeated).toEqual([]);
  expect(["begin", "append", "commit", "rollback"].filter((name) => CALL_RULES.has(name))).toEqual(
    [],
  );
});
