import { parseArgs } from "node:util";

import { huntBugs } from "./bugs/hunt.ts";
import { drawPlan } from "./plan.ts";
import type { Plan } from "./plan.ts";
import { runSeeds } from "./run-seeds.ts";
import type { SeedProgress } from "./run-seeds.ts";
import { selectFrom, shrink, wholeSelection } from "./shrink.ts";
import { simulate } from "./simulation.ts";

const USAGE = `npm run simulate -- --seeds N [--from SEED] [--jobs J]   runs N seeds, shrinks what fails
npm run simulate -- --seed SEED [--steps 1,2] [--faults 0] [--follow]   replays one
npm run simulate -- --bugs [NAME …] [--within N] [--known] [--note] [--jobs J]   plants bugs into a copy of the sources and finds each;
  --within takes those that must be found within N seeds, --known tries the seed that found it last before all others, --note writes into the table which one did`;

const DEFAULT_SEEDS = 200;
const SHRINKING_RUNS_MAX = 200;
// More would take longer than the seeds did.
const SHRUNK_MAX = 5;
const PROGRESS_MS = 10_000;
// So many failures have one cause, and the numbers of the others come at the end.
const TOLD_MAX = 50;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
    seed: { type: "string" },
    steps: { type: "string" },
    faults: { type: "string" },
    follow: { type: "boolean", default: false },
    bugs: { type: "boolean", default: false },
    within: { type: "string" },
    known: { type: "boolean", default: false },
    note: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function replay(seed: number): Promise<boolean> {
  const whole = drawPlan(seed);
  const all = wholeSelection(whole);
  const plan = selectFrom(whole, {
    steps: numbersOf(values.steps) ?? all.steps,
    faults: numbersOf(values.faults) ?? all.faults,
  });
  if (values.follow) {
    for (const fault of plan.faults) say(JSON.stringify(fault));
    for (const step of plan.steps) say(JSON.stringify(step));
  }
  const result = await simulate(plan, values.follow ? { onEvent: say } : {});
  const { failure, traceHash, events, entries } = result;
  say(`seed ${seed}: ${events} events, ${entries} entries, trace ${traceHash}`);
  if (failure !== undefined) say(failure.message);
  return failure === undefined;
}

async function runMany(count: number): Promise<boolean> {
  const range = { from: Number(values.from), count, jobs: Number(values.jobs) };
  const { failures, events, tookMs } = await runSeeds({ ...range, onProgress: progress(count) });
  const perSeed = (tookMs / count).toFixed(1);
  say(`${count} seeds from ${range.from}: ${events} events, ${perSeed} ms a seed`);
  for (const { seed, invariant, reason } of failures.slice(0, SHRUNK_MAX)) {
    say(`seed ${seed} ${reason}`);
    const fails = async (part: Plan): Promise<boolean> =>
      (await simulate(part)).failure?.invariant === invariant;
    const { steps, faults } = await shrink(drawPlan(seed), fails, SHRINKING_RUNS_MAX);
    say(
      `  replay: npm run simulate -- --seed ${seed} --steps "${steps.join()}" --faults "${faults.join()}"`,
    );
  }
  const others = failures.slice(SHRUNK_MAX).map(({ seed }) => seed);
  if (others.length > 0) say(`also: ${others.join(" ")}`);
  say(`${count - failures.length} passed, ${failures.length} failed`);
  return failures.length === 0;
}

/** Says now and then how far it has come, and each seed that fails at once. */
function progress(count: number): (progress: SeedProgress) => void {
  let [saidAtMs, told] = [performance.now(), 0];
  return ({ done, doneBelow, failures }) => {
    for (const { seed, reason } of failures.slice(told, TOLD_MAX))
      say(`seed ${seed} fails: ${reason.split("\n")[0]}`);
    told = failures.length;
    if (performance.now() - saidAtMs < PROGRESS_MS) return;
    saidAtMs = performance.now();
    say(`${done} of ${count} seeds, all below ${doneBelow}; ${failures.length} failed`);
  };
}

async function hunt(): Promise<boolean> {
  const { found, missed } = await huntBugs({
    names: positionals,
    seedsMax: Number(values.within ?? Number.POSITIVE_INFINITY),
    jobs: Number(values.jobs),
    isByKnownSeed: values.known,
    isNoted: values.note,
    say,
  });
  say(`${found} passed, ${missed} failed`);
  return missed === 0;
}

function numbersOf(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined;
  return text === "" ? [] : text.split(",").map(Number);
}

async function main(): Promise<boolean> {
  if (values.help) say(USAGE);
  else if (values.bugs) return hunt();
  else if (values.seed !== undefined) return replay(Number(values.seed));
  else return runMany(Number(values.seeds ?? DEFAULT_SEEDS));
  return true;
}

process.exitCode = (await main()) ? 0 : 1;
