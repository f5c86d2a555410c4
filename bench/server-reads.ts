// A child process: the reads people make, on what the run on servers has left in Custody.
import { join } from "node:path";

import { CUSTODY_SETTINGS } from "@custody/core/create-custody";
import { openCustody } from "@custody/server/compose";

import { timeCustodyReads } from "./custody-reads-timed.ts";
import { SCOPE, TYPE } from "./custody-scope.ts";
import { timeCalls } from "./quantiles.ts";
import { READ_CALLS, readSamples } from "./read-samples.ts";
import { answer, serverRequest } from "./run-request.ts";
import { enginesOf, packOf } from "./server-pack.ts";

const request = serverRequest();
const { input, directory, targets } = request;
const custody = await openCustody({
  dataDirectory: join(directory, "data"),
  keyFile: join(directory, "root.key"),
  engines: enginesOf(request),
  packs: [packOf(targets)],
  // Each call asks the server, as the raw client's do.
  settings: { answers: { ...CUSTODY_SETTINGS.answers, bytesMax: 0 } },
});
const from = Date.UTC(2026, 0, 5);
const to = Date.UTC(2026, 0, 6);

answer({
  ...(await timeCustodyReads(custody, readSamples(input))),
  series: await timeCalls(READ_CALLS, () =>
    custody.series(SCOPE, TYPE, {
      measurement: "session_evidence",
      from,
      to,
      bucketMs: 3_600_000,
      groupBy: ["model"],
      values: {
        latency: { field: "latency_ms", fn: "mean" },
        most: { field: "tokens", fn: "max" },
      },
    }),
  ),
  table: await timeCalls(READ_CALLS, () =>
    custody.table(SCOPE, "redteam/session_summaries", {
      orderBy: [{ column: "attempts", direction: "desc" }],
      limit: 50,
    }),
  ),
});
await custody[Symbol.asyncDispose]();
