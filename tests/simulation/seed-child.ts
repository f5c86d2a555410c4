import { drawPlan } from "./plan.ts";
import type { SeedFailure, SeedMessage } from "./run-seeds.ts";
import { simulate } from "./simulation.ts";

const [first = 0, end = 0, failuresMax = Number.POSITIVE_INFINITY] = process.argv
  .slice(2)
  .map(Number);
const failures: SeedFailure[] = [];
let events = 0;
for (let seed = first; seed < end && failures.length < failuresMax; seed += 1) {
  const result = await simulate(drawPlan(seed));
  events += result.events;
  const { failure } = result;
  if (failure !== undefined)
    failures.push({ seed, invariant: failure.invariant, reason: failure.message });
}
const message: SeedMessage = { failures, events };
process.send?.(message, () => process.disconnect());
