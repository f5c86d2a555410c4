import { PROJECTED_ROLES } from "@custody/core/stores";

import type { Fault } from "./faults.ts";
import type { Action, Plan, Step } from "./plan.ts";
import type { Random } from "./random.ts";

/** A part of a plan that a theme draws in its own way. */
type Themed = Pick<Plan, "options" | "steps" | "faults"> &
  Partial<Pick<Plan, "poisoned" | "types">>;

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Draws a plan in which things meet that meet in few others, with fewer steps than those have.
 *
 * Each theme sets the stage for one kind of accident, and leaves to chance whether it happens.
 */
export function drawThemed(random: Random, plan: Plan): Plan {
  const theme = random.pick(THEMES);
  return { ...plan, poisoned: [], ...theme(random, plan) };
}

type Theme = (random: Random, plan: Plan) => Themed;

/** What was delivered is delivered once more after the store came back older. */
const lateDeliveries: Theme = (random, { options }) => {
  const atMs = random.between(3_000, 10_000);
  const fromMs = Math.floor(atMs * 0.6);
  const older = PROJECTED_ROLES.filter(() => random.chance(0.6));
  const repeating = older.map((store): Fault => {
    return { kind: "repeating", store, fromMs, untilMs: atMs };
  });
  const power: Fault = { kind: "power", atMs, older, downMs: random.pick([60_000, 600_000]) };
  const commits = timed(random, 14, [fromMs, atMs]).map((at) => stepOf("commit", at));
  return {
    options: { ...options, settings: withDeliveries(options.settings, random.pick([1, 4])) },
    steps: numbered(random, commits, options.processes),
    faults: [...repeating, power],
  };
};

/** Imports of many steps, answers that are lost, processes that end, and types that change meanwhile. */
const brokenImports: Theme = (random, { options }) => {
  const { processes } = options;
  const span = [800, random.pick([900, 1_500])] as const;
  const imports = timed(random, 8, span).map((at) => stepOf("import", at));
  const deploys = timed(random, random.pick([0, 1]), span).map((at) => stepOf("deploy", at));
  const opening = Array.from({ length: processes }, (_, slot) => stepOf("commit", 0, slot));
  const crashes = Array.from({ length: random.pick([0, 1, 3]) }, (): Fault => {
    const call = random.between(60, 400);
    const phase = random.pick(["before", "after"] as const);
    return { kind: "crash", slot: random.below(processes), call, phase, downMs: 1 };
  });
  const deaf = timed(random, random.pick([0, 3, 6]), span).map((fromMs): Fault => {
    return { kind: "deaf", store: "journal", fromMs, untilMs: fromMs + random.pick([5, 20, 60]) };
  });
  const staging = { rowsPerStep: random.pick([1, 2]), segmentBytes: random.pick([1, 500]) };
  return {
    options: { ...options, settings: { ...options.settings, staging } },
    steps: numbered(random, [...opening, ...imports, ...deploys], processes),
    faults: [...crashes, ...deaf],
  };
};

/** A writer does not run for longer than its intents last, and a collector does. */
const stalledWriters: Theme = (random, { options }) => {
  // By then the process is open: its first commit comes at the beginning.
  const atMs = random.between(1_000, 2_000);
  const writes = timed(random, 6, [atMs - 25, atMs]).map((at) =>
    stepOf(random.pick(["commit", "burst", "import"]), at, 0),
  );
  const compacts = timed(random, 2, [1.01 * DAY_MS, 1.09 * DAY_MS]).map((at) =>
    stepOf("compact", at, 1),
  );
  const faults: readonly Fault[] = [{ kind: "stall", slot: 0, atMs, forMs: 1.1 * DAY_MS }];
  return {
    options: { ...options, processes: 2 },
    steps: numbered(random, [stepOf("commit", 0, 0), ...writes, ...compacts], 2),
    faults,
  };
};

/** A store is away when a tenant's first records come, and then nobody asks for it. */
const awayAtFirst: Theme = (random, { options }) => {
  const faults = PROJECTED_ROLES.filter(() => random.chance(0.3)).map((store): Fault => {
    return { kind: "down", store, fromMs: 0, untilMs: random.pick([2_000, 20_000]) };
  });
  const commits = timed(random, 3, [0, 1_500]).map((at) => stepOf("commit", at));
  const lag = stepOf("lag", 85_000);
  return { options, steps: numbered(random, [...commits, lag], options.processes), faults };
};

