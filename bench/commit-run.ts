// A child process: how long one small commit takes, and how many small writers share a transaction.
import { join } from "node:path";

import { initCustody, openCustody } from "@custody/server/compose";

import { SCOPE, TYPE } from "./custody-scope.ts";
import { lineBatches, parsedLines } from "./record-lines.ts";
import { answer, runRequest } from "./run-request.ts";
import { timeCalls } from "./quantiles.ts";

const SINGLE_COMMITS = 200;
const WRITERS = 64;
const COMMITS_A_WRITER = 32;

const { input, directory } = runRequest();
const place = { dataDirectory: join(directory, "data"), keyFile: join(directory, "root.key") };
await initCustody(place);
const custody = await openCustody(place);

const [batch] = lineBatches(input, SINGLE_COMMITS * 2 + WRITERS * COMMITS_A_WRITER);
const records = batch === undefined ? [] : parsedLines(batch);
let next = 0;
const commitOne = async (): Promise<unknown> => {
  const fields = records[next];
  next += 1;
  return await custody.commit(SCOPE, [{ type: TYPE, put: [{ fields }] }]);
};

const single = await timeCalls(Math.min(SINGLE_COMMITS, records.length >> 1), commitOne);
const begun = performance.now();
const before = next;
await Promise.all(
  Array.from({ length: WRITERS }, async () => {
    for (let made = 0; made < COMMITS_A_WRITER && next < records.length; made += 1) {
      await commitOne();
    }
  }),
);
const seconds = (performance.now() - begun) / 1_000;
await custody[Symbol.asyncDispose]();
answer({ single, concurrent: { writers: WRITERS, commitsPerSecond: (next - before) / seconds } });
