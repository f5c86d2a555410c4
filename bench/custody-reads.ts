// A child process: the reads people make, on what the custody run has left.
import { join } from "node:path";

import { openCustody } from "@custody/server/compose";

import { SCOPE, TYPE } from "./custody-scope.ts";
import { READ_CALLS, readSamples } from "./read-samples.ts";
import { timeCalls } from "./quantiles.ts";
import { answer, runRequest } from "./run-request.ts";

const { input, directory } = runRequest();
const samples = readSamples(input);
const custody = await openCustody({
  dataDirectory: join(directory, "data"),
  keyFile: join(directory, "root.key"),
});
const at = (index: number): (typeof samples)[number] => {
  const sample = samples[index % samples.length];
  if (sample === undefined) throw new RangeError("there are no records to read");
  return sample;
};
const groupBy = ["model"];
const measures = {
  attempts: { fn: "count" },
  harm: { fn: "mean", column: "harm_likert" },
} as const;

answer({
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
});
await custody[Symbol.asyncDispose]();
