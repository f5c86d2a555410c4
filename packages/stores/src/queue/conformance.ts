import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { runUntilKilled } from "../testing/killed-child.ts";
import { scopeFor } from "../testing/scope.ts";
import type { ClaimedTask, NewTask, Queue } from "./port.ts";

/** What an engine's test hands to the suite. */
export interface QueueFixture extends AsyncDisposable {
  readonly queue: Queue;
  /** Closes the queue and opens it again on the same data, with the same clock. */
  reopen(): Promise<Queue>;
  /** A JavaScript expression that a child process awaits to get a queue on the same data; its clock stands at 1,000. */
  readonly childQueue: string;
}

/** Opens an engine on empty data. */
export type OpenQueue = (clock: () => number) => Promise<QueueFixture>;

const scope = scopeFor("tenant-a");
const other = scopeFor("tenant-b");
const conflict = { name: "StoreError", code: "conflict" };
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

interface Current {
  queue: Queue;
  fixture: QueueFixture;
  nowMs: number;
  /** Adds a task whose payload is its id. */
  add(id: string, options?: Partial<NewTask>): Promise<boolean>;
  claim(leaseMs?: number): Promise<ClaimedTask | undefined>;
  /** Claims where a task must be due. */
  take(leaseMs?: number): Promise<ClaimedTask>;
}

/** The contract of every queue engine. An engine is done when this passes unedited. */
export function describeQueue(engine: string, open: OpenQueue): void {
  describe(`queue: ${engine}`, () => {
    const current = {} as Current;
    beforeEach(async () => {
      current.nowMs = 1_000;
      current.fixture = await open(() => current.nowMs);
      current.queue = current.fixture.queue;
      current.add = (id, options) =>
        current.queue.enqueue(scope, "q", { id, payload: text(id), ...options });
      current.claim = (leaseMs = 100) => current.queue.claim(scope, "q", { worker: "w", leaseMs });
      current.take = async (leaseMs) => {
        const task = await current.claim(leaseMs);
        if (task === undefined) throw new Error("no task is due");
        return task;
      };
    });
    afterEach(() => current.fixture[Symbol.asyncDispose]());

    describe("claiming", () => describeClaiming(current));
    describe("leases", () => describeLeases(current));
    describe("failing", () => describeFailing(current));
    describe("schedules", () => describeSchedules(current));
    describe("names and limits", () => describeNames(current));
    describe("reopening", () => describeReopening(current));
  });
}

