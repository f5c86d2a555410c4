// A child process: one batch of evidence into seven stores with their raw drivers and no guarantee.
import { mkdirSync } from "node:fs";

import type { EvidenceRecord } from "../generate.ts";
import { lineBatches, parsedLines } from "../record-lines.ts";
import { answer, BATCH_RECORDS, runRequest } from "../run-request.ts";
import { RAW_STORES, RAW_THREADS } from "./placements.ts";
import { RawThread } from "./raw-thread.ts";

const { input, directory, durability } = runRequest();
mkdirSync(directory, { recursive: true });
const options = { directory, durability };
const program = new URL("./raw-worker.ts", import.meta.url);
const threads = await Promise.all(
  RAW_THREADS.map((names) => RawThread.start({ program, names, rows: RAW_STORES, options })),
);
const log = await RAW_STORES.log.open(options);

const begun = performance.now();
let records = 0;
for (const lines of lineBatches(input, BATCH_RECORDS)) {
  const batch = { ...lines, records: parsedLines<EvidenceRecord>(lines) };
  records += batch.records.length;
  for (const thread of threads) await thread.write(batch);
  await log.write(RAW_STORES.log.rows(batch));
}
await Promise.all([log.close(), ...threads.map((thread) => thread.close())]);
const seconds = (performance.now() - begun) / 1_000;
answer({ records, seconds });
