import type { CommitPart } from "@custody/core/journal/commit-request";
import { PROJECTED_ROLES } from "@custody/core/stores";
import type { ProjectedRole } from "@custody/core/stores";
import { expect, test } from "vitest";

import { scopeOf } from "../simulation/client.ts";
import type { WindowKind } from "../simulation/faults.ts";
import { World } from "../simulation/world.ts";

// One store is in trouble for ten minutes of virtual time, while two records are committed every five
// seconds; then it is well again.
const BEGIN_MS = 20_000;
const END_MS = BEGIN_MS + 10 * 60_000;
const STOP_MS = END_MS + 20_000;
const EVERY_MS = 5_000;

const scope = scopeOf("acme");

interface Course {
  readonly commits: number;
  /** The longest that a commit took, in milliseconds. */
  readonly slowestMs: number;
  /** The most entries that any other store was behind five seconds after a commit. */
  readonly othersBehind: number;
  /** Deliveries that the store in trouble took in those ten minutes. */
  readonly taken: number;
  /** Entries that it is behind a minute later, when nobody has asked for anything. */
  readonly behind: number;
  readonly isReconciled: boolean;
}

async function course(
  role: ProjectedRole,
  kind: WindowKind,
): Promise<Course & { readonly pendingMax: number }> {
  const fault = { kind, store: role, fromMs: BEGIN_MS, untilMs: END_MS } as const;
  const world = await World.make(7, { processes: 1, settings: {} }, [fault]);
  const { scheduler } = world;
  const done: { course?: Course; failure?: unknown } = {};
  lived(world, role).then(
    (lives) => (done.course = lives),
    (cause: unknown) => (done.failure = cause),
  );
  let pendingMax = 0;
  await scheduler.runUntil(() => {
    pendingMax = Math.max(pendingMax, scheduler.pending);
    return done.course !== undefined || done.failure !== undefined;
  });
  if (done.course === undefined) throw done.failure;
  return { ...done.course, pendingMax };
}

async function lived(world: World, role: ProjectedRole): Promise<Course> {
  const { scheduler } = world;
  const isDuring = (): boolean => world.elapsedMs > BEGIN_MS && world.elapsedMs < END_MS;
  let taken = 0;
  const store = world.projected.get(role);
  if (store !== undefined) store.onApplied = () => (taken += isDuring() ? 1 : 0);
  const process = await world.process(0);
  const custody = await process.custody();
  let slowestMs = 0;
  let othersBehind = 0;
  let commits = 0;
  while (world.elapsedMs < STOP_MS) {
    const begunAt = scheduler.nowMs;
    await custody.commit(scope, records(commits));
    commits += 1;
    slowestMs = Math.max(slowestMs, scheduler.nowMs - begunAt);
    await scheduler.sleep(EVERY_MS, "between commits");
    const { roles } = await custody.status(scope);
    for (const other of PROJECTED_ROLES)
      if (other !== role) othersBehind = Math.max(othersBehind, roles[other].lag);
  }
  await scheduler.sleep(60_000, "rest");
  const behind = (await custody.status(scope)).roles[role].lag;
  const { ok: isReconciled } = await custody.reconcile(scope);
  await process.stop();
  return { commits, slowestMs, othersBehind, taken, behind, isReconciled };
}

function records(number: number): readonly CommitPart[] {
  const marks = { op: number, pad: "" };
  const asset = `asset-${number % 7}`;
  const event = { ...marks, id: `event-${number}`, at: number, asset, level: number % 5 };
  return [
    { type: "sim/events", put: [{ fields: event }] },
    { type: "sim/assets", put: [{ fields: { ...marks, name: asset, team: "blue", risk: 1 } }] },
  ];
}

test.each(PROJECTED_ROLES)(
  "ten minutes without the %s store delay nothing but what it holds, and it catches up by itself",
  async (role) => {
    const { commits, slowestMs, pendingMax, ...rest } = await course(role, "down");
    expect(rest).toEqual({ othersBehind: 0, taken: 0, behind: 0, isReconciled: true });
    expect(commits).toBeGreaterThan(120);
    expect(slowestMs).toBeLessThan(200);
    expect(pendingMax).toBeLessThan(60);
  },
);

test("ten minutes of a store that takes seconds for each call delay no writer and no other store", async () => {
  const { slowestMs, pendingMax, ...rest } = await course("search", "slow");
  expect(rest).toMatchObject({ othersBehind: 0, behind: 0, isReconciled: true });
  expect(rest.taken).toBeGreaterThan(0);
  expect(slowestMs).toBeLessThan(200);
  expect(pendingMax).toBeLessThan(60);
});
