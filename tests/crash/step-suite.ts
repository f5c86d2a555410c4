// Kills a real process at every step that changes something, and at random; the next run checks every promise.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

import { initCustody } from "@custody/server/compose";
import type { EngineUrls } from "@custody/server/open-stores";
import { seededRandom } from "@custody/stores/testing/seeded-random";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Death } from "./killing-stores.ts";
import type { Labour } from "./laborious-program.ts";

/** Which kills a run of the suite makes. */
export interface StepSuiteOptions {
  /** Where an installation's stores are, told anew for each test. */
  readonly makeEngines: () => EngineUrls | Promise<EngineUrls>;
  /** Deaths by step; `all` for every step that the program makes, on both sides of it. */
  readonly deaths: "all" | readonly Death[];
  /** How many times the process is killed at a moment nobody chose. */
  readonly randomKills: number;
  readonly seed: number;
}

/** How a run of the program ended, and the last line that it printed. */
interface Ending {
  readonly signal: NodeJS.Signals | null;
  readonly code: number | null;
  readonly printed: readonly string[];
}

// Each run adds some thousand records, and checks all that are there.
const RUNS_PER_INSTALLATION = 8;
const RUN_MS = 60_000;

let root = "";
let place: Pick<Labour, "dataDirectory" | "keyFile" | "engines" | "log">;
let round = 0;
let installations = 0;

/** The promises that hold whenever the process is killed, for an installation on the given engines. */
export function describeSteps(options: StepSuiteOptions): void {
  const { makeEngines, randomKills } = options;
  const chosen = options.deaths;
  describe(`a process that commits, imports, projects, rebuilds, compacts and collects (seed ${options.seed})`, () => {
    beforeEach(async () => {
      root = await mkdtemp(join(tmpdir(), "custody-crash-"));
      await beginAnew(makeEngines);
    });
    afterEach(() => rm(root, { recursive: true, force: true }));

    if (chosen === "all") {
      test(
        "killed before and after every step: what was acknowledged is there, the rest whole or absent",
        async () => {
          const random = seededRandom(options.seed);
          const deaths = allDeaths(await countSteps(), random);
          const missed = await killOneAfterAnother(deaths, makeEngines);
          // A step that only others' remains call for is not reached in every run.
          expect(missed.length).toBeLessThan(deaths.length / 3);
        },
        200 * RUN_MS,
      );
    } else {
      test(
        `killed at ${chosen.length} steps: what was acknowledged is there, the rest whole or absent`,
        async () => {
          expect(await killOneAfterAnother(chosen, makeEngines)).toEqual([]);
        },
        (chosen.length + 2) * RUN_MS,
      );
    }

    test(
      `killed ${randomKills} times at random: what was acknowledged is there, the rest whole or absent`,
      () => killAtRandom(randomKills, options),
      (randomKills + 2) * RUN_MS,
    );
  });
}

/** Kills a run at each death in turn, on one installation; answers the deaths that were not met. */
async function killOneAfterAnother(
  deaths: readonly Death[],
  makeEngines: StepSuiteOptions["makeEngines"],
): Promise<readonly Death[]> {
  const missed: Death[] = [];
  for (const [index, death] of deaths.entries()) {
    await beginAnewAfterMany(index, makeEngines);
    const ending = await run({ death });
    expectNoneBroken(ending, death);
    if (ending.signal !== "SIGKILL") missed.push(death);
  }
  await expectCalmEnd();
  return missed;
}

async function killAtRandom(kills: number, options: StepSuiteOptions): Promise<void> {
  const random = seededRandom(options.seed);
  for (let kill = 0; kill < kills; kill += 1) {
    await beginAnewAfterMany(kill, options.makeEngines);
    const afterMs = Math.floor(random() * 2_500);
    expectNoneBroken(await run({ afterMs }), { afterMs });
  }
  await expectCalmEnd();
}

async function beginAnewAfterMany(
  runs: number,
  makeEngines: StepSuiteOptions["makeEngines"],
): Promise<void> {
  if (runs === 0 || runs % RUNS_PER_INSTALLATION > 0) return;
  await expectCalmEnd();
  await beginAnew(makeEngines);
}

/** A run that nobody kills comes to its end, and finds every promise kept before and after. */
async function expectCalmEnd(): Promise<void> {
  const calm = await run({});
  expectNoneBroken(calm, "nothing");
  expect(calm.code).toBe(0);
}

/** Makes an installation in which nothing has been yet. */
async function beginAnew(makeEngines: StepSuiteOptions["makeEngines"]): Promise<void> {
  installations += 1;
  const home = join(root, String(installations));
  place = {
    dataDirectory: join(home, "data"),
    keyFile: join(home, "root.key"),
    engines: await makeEngines(),
    log: join(home, "log"),
  };
  round = 0;
  await initCustody(place);
}

/** The steps that a run makes, with how often each. */
async function countSteps(): Promise<ReadonlyMap<string, number>> {
  const { printed, code } = await run({});
  expect(code).toBe(0);
  return new Map(Object.entries(JSON.parse(printed.at(-1) ?? "{}") as Record<string, number>));
}

/** For every step both sides of its first call and of one drawn. */
function allDeaths(counts: ReadonlyMap<string, number>, random: () => number): readonly Death[] {
  return [...counts].flatMap(([step, count]) => {
    const drawn = 1 + Math.floor(random() * count);
    return [1, drawn].flatMap((call) => [
      { step, side: "before" as const, call },
      { step, side: "after" as const, call },
    ]);
  });
}

async function run({
  death,
  afterMs,
}: {
  readonly death?: Death;
  readonly afterMs?: number;
}): Promise<Ending> {
  const labour: Labour = { ...place, round, ...(death === undefined ? {} : { death }) };
  round += 1;
  const child = spawn(
    process.execPath,
    [
      "--conditions=source",
      "--disable-warning=ExperimentalWarning",
      join(import.meta.dirname, "laborious-program.ts"),
      JSON.stringify(labour),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise<Pick<Ending, "code" | "signal">>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  const printed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (line !== "opened" || afterMs === undefined) continue;
    await pause(afterMs);
    child.kill("SIGKILL");
  }
  return { ...(await ended), printed };
}

function expectNoneBroken({ printed, code, signal }: Ending, death: unknown): void {
  const broken = printed.filter((line) => line.startsWith("broken"));
  expect({ death, broken }).toEqual({ death, broken: [] });
  // It ended by itself, or as it was to.
  expect([0, "SIGKILL"]).toContain(signal ?? code);
}
