import type { Plan } from "./plan.ts";

/** Numbers of the steps and faults of a plan that are kept. */
export interface Selection {
  readonly steps: readonly number[];
  readonly faults: readonly number[];
}

/** Everything that a plan has. */
export function wholeSelection(plan: Plan): Selection {
  return { steps: plan.steps.map(({ number }) => number), faults: [...plan.faults.keys()] };
}

/** A plan with some of its steps and faults; each does what it would have done among all. */
export function selectFrom(plan: Plan, { steps, faults }: Selection): Plan {
  return {
    ...plan,
    steps: plan.steps.filter(({ number }) => steps.includes(number)),
    faults: plan.faults.filter((_, index) => faults.includes(index)),
  };
}

/**
 * Finds a small part of a plan that still fails, by delta debugging: halves are left out first, then
 * ever smaller parts, until no single step or fault can go.
 *
 * @param fails whether a part of the plan fails, as it does whole.
 * @param runsMax parts that are tried at most; what was found by then is answered.
 */
export async function shrink(
  plan: Plan,
  fails: (part: Plan) => Promise<boolean>,
  runsMax: number,
): Promise<Selection> {
  let kept: readonly Item[] = [
    ...plan.faults.keys().map((index) => ({ kind: "fault" as const, index })),
    ...plan.steps.map(({ number }) => ({ kind: "step" as const, index: number })),
  ];
  let runs = 0;
  for (let parts = 2; kept.length > 1 && runs < runsMax;) {
    const size = Math.ceil(kept.length / parts);
    let smaller: readonly Item[] | undefined;
    for (
      let from = 0;
      from < kept.length && runs < runsMax && smaller === undefined;
      from += size
    ) {
      const without = [...kept.slice(0, from), ...kept.slice(from + size)];
      runs += 1;
      if (await fails(selectFrom(plan, selectionOf(without)))) smaller = without;
    }
    if (smaller === undefined && size === 1) break;
    parts = smaller === undefined ? Math.min(parts * 2, kept.length) : Math.max(parts - 1, 2);
    kept = smaller ?? kept;
  }
  return selectionOf(kept);
}

interface Item {
  readonly kind: "fault" | "step";
  /** A fault's place, a step's number. */
  readonly index: number;
}

function selectionOf(items: readonly Item[]): Selection {
  const of = (kind: Item["kind"]): readonly number[] =>
    items.filter((item) => item.kind === kind).map(({ index }) => index);
  return { faults: of("fault"), steps: of("step") };
}
