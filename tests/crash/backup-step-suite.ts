// Kills a real process at every kind of step of a backup, a prune and a restore; then all is as was promised.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { initCustody, openCustody } from "@custody/server/compose";
import { backUpKeys } from "@custody/server/key-operations";
import type { EngineUrls } from "@custody/server/open-stores";
import { seededRandom } from "@custody/stores/testing/seeded-random";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { BackupStepLabour } from "./backup-step-program.ts";
import {
  countsByRole,
  EVIDENCE,
  evidenceId,
  manyEvidence,
  RECORDS_PER_ROUND,
  scope,
} from "./evidence.ts";
import type { Death } from "./killing-stores.ts";
import { openInstallation, withoutProjections } from "./open-installation.ts";
import type { Place } from "./open-installation.ts";

/** Which kills a run of the suite makes, and on which engines. */
export interface BackupStepSuiteOptions {
  /** Where an installation's stores are, told anew for each; what is called `onEnd` is called in the end. */
  readonly makeEngines: (
    onEnd: (end: () => Promise<void>) => void,
  ) => EngineUrls | Promise<EngineUrls>;
  /** True for every call on both sides; else each kind of step twice, at its first call and at one drawn. */
  readonly isAll: boolean;
  readonly seed: number;
}

/** How often each step was made. */
type Counts = ReadonlyMap<string, number>;

interface Ending {
  readonly signal: NodeJS.Signals | null;
  readonly code: number | null;
  readonly printed: string;
}

type WithoutDeath<Labour> = Labour extends unknown ? Omit<Labour, "death"> : never;

const FILLED = 300;
const FILLED_FROM = 500_000;
const RUN_MS = 60_000;
// The first makes the repository, the third prunes what the first has made.
const CALM_ROUNDS = 3;

let root = "";
let ends: (() => Promise<void>)[] = [];
let source: Place;
let recoveryKey = "";
let round = 0;
/** The steps of a backup and a prune, and those of them that are made in every run. */
let counts: Counts = new Map();
let again: Counts = new Map();
const at = (name: string): string => join(root, name);

/** What holds when a backup, a prune or a restore is killed, for installations on the given engines. */
export function describeBackupSteps(options: BackupStepSuiteOptions): void {
  const { isAll, seed } = options;
  const often = isAll ? "every step" : "each kind of step";
  describe(`backups and restores killed before and after ${often} (seed ${seed})`, () => {
    beforeAll(() => begin(options), 5 * RUN_MS);
    afterAll(async () => {
      for (const end of ends.toReversed()) await end();
      await rm(root, { recursive: true, force: true });
    }, RUN_MS);

    test(
      "a restore that was killed is refused with what to do, goes on when it is repeated, and equals the source in the end",
      async () => {
        const calm = await newPlace(options);
        const deaths = chooseDeaths(countsOf(await restore(calm)), options);
        const whole = await wholeOf(source);
        expect(await wholeOf(calm)).toEqual(whole);
        const { missed, last } = await killRestores(deaths, options);
        expectFew(missed, deaths, options);
        expect(await wholeOf(last)).toEqual(whole);
      },
      (isAll ? 400 : 60) * RUN_MS,
    );

    test(
      "after a backup or a prune was killed the source verifies, older backups are listed and whole, the next leaves nothing unreachable and is restored",
      async () => {
        const deaths = chooseDeaths(counts, options);
        const missed = await killBackups(deaths);
        expectFew(missed, deaths, options);
        const into = await newPlace(options);
        await restore(into);
        expect(await truthOf(into)).toEqual(await truthOf(source));
      },
      (isAll ? 400 : 60) * RUN_MS,
    );
  });
}

/** Makes a source with evidence, a backup of its keys, and some backups; counts their steps. */
async function begin(options: BackupStepSuiteOptions): Promise<void> {
  root = await mkdtemp(join(tmpdir(), "custody-backup-step-"));
  ends = [];
  round = 0;
  source = await newPlace(options);
  ({ recoveryKey } = await initCustody(source));
  await backUpKeys({ ...source, keyBackup: at("keys") }, {});
  {
    await using custody = await openCustody(source);
    const put = manyEvidence(FILLED_FROM, FILLED, 500);
    await custody.commit(scope, [{ type: EVIDENCE, put }]);
    await custody.compact(scope);
  }
  const fewest = new Map<string, number>();
  for (let calm = 0; calm < CALM_ROUNDS; calm += 1) {
    again = countsOf(await backUp());
    for (const [step, count] of again) fewest.set(step, Math.min(count, fewest.get(step) ?? count));
  }
  counts = fewest;
}

let places = 0;

async function newPlace({ makeEngines }: BackupStepSuiteOptions): Promise<Place> {
  places += 1;
  return {
    dataDirectory: at(`data-${places}`),
    keyFile: at(`key-${places}`),
    engines: await makeEngines((end) => ends.push(end)),
  };
}

/** Both sides of every call; or of each kind of step the first on one side and a drawn one on the other. */
function chooseDeaths(
  steps: Counts,
  { isAll, seed }: Pick<BackupStepSuiteOptions, "isAll" | "seed">,
): readonly Death[] {
  const random = seededRandom(seed);
  return [...steps].flatMap(([step, count]): readonly Death[] => {
    if (!isAll) {
      const drawn = 1 + Math.floor(random() * count);
      return [
        { step, side: "before", call: 1 },
        { step, side: "after", call: drawn },
      ];
    }
    return Array.from({ length: count }, (_, index) => index + 1).flatMap((call) => [
      { step, side: "before" as const, call },
      { step, side: "after" as const, call },
    ]);
  });
}