function describeClaiming(current: Current): void {
  const drain = async (): Promise<string[]> => {
    const ids: string[] = [];
    for (let task = await current.claim(); task !== undefined; task = await current.claim()) {
      ids.push(task.id);
    }
    return ids;
  };

  test("a task is claimed with its payload, attempt, token and lease", async () => {
    await current.queue.enqueue(scope, "q", { id: "t", payload: Uint8Array.of(0, 255) });
    expect(await current.claim(50)).toEqual({
      queue: "q",
      id: "t",
      payload: Uint8Array.of(0, 255),
      attempt: 1,
      expiresAt: 1_050,
      fencingToken: expect.any(Number) as number,
    });
    expect(await current.claim()).toBeUndefined();
  });

  test("higher priority goes first, then the older", async () => {
    await current.add("low old", { priority: -1 });
    await current.add("plain old");
    await current.add("high old", { priority: 9 });
    await current.add("plain new", { priority: 0 });
    await current.add("high new", { priority: 9 });
    expect(await drain()).toEqual(["high old", "high new", "plain old", "plain new", "low old"]);
  });

  test("a task is due at its instant, not before", async () => {
    await current.add("later", { dueAt: 1_500, priority: 9 });
    await current.add("now");
    expect(await current.queue.depth(scope, "q")).toEqual({
      due: 1,
      later: 1,
      claimed: 0,
      dead: 0,
    });
    expect(await drain()).toEqual(["now"]);
    current.nowMs = 1_499;
    expect((await current.queue.depth(scope, "q")).later).toBe(1);
    current.nowMs = 1_500;
    expect((await current.take()).id).toBe("later");
  });

  test("the same id again changes nothing, whether the task is due, claimed or done", async () => {
    expect(await current.add("t")).toBe(true);
    expect(await current.add("t", { payload: text("other"), priority: 5 })).toBe(false);
    const task = await current.take();
    expect(task.payload).toEqual(text("t"));
    expect(await current.add("t")).toBe(false);
    await current.queue.complete(scope, task);
    expect(await current.add("t")).toBe(false);
    expect(await current.claim()).toBeUndefined();
    expect(await current.queue.depth(scope, "q")).toEqual({
      due: 0,
      later: 0,
      claimed: 0,
      dead: 0,
    });
  });

  test("a removed task is gone in whatever state, and its id may be used again", async () => {
    await current.add("due");
    await current.queue.remove(scope, "q", "due");
    await current.queue.remove(scope, "q", "never");
    expect(await current.claim()).toBeUndefined();
    await current.add("claimed");
    const task = await current.take();
    await current.queue.remove(scope, "q", "claimed");
    await expect(current.queue.complete(scope, task)).rejects.toMatchObject(conflict);
    expect(await current.add("claimed")).toBe(true);
    const again = await current.take();
    expect(again.fencingToken).toBeGreaterThan(task.fencingToken);
    await expect(current.queue.complete(scope, task)).rejects.toMatchObject(conflict);
    await current.queue.complete(scope, again);
  });

  test("many workers at once get every task, each once", async () => {
    const ids = Array.from({ length: 60 }, (_, index) => `t${index}`);
    await Promise.all(ids.map((id) => current.add(id)));
    const claimed = await Promise.all(
      Array.from({ length: 80 }, (_, worker) =>
        current.queue.claim(scope, "q", { worker: `w${worker}`, leaseMs: 100 }),
      ),
    );
    const got = claimed.flatMap((task) => (task === undefined ? [] : [task.id]));
    expect(got).toHaveLength(60);
    expect(new Set(got)).toEqual(new Set(ids));
  });

  test("queues and tenants share nothing", async () => {
    await current.add("t");
    expect(await current.queue.claim(other, "q", { worker: "w", leaseMs: 9 })).toBeUndefined();
    expect(await current.queue.claim(scope, "p", { worker: "w", leaseMs: 9 })).toBeUndefined();
    await current.queue.remove(other, "q", "t");
    await current.queue.remove(scope, "p", "t");
    const task = await current.take();
    await expect(current.queue.complete(other, task)).rejects.toMatchObject(conflict);
    await expect(current.queue.complete(scope, { ...task, queue: "p" })).rejects.toMatchObject(
      conflict,
    );
    await current.queue.complete(scope, task);
  });
}

function describeLeases(current: Current): void {
  test("a lease is lost at the instant it runs out, not before, and the next claim has a higher token", async () => {
    await current.add("t");
    const first = await current.take(100);
    current.nowMs = 1_099;
    expect(await current.claim()).toBeUndefined();
    current.nowMs = 1_100;
    await expect(current.queue.complete(scope, first)).rejects.toMatchObject(conflict);
    await expect(current.queue.fail(scope, first, "late")).rejects.toMatchObject(conflict);
    await expect(current.queue.extend(scope, first, 100)).rejects.toMatchObject(conflict);
    const second = await current.take(100);
    expect(second.attempt).toBe(2);
    expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
    await expect(current.queue.complete(scope, first)).rejects.toMatchObject(conflict);
    await current.queue.complete(scope, second);
    await expect(current.queue.complete(scope, second)).rejects.toMatchObject(conflict);
  });

  test("an extended lease lasts from now on", async () => {
    await current.add("t");
    const task = await current.take(100);
    current.nowMs = 1_090;
    await current.queue.extend(scope, task, 100);
    current.nowMs = 1_189;
    expect(await current.claim()).toBeUndefined();
    await current.queue.extend(scope, task, 10);
    current.nowMs = 1_199;
    expect((await current.take()).id).toBe("t");
  });

  test("a lease that runs out in the last attempt makes a dead letter", async () => {
    await current.add("t", { attemptsMax: 2 });
    await current.take(100);
    current.nowMs = 1_100;
    await current.take(100);
    current.nowMs = 1_250;
    expect(await current.claim()).toBeUndefined();
    const [letter] = await current.queue.deadLetters(scope, "q", { limit: 10 });
    expect(letter).toMatchObject({ id: "t", attempts: 2, diedAt: 1_200 });
  });
}

