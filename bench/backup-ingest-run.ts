// A child process: stretches of commits without a backup, with full backups and with continuous shipping
// under way, in turns.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { ShippingRound } from "@custody/core/backup/ship-continuously";
import { openPlace } from "@custody/server/open-place";

import { backUp, makeInstallation, timed } from "./backup-installation.ts";
import { commitBatches } from "./commit-all.ts";
import { SCOPE } from "./custody-scope.ts";
import { lineBatches } from "./record-lines.ts";
import type { LineBatch } from "./record-lines.ts";
import { answer, backupRequest, BATCH_RECORDS } from "./run-request.ts";

/** What is under way while records are committed. */
type Beside = "nothing" | "full" | "continuous";

/** What a stretch of commits came to. */
interface Stretch {
  readonly beside: Beside;
  readonly seconds: number;
  readonly records: number;
  /** Backups that were finished, those that ended just after the last commit among them. */
  readonly backups: number;
  readonly backupSeconds: number;
  readonly backupBytes: number;
}

// A fifth of the default, so that several rounds fall into a stretch: a heavier load than the default is.
const SHIP_PAUSE_MS = 1_000;

const { input, directory, records, rounds, roundRecords, repository } = backupRequest();
const batchRecords = Math.min(BATCH_RECORDS, roundRecords);
const custody = await makeInstallation(directory);
const batches = lineBatches(input, batchRecords);
await commitBatches(custody, take(records));
await custody.catchUp(SCOPE);

const stretches: Stretch[] = [];
for (let round = 1; round <= rounds; round += 1) {
  stretches.push(await besideNothing());
  stretches.push(await besideFull(join(directory, `full-${round}`)));
  stretches.push(await besideShipping());
}
await custody[Symbol.asyncDispose]();
// A commit that is refused or fails ends this process, so whoever reads this knows that none was.
answer({ stretches });

/** The next batches of the input, of so many records together. */
function* take(count: number): Generator<LineBatch> {
  for (let taken = 0; taken < count; taken += batchRecords) {
    const next = batches.next();
    if (next.done === true) return;
    yield next.value;
  }
}

async function commitStretch(): Promise<{ readonly seconds: number; readonly answer: number }> {
  return timed(() => commitBatches(custody, take(roundRecords)));
}

async function besideNothing(): Promise<Stretch> {
  const { seconds, answer: committed } = await commitStretch();
  await custody.catchUp(SCOPE);
  const none = { backups: 0, backupSeconds: 0, backupBytes: 0 };
  return { beside: "nothing", seconds, records: committed, ...none };
}

/** Commits while one full backup after another is made, each into a place of its own. */
async function besideFull(places: string): Promise<Stretch> {
  let isOver = false;
  let [backups, backupBytes] = [0, 0];
  const backingUp = timed(async () => {
    while (!isOver) {
      const { written } = await backUp(custody, join(places, String(backups)), "full");
      backups += 1;
      backupBytes += written.bytes;
    }
  });
  const { seconds, answer: committed } = await commitStretch();
  isOver = true;
  const { seconds: backupSeconds } = await backingUp;
  await custody.catchUp(SCOPE);
  rmSync(places, { recursive: true });
  return { beside: "full", seconds, records: committed, backups, backupSeconds, backupBytes };
}

/** Commits while what is new is shipped to a place that has all that was there before. */
async function besideShipping(): Promise<Stretch> {
  mkdirSync(repository, { recursive: true });
  await backUp(custody, repository, "incremental");
  await using place = await openPlace(repository);
  const stop = new AbortController();
  const shipped: ShippingRound[] = [];
  const shipping = timed(() =>
    custody.backup.ship(SCOPE, place, {
      signal: stop.signal,
      pauseMs: SHIP_PAUSE_MS,
      onRound: (round) => shipped.push(round),
    }),
  );
  const { seconds, answer: committed } = await commitStretch();
  stop.abort();
  const { seconds: backupSeconds } = await shipping;
  const failed = shipped.find(({ error }) => error !== undefined);
  if (failed !== undefined) throw new Error("a round of shipping failed", { cause: failed.error });
  await custody.catchUp(SCOPE);
  return {
    beside: "continuous",
    seconds,
    records: committed,
    backups: shipped.filter(({ backupId }) => backupId !== undefined).length,
    backupSeconds,
    backupBytes: shipped.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