async function killBackups(deaths: readonly Death[]): Promise<readonly Death[]> {
  const missed: Death[] = [];
  for (const death of deaths) {
    // Some are made once in a repository's life.
    const anew = again.has(death.step) ? "" : `-${round}`;
    if (!(await isKilled(backUp(death, anew)))) missed.push(death);
  }
  await backUp();
  return missed;
}

/** Kills restores into one place one after the other, as long as there is something left to restore. */
async function killRestores(
  deaths: readonly Death[],
  options: BackupStepSuiteOptions,
): Promise<{ readonly missed: readonly Death[]; readonly last: Place }> {
  const expected = await truthOf(source);
  const expectSame = async (place: Place): Promise<void> => {
    expect(await truthOf(place)).toEqual(expected);
  };
  const missed: Death[] = [];
  let last = await newPlace(options);
  let isBegun = false;
  for (const death of deaths) {
    // Where its very call is meant, each has a place of its own.
    let wasKilled: boolean = (!options.isAll || !isBegun) && (await isKilled(restore(last, death)));
    if (!wasKilled && isBegun) {
      if (options.isAll) await restore(last);
      await expectSame(last);
      last = await newPlace(options);
      wasKilled = await isKilled(restore(last, death));
    }
    if (!wasKilled) missed.push(death);
    isBegun = wasKilled && !(await isRestored(last));
    if (isBegun) continue;
    await expectSame(last);
    last = await newPlace(options);
  }
  await restore(last);
  await expectSame(last);
  return { missed, last };
}

/** Whether a restore that was killed had come to its end. Else the place is refused. */
async function isRestored(into: Place): Promise<boolean> {
  try {
    await using custody = await openCustody(into);
    expect((await custody.status(scope)).entries).toBeGreaterThan(0);
    return true;
  } catch (cause) {
    expect(String(cause)).toMatch(
      /repeat the same `custody backup restore`, which goes on where it was, or empty the place/,
    );
    return false;
  }
}

/** What the journal and the blobs of a place hold, which must verify: no other store is asked. */
async function truthOf(place: Place): Promise<unknown> {
  const { custody } = await openInstallation(place, { watch: withoutProjections });
  await using _closing = custody;
  expect(await custody.verify(scope, { allTenants: true })).toMatchObject({ ok: true });
  const records: unknown[] = [];
  for (let number = 0; number < FILLED; number += 1)
    records.push(await custody.get(scope, EVIDENCE, evidenceId(FILLED_FROM + number)));
  for (let number = 0; number < round * RECORDS_PER_ROUND; number += 1)
    records.push(await custody.get(scope, EVIDENCE, evidenceId(number)));
  const files: Record<string, string> = {};
  for (const { key } of await custody.blob.list(scope, "notes/")) {
    const bytes = await custody.blob.get(scope, key);
    files[key] = bytes === undefined ? "nothing" : await text(bytes);
  }
  expect(Object.keys(files).length).toBeGreaterThanOrEqual(CALM_ROUNDS);
  return { records, files };
}

/** What all stores of a place hold, which must be in step with the journal. */
async function wholeOf(place: Place): Promise<unknown> {
  await using custody = await openCustody(place);
  await custody.catchUp(scope);
  expect(await custody.reconcile(scope)).toMatchObject({ ok: true });
  return await countsByRole(custody);
}

/** A run of the program that makes a backup and prunes, into the repository or into one that is made for it. */
function backUp(death?: Death, anew = ""): Promise<Ending> {
  const names = { repository: at(`backups${anew}`), log: at(`log${anew}`) };
  const labour = { what: "back-up", source, keyBackup: at("keys"), round, ...names } as const;
  round += 1;
  return run(labour, death);
}

function restore(into: Place, death?: Death): Promise<Ending> {
  const from = { repository: at("backups"), keyBackup: at("keys"), recoveryKey };
  return run({ what: "restore", into, ...from }, death);
}

async function run(labour: WithoutDeath<BackupStepLabour>, death?: Death): Promise<Ending> {
  const child = spawn(
    process.execPath,
    [
      "--conditions=source",
      "--disable-warning=ExperimentalWarning",
      join(import.meta.dirname, "backup-step-program.ts"),
      JSON.stringify({ ...labour, ...(death === undefined ? {} : { death }) }),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise<Pick<Ending, "code" | "signal">>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  const printed = await text(child.stdout);
  const { code, signal } = await ended;
  expect({ death, code: signal ?? code, printed }).toEqual({
    death,
    code: death !== undefined && signal !== null ? "SIGKILL" : 0,
    printed: signal === null ? (expect.stringMatching(/^\{/) as string) : "",
  });
  return { code, signal, printed };
}

async function isKilled(ending: Promise<Ending>): Promise<boolean> {
  return (await ending).signal === "SIGKILL";
}

function countsOf({ printed }: Ending): Counts {
  return new Map(Object.entries(JSON.parse(printed) as Record<string, number>));
}

// Whether a new key falls into a pack that is there is left to chance.
const CHANCE = "keyBackup.delete keys/packs";

/** Every kind of step is met; of all calls some are made in some runs only. */
function expectFew(
  missed: readonly Death[],
  deaths: readonly Death[],
  { isAll }: BackupStepSuiteOptions,
): void {
  if (!isAll) expect(missed.filter(({ step }) => step !== CHANCE)).toEqual([]);
  expect(missed.length).toBeLessThan(deaths.length / 3);
}
