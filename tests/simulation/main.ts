import { parseArgs } from "node:util";

import { huntBugs } from "./bugs/hunt.ts";
import { drawPlan } from "./plan.ts";
import type { Plan } from "./plan.ts";
import { runSeeds } from "./run-seeds.ts";
import { selectFrom, shrink, wholeSelection } from "./shrink.ts";
import { simulate } from "./simulation.ts";

const USAGE = `npm run simulate -- --seeds N [--from SEED] [--jobs J]   runs N seeds, shrinks what fails
npm run simulate -- --seed SEED [--steps 1,2] [--faults 0] [--follow]   replays one
npm run simulate -- --bugs [NAME …]   plants bugs into a copy of the sources and finds each`;

const DEFAULT_SEEDS = 200;
const SHRINKING_RUNS_MAX = 200;

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
  const from = Number(values.from);
  const { failures, events, tookMs } = await runSeeds({ from, count, jobs: Number(values.jobs) });
  const perSeed = (tookMs / count).toFixed(1);
  say(
    `${count} seeds from ${from}: ${failures.length} failed, ${events} events, ${perSeed} ms a seed`,
  );
  for (const { seed, invariant, reason } of failures.slice(0, 5)) {
    say(`seed ${seed} ${reason}`);
    const fails = async (part: Plan): Promise<boolean> =>
      (await simulate(part)).failure?.invariant === invariant;
    const { steps, faults } = await shrink(drawPlan(seed), fails, SHRINKING_RUNS_MAX);
    say(
      `  replay: npm run simulate -- --seed ${seed} --steps "${steps.join()}" --faults "${faults.join()}"`,
    );
  }
  if (failures.length > 5)
    say(
      `also: ${failures
        .slice(5)
        .map(({ seed }) => seed)
        .join(" ")}`,
    );
  return failures.length === 0;
}

function numbersOf(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined;
  return text === "" ? [] : text.split(",").map(Number);
}

async function main(): Promise<boolean> {
  if (values.help) say(USAGE);
  else if (values.bugs) return huntBugs(positionals, say);
  else if (values.seed !== undefined) return replay(Number(values.seed));
  else return runMany(Number(values.seeds ?? DEFAULT_SEEDS));
  return true;
}

process.exitCode = (await main()) ? 0 : 1;
