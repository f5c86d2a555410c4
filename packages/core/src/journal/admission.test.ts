import { expect, test } from "vitest";

import { Admission } from "./admission.ts";
import type { AdmissionSettings } from "./admission.ts";

const SMALL: AdmissionSettings = {
  commitsMax: 4,
  bytesMax: 1_000,
  importsAtOnce: 1,
  importsWaitingMax: 2,
};

function admission(settings: Partial<AdmissionSettings> = {}): {
  readonly gate: Admission;
  readonly clock: { nowMs: number };
} {
  const clock = { nowMs: 50_000 };
  return { gate: new Admission({ ...SMALL, ...settings }, () => clock.nowMs), clock };
}

test("as many commits as may are taken, and one more is told to come again", () => {
  const { gate } = admission();
  const all = [1, 2, 3, 4].map(() => gate.enter("asked"));
  expect(() => gate.enter("asked")).toThrow(
    expect.objectContaining({
      name: "CoreError",
      code: "busy",
      retryable: true,
      retryAfterMs: 1_000,
      message:
        "4 commits of 0 bytes are being made durable, which is all that may be; commit again in 1000 ms: nothing of this one was written",
    }),
  );
  all[0]?.leave("done");
  expect(() => gate.enter("asked")).not.toThrow();
});

test("bytes count to the limit, and not one more", () => {
  const { gate } = admission();
  gate.enter("asked").weigh(600);
  expect(() => gate.enter("asked").weigh(401)).toThrow(expect.objectContaining({ code: "busy" }));
  expect(() => gate.enter("asked").weigh(400)).not.toThrow();
});

test("a commit larger than everything that may wait is taken when it is alone", () => {
  const { gate } = admission();
  const large = gate.enter("asked");
  large.weigh(50_000);
  expect(() => gate.enter("asked").weigh(1)).toThrow(expect.objectContaining({ code: "busy" }));
  large.leave("done");
  expect(() => gate.enter("asked").weigh(1)).not.toThrow();
});

test("what Custody writes of itself is counted and never refused", () => {
  const { gate } = admission();
  for (let one = 0; one < 9; one += 1) gate.enter("own").weigh(500);
  expect(() => gate.enter("asked")).toThrow(expect.objectContaining({ code: "busy" }));
});

test("a commit that leaves twice gives its place back once", () => {
  const { gate } = admission();
  const [first] = [1, 2, 3, 4].map(() => gate.enter("asked"));
  first?.leave("done");
  first?.leave("given up");
  gate.enter("asked");
  expect(() => gate.enter("asked")).toThrow(expect.objectContaining({ code: "busy" }));
});

test("writers are told to come when a quarter of what waits will be done, at the speed measured", () => {
  const { gate, clock } = admission({ commitsMax: 40, bytesMax: 1_000_000 });
  // Ten commits of 1,000 bytes, one every 20 ms.
  for (let one = 0; one < 10; one += 1) {
    const done = gate.enter("asked");
    done.weigh(1_000);
    done.leave("done");
    clock.nowMs += 20;
  }
  for (let one = 0; one < 40; one += 1) gate.enter("asked").weigh(1_000);
  // 10 of 40 commits at 10 in 200 ms.
  expect(() => gate.enter("asked")).toThrow(expect.objectContaining({ retryAfterMs: 200 }));
  // Nothing ends any more: the speed falls with every second.
  clock.nowMs += 1_800;
  expect(() => gate.enter("asked")).toThrow(expect.objectContaining({ retryAfterMs: 2_000 }));
  clock.nowMs += 3_600_000;
  expect(() => gate.enter("asked")).toThrow(expect.objectContaining({ retryAfterMs: 30_000 }));
});

test("commits that were given up are no measure of speed", () => {
  const { gate } = admission();
  gate.enter("asked").leave("given up");
  for (let one = 0; one < 4; one += 1) gate.enter("asked");
  expect(() => gate.enter("asked")).toThrow(expect.objectContaining({ retryAfterMs: 1_000 }));
});

test("imports are run one after another, in the order of asking, also when one fails", async () => {
  const { gate } = admission();
  const order: string[] = [];
  const first = Promise.withResolvers<void>();
  const running = gate.inLine(async () => {
    order.push("first begins");
    await first.promise;
    throw new Error("malformed");
  }, undefined);
  const second = gate.inLine(async () => order.push("second"), undefined);
  const third = gate.inLine(async () => order.push("third"), undefined);
  await Promise.resolve();
  expect(order).toEqual(["first begins"]);
  first.resolve();
  await expect(running).rejects.toThrow("malformed");
  await Promise.all([second, third]);
  expect(order).toEqual(["first begins", "second", "third"]);
});

test("two imports may wait behind one, a third is told to come again", async () => {
  const { gate } = admission();
  const first = Promise.withResolvers<void>();
  const waiting = [1, 2, 3].map(() => gate.inLine(() => first.promise, undefined));
  await expect(gate.inLine(() => first.promise, undefined)).rejects.toMatchObject({
    code: "busy",
    retryAfterMs: 30_000,
  });
  first.resolve();
  await Promise.all(waiting);
});

test("an import that is stopped while it waits leaves its place to the next", async () => {
  const { gate } = admission();
  const first = Promise.withResolvers<void>();
  const running = gate.inLine(() => first.promise, undefined);
  const stop = new AbortController();
  let hasRun = false;
  const stopped = gate.inLine(async () => {
    hasRun = true;
  }, stop.signal);
  const next = gate.inLine(async () => "next", undefined);
  stop.abort(new Error("stopped by hand"));
  await expect(stopped).rejects.toThrow("stopped by hand");
  first.resolve();
  await running;
  expect(await next).toBe("next");
  expect(hasRun).toBe(false);
});
