import { drawPlan } from "../plan.ts";
import { simulate } from "../simulation.ts";

/** The first of some seeds that a planted bug makes fail as it should. */
export interface Found {
  readonly seed: number;
  readonly reason: string;
}

// Runs in a copy of the sources in which a bug is planted: `find-bug.ts FIRST END INVARIANT…` tries the
// seeds from FIRST up to, not including, END, and writes what it has found as JSON, or nothing.
const [first = 0, end = 0] = process.argv.slice(2, 4).map(Number);
const invariants = process.argv.slice(4);
for (let seed = first; seed < end; seed += 1) {
  const { failure } = await simulate(drawPlan(seed));
  if (failure === undefined || !invariants.includes(failure.invariant)) continue;
  const found: Found = { seed, reason: failure.message };
  process.stdout.write(JSON.stringify(found));
  break;
}
