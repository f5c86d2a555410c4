import type { Custody } from "@custody/core/custody";

import { SCOPE, TYPE } from "./custody-scope.ts";
import { READ_CALLS } from "./read-samples.ts";
import type { ReadSample } from "./read-samples.ts";
import { timeCalls } from "./quantiles.ts";
import type { Latency } from "./quantiles.ts";

/** The reads that are compared with raw drivers, on whatever engines. */
export type CustodyRead = "get" | "find" | "search" | "aggregate" | "neighbours";

/** Times each kind of read, one call after another. */
export async function timeCustodyReads(
  custody: Custody,
  samples: readonly ReadSample[],
): Promise<Readonly<Record<CustodyRead, Latency>>> {
  const at = (index: number): ReadSample => {
    const sample = samples[index % samples.length];
    if (sample === undefined) throw new RangeError("there are no records to read");
    return sample;
  };
  const groupBy = ["model"];
  const measures = {
    attempts: { fn: "count" },
    harm: { fn: "mean", column: "harm_likert" },
  } as const;
  return {
    get: await timeCalls(READ_CALLS, (index) => custody.get(SCOPE, TYPE, at(index).id)),
    find: await timeCalls(READ_CALLS, (index) =>
      custody.find(SCOPE, TYPE, { filter: { session_id: at(index).session_id }, limit: 20 }),
    ),
    search: await timeCalls(READ_CALLS, (index) =>
      custody.search(SCOPE, TYPE, { query: at(index).words, limit: 10 }),
    ),
    aggregate: await timeCalls(READ_CALLS, () =>
      custody.aggregate(SCOPE, TYPE, { groupBy, measures, limit: 100 }),
    ),
    neighbours: await timeCalls(READ_CALLS, (index) =>
      custody.graph.neighbours(SCOPE, {
        node: { label: "Probe", id: at(index).probe },
        direction: "out",
        types: ["FOUND"],
        limit: 100,
      }),
    ),
  };
}