function describeFailing(current: Current): void {
  const failOnce = async (reason = "broke"): Promise<string> =>
    await current.queue.fail(scope, await current.take(), reason);

  test("a failed task is due again after a back-off that doubles, and dead after its last attempt", async () => {
    await current.add("t", { attemptsMax: 4, backoffMs: 100 });
    for (const waitMs of [100, 200, 400]) {
      expect(await failOnce()).toBe("retry");
      current.nowMs += waitMs - 1;
      expect(await current.claim()).toBeUndefined();
      current.nowMs += 1;
    }
    expect(await failOnce("for the last time")).toBe("dead");
    expect(await current.claim()).toBeUndefined();
    expect(await current.queue.deadLetters(scope, "q", { limit: 10 })).toEqual([
      {
        id: "t",
        payload: text("t"),
        attempts: 4,
        reason: "for the last time",
        diedAt: 1_700,
      },
    ]);
    expect((await current.queue.depth(scope, "q")).dead).toBe(1);
    expect(await current.add("t")).toBe(false);
  });

  test("a back-off is at most an hour, and by default a second, of five attempts", async () => {
    await current.add("long", { backoffMs: 3_000_000 });
    await failOnce();
    current.nowMs += 3_000_000;
    await failOnce();
    current.nowMs += 3_599_999;
    expect(await current.claim()).toBeUndefined();
    current.nowMs += 1;
    await current.queue.complete(scope, await current.take());

    await current.add("default");
    for (const waitMs of [1_000, 2_000, 4_000, 8_000]) {
      expect(await failOnce()).toBe("retry");
      current.nowMs += waitMs;
    }
    expect(await failOnce()).toBe("dead");
  });

  test("dead letters are listed oldest first, in pages", async () => {
    for (const id of ["z", "y", "x", "w", "v"]) {
      await current.add(id, { attemptsMax: 1 });
      await failOnce();
      if (id !== "x") current.nowMs += 1;
    }
    const page = async (after?: string): Promise<string[]> => {
      const options = after === undefined ? { limit: 2 } : { limit: 2, after };
      return (await current.queue.deadLetters(scope, "q", options)).map(({ id }) => id);
    };
    expect(await page()).toEqual(["z", "y"]);
    expect(await current.queue.revive(scope, "q", "y")).toBe(true);
    expect(await page("y")).toEqual(["w", "x"]);
    expect(await page("x")).toEqual(["v"]);
    expect(await page("v")).toEqual([]);
  });

  test("a revived dead letter has all its attempts again", async () => {
    await current.add("t", { attemptsMax: 1 });
    await failOnce();
    expect(await current.queue.revive(scope, "q", "t")).toBe(true);
    expect(await current.queue.revive(scope, "q", "t")).toBe(false);
    expect(await current.queue.revive(scope, "q", "never")).toBe(false);
    expect(await current.queue.deadLetters(scope, "q", { limit: 10 })).toEqual([]);
    const task = await current.take();
    expect(task.attempt).toBe(1);
    expect(await current.queue.fail(scope, task, "again")).toBe("dead");
  });
}

