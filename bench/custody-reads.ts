// A child process: the reads people make, on what the custody run has left.
import { join } from "node:path";

import { openCustody } from "@custody/server/compose";

import { timeCustodyReads } from "./custody-reads-timed.ts";
import { readSamples } from "./read-samples.ts";
import { answer, runRequest } from "./run-request.ts";

const { input, directory } = runRequest();
const custody = await openCustody({
  dataDirectory: join(directory, "data"),
  keyFile: join(directory, "root.key"),
});
const times = await timeCustodyReads(custody, readSamples(input));
answer({ ...times });
await custody[Symbol.asyncDispose]();
