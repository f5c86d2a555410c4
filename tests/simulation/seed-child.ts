import { drawPlan } from "./plan.ts";
import type { SeedFailure, SeedMessage, SeedTask } from "./run-seeds.ts";
import { simulate } from "./simulation.ts";

process.on("message", (task) => void run(task as SeedTask));

async function run({ first, end }: SeedTask): Promise<void> {
  const failures: SeedFailure[] = [];
  let events = 0;
  for (let seed = first; seed < end; seed += 1) {
    const result = await simulate(drawPlan(seed));
    events += result.events;
    const { failure } = result;
    if (failure !== undefined)
      failures.push({ seed, invariant: failure.invariant, reason: failure.message });
  }
  const message: SeedMessage = { failures, events };
  process.send?.(message);
}