function describeSchedules(current: Current): void {
  const schedule = { id: "s", everyMs: 100, startAt: 1_050, payload: text("tick") } as const;

  test("a schedule enqueues a task at each due instant, once", async () => {
    const { queue } = current;
    await queue.schedule(scope, "q", schedule);
    expect(await queue.tick(scope)).toBe(0);
    current.nowMs = 1_049;
    expect(await queue.tick(scope)).toBe(0);
    current.nowMs = 1_050;
    expect(await queue.tick(scope)).toBe(1);
    expect(await queue.tick(scope)).toBe(0);
    const task = await current.take();
    expect(task).toMatchObject({ id: "s@1050", payload: text("tick") });
    await queue.complete(scope, task);
    current.nowMs = 1_150;
    expect(await queue.tick(scope)).toBe(1);
    expect((await current.take()).id).toBe("s@1150");
  });

  test("after downtime only the latest due instant is enqueued", async () => {
    const { queue } = current;
    await queue.schedule(scope, "q", schedule);
    current.nowMs = 1_555;
    expect(await queue.tick(scope)).toBe(1);
    expect((await current.take()).id).toBe("s@1550");
    current.nowMs = 1_650;
    expect(await queue.tick(scope)).toBe(1);
  });

  test("setting a schedule again repeats no instant, and a changed one replaces it", async () => {
    const { queue } = current;
    await queue.schedule(scope, "q", schedule);
    current.nowMs = 1_060;
    expect(await queue.tick(scope)).toBe(1);
    await queue.schedule(scope, "q", schedule);
    expect(await queue.tick(scope)).toBe(0);
    await queue.schedule(scope, "q", { ...schedule, startAt: 1_070, priority: 7 });
    current.nowMs = 1_070;
    expect(await queue.tick(scope)).toBe(1);
    expect((await current.take()).id).toBe("s@1070");
    current.nowMs = 1_150;
    expect(await queue.tick(scope)).toBe(0);
  });

  test("what is unscheduled enqueues nothing more, and absence is no error", async () => {
    const { queue } = current;
    await queue.schedule(scope, "q", schedule);
    await queue.schedule(other, "q", schedule);
    await queue.unschedule(scope, "q", "s");
    await queue.unschedule(scope, "q", "never");
    current.nowMs = 9_999;
    expect(await queue.tick(scope)).toBe(0);
    expect(await queue.tick(other)).toBe(1);
  });
}