/** Reads that wait for their write when their process is stopped. */
const readsAtTheEnd: Theme = (random, { options }) => {
  const commits = timed(random, 8, [0, 600]).map((at) => stepOf("commit", at));
  const finds = timed(random, 8, [300, 3_000]).map((at) => stepOf("find", at));
  const deploys = timed(random, 2, [600, 4_000]).map((at) => stepOf("deploy", at));
  const slow: Fault = { kind: "slow", store: "document", fromMs: 300, untilMs: 20_000 };
  return {
    options: { ...options, settings: withDeliveries(options.settings, 1) },
    steps: numbered(random, [...commits, ...finds, ...deploys], options.processes),
    faults: [slow],
  };
};

/** Records move between their owners while two processes read at their own pace. */
const movingRecords: Theme = (random, { options }) => {
  const opening = [0, 1].map((slot) => stepOf("commit", 0, slot));
  const commits = timed(random, 16, [700, 6_000]).map((at) => stepOf("commit", at));
  const replays = timed(random, random.pick([0, 4]), [1_000, 8_000]).map((at) =>
    stepOf("replay", at),
  );
  const faults = PROJECTED_ROLES.filter(() => random.chance(0.7)).map((store): Fault => {
    const fromMs = random.between(500, 4_000);
    return { kind: random.pick(["slow", "deaf"]), store, fromMs, untilMs: fromMs + 4_000 };
  });
  return {
    options: { ...options, processes: 2, settings: withDeliveries(options.settings, 2_000) },
    steps: numbered(random, [...opening, ...commits, ...replays], 2),
    faults,
    types: ["sim/notes"],
    poisoned: random.chance(0.3) ? PROJECTED_ROLES.filter((role) => role !== "graph") : [],
  };
};

/** Processes of the next edition begin their builds while one of the edition before still runs. */
const slowDeploys: Theme = (random, { options }) => {
  const deployMs = random.between(900, 2_000);
  const opening = [0, 1].map((slot) => stepOf("commit", 0, slot));
  const commits = timed(random, 8, [600, deployMs]).map((at) => stepOf("commit", at));
  const closing = timed(random, 8, [deployMs, deployMs + 3_000]).map((at) =>
    stepOf("commit", at, 1),
  );
  const faults = PROJECTED_ROLES.filter(() => random.chance(0.5)).map((store): Fault => {
    return { kind: "slow", store, fromMs: deployMs - 200, untilMs: deployMs + 3_000 };
  });
  return {
    options: { ...options, processes: 2, settings: withDeliveries(options.settings, 1) },
    steps: numbered(random, [...opening, ...commits, ...closing, stepOf("deploy", deployMs)], 2),
    faults,
    types: ["sim/assets"],
  };
};

/** Refused records are tried again while the projector is behind. */
const earlyReplays: Theme = (random, { options }) => {
  const commits = timed(random, 16, [0, 8_000]).map((at) => stepOf("commit", at));
  const replays = timed(random, 6, [500, 9_000]).map((at) => stepOf("replay", at));
  const faults = PROJECTED_ROLES.filter(() => random.chance(0.5)).map((store): Fault => {
    const fromMs = random.below(6_000);
    return { kind: random.pick(["slow", "flapping"]), store, fromMs, untilMs: fromMs + 4_000 };
  });
  return {
    options: { ...options, processes: 1, settings: withDeliveries(options.settings, 1) },
    steps: numbered(random, [...commits, ...replays], 1),
    faults,
    poisoned: PROJECTED_ROLES,
  };
};

const THEMES: readonly Theme[] = [
  lateDeliveries,
  brokenImports,
  stalledWriters,
  awayAtFirst,
  readsAtTheEnd,
  movingRecords,
  slowDeploys,
  earlyReplays,
];

type Settings = Plan["options"]["settings"];

function withDeliveries(settings: Settings, recordsMax: number): Settings {
  return { ...settings, delivery: { recordsMax, bytesMax: 8 * 1024 * 1024 } };
}

interface Placed {
  readonly action: Action;
  readonly atMs: number;
  /** Drawn where it is left out. */
  readonly slot?: number;
}

function stepOf(action: Action, atMs: number, slot?: number): Placed {
  return { action, atMs, ...(slot === undefined ? {} : { slot }) };
}

/** Instants of a span, both ends included, in no order. */
function timed(random: Random, count: number, [first, last]: readonly [number, number]): number[] {
  return Array.from({ length: count }, () => random.between(Math.floor(first), Math.floor(last)));
}

/** Steps in order of time, each of a client of its own, so that none waits for another. */
function numbered(random: Random, placed: readonly Placed[], processes: number): readonly Step[] {
  const steps = placed.map(({ action, atMs, slot }, number): Step => {
    const drawn = random.below(processes);
    return { number, client: number, slot: slot ?? drawn, atMs, tenant: "acme", action };
  });
  return steps.sort((left, right) => left.atMs - right.atMs);
}
