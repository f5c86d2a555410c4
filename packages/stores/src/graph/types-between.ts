import type { GraphModel, LabelPair } from "./graph-model.ts";
import type { PathQuery } from "./port.ts";

/**
 * The edge types that a path between two labels can have, by what the model joins.
 *
 * An engine pays for every table that a path might go through, whether it holds an edge or not; a
 * model of many packs has dozens, most of them out of reach.
 */
export function typesBetween(
  model: GraphModel,
  { from, to, direction, depthMax }: Pick<PathQuery, "from" | "to" | "direction" | "depthMax">,
): readonly string[] {
  const pairs = [...model.types.values()].flat();
  const steps = direction === "out" ? pairs : [...pairs, ...pairs.map(turned)];
  const fromStart = distances(from.label, steps);
  const toEnd = distances(to.label, steps.map(turned));
  const lies = ({ from: left, to: right }: LabelPair): boolean =>
    (fromStart.get(left) ?? Infinity) + 1 + (toEnd.get(right) ?? Infinity) <= depthMax;
  return [...model.types]
    .filter(([, joined]) =>
      joined.some((pair) => lies(pair) || (direction === "both" && lies(turned(pair)))),
    )
    .map(([type]) => type);
}

function turned({ from, to }: LabelPair): LabelPair {
  return { from: to, to: from };
}

/** How many steps each label is away from the first, at least. */
function distances(start: string, steps: readonly LabelPair[]): ReadonlyMap<string, number> {
  const found = new Map([[start, 0]]);
  for (const [label, distance] of found) {
    for (const { from, to } of steps) {
      // What is added to a map while it is walked is walked too: the search goes breadth first.
      if (from === label && !found.has(to)) found.set(to, distance + 1);
    }
  }
  return found;
}