function describeNames(current: Current): void {
  test.each([
    "a",
    "a:b",
    "a b/c",
    "漢字 😀",
    "__proto__",
    "../../x",
    "'; DROP TABLE task; --",
    "*{x}",
  ])("queues, tasks and schedules bear any name: %s", async (name) => {
    const { queue } = current;
    await queue.enqueue(scope, name, { id: name, payload: text("p") });
    await queue.schedule(scope, name, { id: name, everyMs: 1, startAt: 0, payload: text("s") });
    expect(await queue.tick(scope)).toBe(1);
    const first = await queue.claim(scope, name, { worker: name, leaseMs: 10 });
    expect(first).toMatchObject({ queue: name, id: name });
    const second = await queue.claim(scope, name, { worker: name, leaseMs: 10 });
    expect(second?.id).toBe(`${name}@1000`);
    expect(await queue.claim(scope, "q", { worker: "w", leaseMs: 10 })).toBeUndefined();
    await queue.remove(scope, name, name);
  });

  test("payloads and names at the limit are kept, one over is refused", async () => {
    const { queue } = current;
    const { payloadBytesMax, nameLengthMax } = queue.limits;
    const name = "n".repeat(nameLengthMax);
    const payload = new Uint8Array(payloadBytesMax);
    expect(await queue.enqueue(scope, name, { id: name, payload })).toBe(true);
    const limit = { name: "StoreError", code: "limit" };
    const over = new Uint8Array(payloadBytesMax + 1);
    await expect(queue.enqueue(scope, "q", { id: "t", payload: over })).rejects.toMatchObject(
      limit,
    );
    await expect(queue.enqueue(scope, "q", { id: `${name}n`, payload })).rejects.toMatchObject(
      limit,
    );
    await expect(queue.enqueue(scope, `${name}n`, { id: "t", payload })).rejects.toMatchObject(
      limit,
    );
    expect((await queue.claim(scope, name, { worker: "w", leaseMs: 1 }))?.payload.byteLength).toBe(
      payloadBytesMax,
    );
  });

  test("the highest and the lowest priority are kept in order, one beyond is refused", async () => {
    const { priorityMax } = current.queue.limits;
    await current.add("lowest", { priority: -priorityMax });
    await current.add("low", { priority: 1 - priorityMax });
    await current.add("high", { priority: priorityMax - 1 });
    await current.add("highest", { priority: priorityMax });
    for (const priority of [priorityMax + 1, -priorityMax - 1]) {
      await expect(current.add("t", { priority })).rejects.toMatchObject({
        name: "StoreError",
        code: "limit",
      });
    }
    const ids: string[] = [];
    for (let task = await current.claim(); task; task = await current.claim()) ids.push(task.id);
    expect(ids).toEqual(["highest", "high", "low", "lowest"]);
  });

  test("what is no number or name of its kind is refused", async () => {
    const refused = { name: "StoreError", code: "refused" };
    for (const options of [
      { id: "" },
      { id: "a\0b" },
      { id: "\ud800" },
      { priority: 0.5 },
      { dueAt: Number.NaN },
      { attemptsMax: 0 },
      { backoffMs: -1 },
    ]) {
      await expect(current.add("t", options)).rejects.toMatchObject(refused);
    }
    for (const leaseMs of [0, -1, 1.5])
      await expect(current.claim(leaseMs)).rejects.toMatchObject(refused);
    const schedule = { id: "s", everyMs: 0, startAt: 0, payload: text("s") };
    await expect(current.queue.schedule(scope, "q", schedule)).rejects.toMatchObject(refused);
    expect(await current.queue.depth(scope, "q")).toMatchObject({ due: 0, later: 0 });
  });

  test("ten thousand tasks of mixed priority are claimed in order", async () => {
    const { queue } = current;
    for (let index = 0; index < 10_000; index += 1) {
      await current.add(`t${index}`, { priority: index % 10, payload: new Uint8Array(0) });
    }
    expect((await queue.depth(scope, "q")).due).toBe(10_000);
    const first = await current.take();
    const second = await current.take();
    expect([first.id, second.id]).toEqual(["t9", "t19"]);
  }, 60_000);
}

function describeReopening(current: Current): void {
  test("tasks, leases and schedules are there after reopening", async () => {
    await current.add("due");
    await current.add("held", { priority: 1 });
    const held = await current.take();
    const schedule = { id: "s", everyMs: 100, startAt: 1_050, payload: text("s") };
    await current.queue.schedule(scope, "q", schedule);
    const reopened = await current.fixture.reopen();
    expect(await reopened.depth(scope, "q")).toMatchObject({ due: 1, claimed: 1 });
    await reopened.complete(scope, held);
    current.nowMs = 1_050;
    expect(await reopened.tick(scope)).toBe(1);
  });

  test("after the process was killed, every acknowledged task is there, and what was done stays done", async () => {
    await current.queue[Symbol.asyncDispose]();
    const printed = await runUntilKilled(
      `const queue = await (${current.fixture.childQueue});
      const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
      for (let i = 0; ; i++) {
        await queue.enqueue(scope, "q", { id: "t" + i, payload: new Uint8Array([i % 256]) });
        if (i % 2 === 0) {
          await queue.complete(scope, await queue.claim(scope, "q", { worker: "w", leaseMs: 1e6 }));
        }
        process.stdout.write(i + "\\n");
      }`,
      100,
    );
    const reopened = await current.fixture.reopen();
    const added = await Promise.all(
      printed.map((line) =>
        reopened.enqueue(scope, "q", { id: `t${line}`, payload: Uint8Array.of(0) }),
      ),
    );
    expect(added.filter(Boolean)).toEqual([]);
    const { due, claimed } = await reopened.depth(scope, "q");
    // Every second one was done; the one in flight may be anywhere.
    expect(due + claimed - Math.floor(printed.length / 2)).toBeOneOf([-1, 0, 1]);
  });
}
