import type { Custody } from "@custody/core/custody";

import { checkBackups } from "./backups.ts";
import { runClients } from "./workload.ts";
import { scopeOf } from "./client.ts";
import { liveStates, readHistory } from "./history.ts";
import { Model } from "./model.ts";
import { checkCommits } from "./oracle-commits.ts";
import { checkReads } from "./oracle-reads.ts";
import { checkEvents, checkTable } from "./oracle-outputs.ts";
import { checkDelivery, checkStores } from "./oracle-stores.ts";
import type { Plan } from "./plan.ts";
import { EndlessError } from "./scheduler.ts";
import { ensure, Violation } from "./violation.ts";
import { World } from "./world.ts";

/** What a simulation came to. */
export interface SimulationResult {
  readonly seed: number;
  /** Equal for two runs of one plan. */
  readonly traceHash: string;
  readonly events: number;
  readonly entries: number;
  readonly failure: Violation | undefined;
}

export interface SimulationOptions {
  /** Told of every event. */
  readonly onEvent?: (line: string) => void;
}

// More calls and sleeps than this under way at once mean that something queues without bound.
const PENDING_MAX = 4_000;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Runs one plan to its end, and says whether an invariant was broken. */
export async function simulate(
  plan: Plan,
  options: SimulationOptions = {},
): Promise<SimulationResult> {
  const world = await World.make(plan.seed, plan.options, plan.faults);
  world.scheduler.onEvent = options.onEvent;
  const failure = await failureOf(world, plan);
  let entries = 0;
  for (const tenant of world.database.tenants.values()) entries += tenant.entries.length;
  const { seed } = plan;
  const { events } = world.scheduler;
  return { seed, traceHash: world.scheduler.traceHash(), events, entries, failure };
}

async function failureOf(world: World, plan: Plan): Promise<Violation | undefined> {
  const unhandled: unknown[] = [];
  const onUnhandled = (cause: unknown): void => void unhandled.push(cause);
  process.on("unhandledRejection", onUnhandled);
  try {
    const model = new Model();
    await drive(world, unhandled, () => runClients({ world, plan, model }));
    await drive(world, unhandled, () => finish(world, plan, model));
    return undefined;
  } catch (cause) {
    if (cause instanceof Violation) return cause;
    if (cause instanceof EndlessError) return new Violation("work-ends", cause.message);
    return new Violation("error-has-a-name", told(cause));
  } finally {
    process.off("unhandledRejection", onUnhandled);
  }
}

/** Lets virtual time pass until some work is done. */
async function drive(
  world: World,
  unhandled: readonly unknown[],
  work: () => Promise<void>,
): Promise<void> {
  const found: Violation[] = [];
  for (const [role, store] of world.projected) {
    store.onApplied = (applied) => {
      try {
        checkDelivery(world, role, applied);
      } catch (cause) {
        if (!(cause instanceof Violation)) throw cause;
        found.push(cause);
      }
    };
  }
  let isDone = false;
  let failure: { readonly cause: unknown } | undefined;
  work().then(
    () => (isDone = true),
    (cause: unknown) => (failure = { cause }),
  );
  await world.scheduler.runUntil(() => {
    ensure(
      world.scheduler.pending < PENDING_MAX,
      "nothing-piles-up",
      () => "too much is under way",
    );
    return isDone || failure !== undefined || found.length > 0 || unhandled.length > 0;
  });
  const [violation] = found;
  if (violation !== undefined) throw violation;
  if (failure !== undefined) throw failure.cause;
  const [stray] = unhandled;
  if (stray !== undefined) throw new Violation("error-has-a-name", `nobody caught ${told(stray)}`);
  ensure(isDone, "work-ends", () => "somebody waits for what will never come");
}

function told(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : JSON.stringify(cause);
}

/** Faults end; what runs comes to rest; then everything is compared with everything. */
async function finish(world: World, plan: Plan, model: Model): Promise<void> {
  world.heal();
  await world.scheduler.sleep(60_000, "rest");
  for (const process of world.processes) await Promise.race([process.stop(), process.ended]);
  const { custody, process } = await world.freshCustody();
  for (const tenant of world.database.tenants.keys())
    await settle(world, { custody, plan }, tenant);
  await world.scheduler.sleep(60_000, "events");
  for (const tenant of world.database.tenants.keys()) await check(world, model, tenant);
  await checkBackups(world, plan, model);
  // By then nobody can have a claim on what was left behind, not even somebody whose clock ran ahead.
  await world.scheduler.sleep(60 * DAY_MS, "sixty days");
  for (const tenant of world.database.tenants.keys()) {
    await custody.compact(scopeOf(tenant));
    checkGarbage(world, tenant);
    const report = await custody.verify(scopeOf(tenant));
    ensure(report.ok, "journal-verifies", () => JSON.stringify(report.fault));
  }
  await process.stop();
}

async function settle(
  world: World,
  { custody, plan }: { readonly custody: Custody; readonly plan: Plan },
  tenant: string,
): Promise<void> {
  const scope = scopeOf(tenant);
  await custody.catchUp(scope);
  if (world.hasDrifted) await custody.reconcile(scope, { repair: true });
  const report = await custody.reconcile(scope, { roles: plan.reconciled });
  ensure(report.ok, "projections-converge", () => {
    return JSON.stringify(report.projections.filter(({ differences }) => differences > 0));
  });
  // That it was asked is written down as well.
  await custody.catchUp(scope);
}

async function check(world: World, model: Model, tenant: string): Promise<void> {
  const entries = await readHistory(world, tenant);
  ensure(
    entries.every(({ sequence }, index) => sequence === index + 1),
    "sequences-are-gapless",
    () => tenant,
  );
  const states = liveStates(entries);
  const ofTenant = <One extends { readonly tenant: string }>(all: readonly One[]): One[] =>
    all.filter((one) => one.tenant === tenant);
  checkCommits({ entries, states }, ofTenant(model.attempts), world.faults);
  checkReads(states, ofTenant(model.reads));
  const live = states.at(-1) ?? new Map();
  checkTable(world, tenant, live);
  checkStores(world, tenant, live);
  checkEvents(world, tenant, entries);
}

/**
 * Every segment file is in the catalogue, and some entry's lines lie in it: whatever a writer or a
 * collector that died left behind is gone, and no intent is left of it.
 */
function checkGarbage(world: World, tenant: string): void {
  const { segments, entries, intents } = world.database.committed(tenant);
  const used = new Set(
    entries.map(({ location }) => (location.kind === "segment" ? location.segmentId : "")),
  );
  const unused = [...segments.keys()].filter((segmentId) => !used.has(segmentId));
  ensure(unused.length === 0, "no-garbage-stays", () => `nothing lies in ${unused.join(", ")}`);
  const known = new Set([...segments.values()].map(({ blobKey }) => `${tenant}/${blobKey}`));
  const left = world.disk.list(`${tenant}/segments/`).filter((path) => !known.has(path));
  ensure(left.length === 0, "no-garbage-stays", () => left.join(", "));
  const intended = [...intents.keys()];
  ensure(intended.length === 0, "no-garbage-stays", () => `left intents: ${intended.join(", ")}`);
}
