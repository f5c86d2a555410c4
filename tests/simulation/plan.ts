import { PROJECTED_ROLES } from "@custody/core/stores";
import type { ProjectedRole } from "@custody/core/stores";

import type { SimulatedType } from "./draw-records.ts";
import { STORE_NAMES } from "./faults.ts";
import type { Fault, StoreName, WindowKind } from "./faults.ts";
import { Random } from "./random.ts";
import { drawThemed } from "./themes.ts";
import type { WorldOptions } from "./world.ts";

/** What a client does in one step. */
export type Action =
  | "commit"
  | "burst"
  | "import"
  | "get"
  | "find"
  | "catch-up"
  | "rebuild"
  | "reconcile"
  | "repair"
  | "compact"
  | "replay"
  | "verify"
  | "deploy"
  | "drift"
  | "lag"
  | "backup"
  | "prune"
  | "status";

/** One step of a plan. */
export interface Step {
  /** Names it for ever: what it does is drawn from the seed and this. */
  readonly number: number;
  readonly client: number;
  readonly slot: number;
  readonly atMs: number;
  readonly tenant: string;
  readonly action: Action;
}

/** Everything that is drawn before a simulation begins. */
export interface Plan {
  readonly seed: number;
  readonly options: WorldOptions;
  readonly steps: readonly Step[];
  readonly faults: readonly Fault[];
  /** The roles whose stores may be sent records that they refuse. */
  readonly poisoned: readonly ProjectedRole[];
  /** The types that records of commits are drawn from; all when left out. */
  readonly types?: readonly SimulatedType[];
  /** The roles that the library itself compares with the journal at the end; the oracle compares all. */
  readonly reconciled: readonly ProjectedRole[];
}

const WEIGHTS: readonly (readonly [Action, number])[] = [
  ["commit", 40],
  ["burst", 6],
  ["import", 8],
  ["get", 8],
  ["find", 12],
  ["catch-up", 4],
  ["rebuild", 4],
  ["reconcile", 3],
  ["repair", 2],
  ["compact", 6],
  ["replay", 2],
  ["verify", 2],
  ["deploy", 1],
  ["drift", 2],
  ["lag", 2],
  ["backup", 5],
  ["prune", 2],
  ["status", 1],
];

const WINDOWS: readonly WindowKind[] = [
  "down",
  "flapping",
  "deaf",
  "slow",
  "full",
  "partial",
  "repeating",
  "flipping",
  "short",
];

const DAY_MS = 24 * 60 * 60 * 1000;

// Seeds of a theme are fewer, as each tries less.
const THEMED = 1 / 6;

/** Draws a plan: each seed tries some kinds of steps and faults, and few try all. */
export function drawPlan(seed: number): Plan {
  const plan = drawAny(seed);
  const random = new Random(seed, "theme");
  return random.chance(THEMED) ? drawThemed(random, plan) : plan;
}

function drawAny(seed: number): Plan {
  const random = new Random(seed, "plan");
  const processes = random.pick([1, 1, 2, 2, 2]);
  const lengthMs = random.pick([300, 2_000, 20_000, 60_000]);
  const options: WorldOptions = {
    processes,
    settings: {
      isSealed: random.chance(0.3),
      isHeadAwaited: random.chance(0.3),
      recentBytesMax: random.pick([0, 4_000, 1_000_000]),
      delivery: { recordsMax: random.pick([1, 4, 20, 2_000]), bytesMax: 8 * 1024 * 1024 },
      staging: {
        rowsPerStep: random.pick([1, 3, 2_000]),
        segmentBytes: random.pick([1, 500, 16 * 1024 * 1024]),
      },
    },
  };
  const steps = drawSteps(random, processes, lengthMs);
  const faults = random.chance(0.1) ? [] : drawFaults(random, processes, lengthMs);
  const poisoned = random.chance(0.3) ? PROJECTED_ROLES : [];
  const reconciled = [random.pick(PROJECTED_ROLES), random.pick(PROJECTED_ROLES)];
  return { seed, options, steps, faults, poisoned, reconciled };
}

function drawSteps(random: Random, processes: number, lengthMs: number): readonly Step[] {
  const actions = WEIGHTS.filter(([action]) => action === "commit" || random.chance(0.6));
  const total = actions.reduce((sum, [, weight]) => sum + weight, 0);
  const clients = random.pick([1, 2, 4, 8]);
  const tenants = random.pick([["acme"], ["acme"], ["acme", "bolt"]]);
  return Array.from({ length: random.between(6, 30) }, (_, number) => {
    let left = random.below(total);
    const [action] = actions.find(([, weight]) => (left -= weight) < 0) ?? ["commit" as const];
    return {
      number,
      client: random.below(clients),
      slot: random.below(processes),
      atMs: random.below(lengthMs),
      tenant: random.pick(tenants),
      action,
    };
  }).sort((left, right) => left.atMs - right.atMs);
}

function drawFaults(random: Random, processes: number, lengthMs: number): readonly Fault[] {
  const kinds = WINDOWS.filter(() => random.chance(0.35));
  const faults: Fault[] = [];
  for (let count = random.below(6); count > 0 && kinds.length > 0; count -= 1)
    faults.push(drawWindow(random, random.pick(kinds), lengthMs));
  for (let count = random.pick([0, 0, 1, 1, 2, 4]); count > 0; count -= 1) {
    faults.push({
      kind: "crash",
      slot: random.below(processes),
      call: random.pick([40, 120, 400, 1_000].map((most) => 1 + random.below(most))),
      phase: random.pick(["before", "after"]),
      downMs: random.pick([1, 500, 5_000]),
    });
  }
  if (random.chance(0.15)) {
    faults.push({
      kind: "power",
      atMs: random.below(lengthMs),
      older: PROJECTED_ROLES.filter(() => random.chance(0.3)),
      downMs: random.pick([1, 5_000]),
    });
  }
  if (random.chance(0.12)) faults.push(drawStall(random, processes, lengthMs));
  if (random.chance(0.12)) faults.push(drawClock(random, processes, lengthMs));
  return faults;
}

function drawWindow(random: Random, kind: WindowKind, lengthMs: number): Fault {
  const onDisk = kind === "flipping" || kind === "short";
  const inBulk = kind === "partial" || kind === "repeating";
  const stores: readonly StoreName[] = onDisk
    ? ["blob", "backup"]
    : inBulk
      ? PROJECTED_ROLES
      : STORE_NAMES;
  const fromMs = random.below(lengthMs);
  const isDay = kind === "down" && random.chance(0.01);
  const forMs = isDay ? DAY_MS : random.pick([200, 2_000, 20_000]);
  // The journal is where an answer that is lost does most harm.
  const isJournal = !onDisk && !inBulk && random.chance(0.25);
  const store = isJournal ? "journal" : random.pick(stores);
  return { kind, store, fromMs, untilMs: fromMs + forMs };
}

function drawStall(random: Random, processes: number, lengthMs: number): Fault {
  const forMs = random.pick([5_000, 60_000, 1.1 * DAY_MS]);
  return { kind: "stall", slot: random.below(processes), atMs: random.below(lengthMs), forMs };
}

function drawClock(random: Random, processes: number, lengthMs: number): Fault {
  const byMs = random.pick([-3_600_000, -5_000, 5_000, 1.1 * DAY_MS, 40 * DAY_MS]);
  return { kind: "clock", slot: random.below(processes), atMs: random.below(lengthMs), byMs };
}
