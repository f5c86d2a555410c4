// A child process: evidence into servers by their own clients, without any guarantee of ours.
import type { EvidenceRecord } from "../generate.ts";
import { lineBatches, parsedLines } from "../record-lines.ts";
import { answer, BATCH_RECORDS, serverRequest } from "../run-request.ts";
import { RawThread } from "../baseline/raw-thread.ts";
import { openRawJournal } from "./journal.ts";
import { SERVER_STORES, threadsOf } from "./placements.ts";

const { input, targets, urls } = serverRequest();
const program = new URL("./raw-worker.ts", import.meta.url);
const threads = await Promise.all(
  threadsOf(targets).map((names) =>
    RawThread.start({ program, names, rows: SERVER_STORES, options: urls }),
  ),
);
const { relational = "", blob = "" } = urls;
const journal = targets.includes("journal")
  ? await openRawJournal({ relational, blob })
  : undefined;

const begun = performance.now();
let records = 0;
for (const lines of lineBatches(input, BATCH_RECORDS)) {
  const batch = { ...lines, records: parsedLines<EvidenceRecord>(lines) };
  records += batch.records.length;
  for (const thread of threads) await thread.write(batch);
  await journal?.write(batch);
}
await Promise.all([journal?.close(), ...threads.map((thread) => thread.close())]);
answer({ records, seconds: (performance.now() - begun) / 1_000 });
