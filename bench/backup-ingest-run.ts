// A child process: stretches of commits without a backup, with full backups and with continuous shipping
// under way, in turns.
import { rmSync } from "node:fs";
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
interface Stretch extends Committed {
  readonly beside: Beside;
  /** Backups that were finished, the one that was under way at the end among them. */
  readonly backups: number;
  readonly backupSeconds: number;
  readonly backupBytes: number;
  /** How old the oldest commit was that had not been shipped, at the end of a round of shipping. */
  readonly lagMsMax?: number;
}

interface Committed {
  readonly records: number;
  /** To the last receipt. */
  readonly seconds: number;
  /** Until every store had taken them. */
  readonly caughtUpSeconds: number;
  /** Of this process until then, with the backup's; store processes are not counted. */
  readonly cpuSeconds: number;
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

async function commitStretch(): Promise<Committed> {
  const cpuBefore = process.cpuUsage();
  const begun = performance.now();
  const { seconds, answer: committed } = await timed(() =>
    commitBatches(custody, take(roundRecords)),
  );
  await custody.catchUp(SCOPE);
  const caughtUpSeconds = (performance.now() - begun) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { records: committed, seconds, caughtUpSeconds, cpuSeconds: (user + system) / 1_000_000 };
}

async function besideNothing(): Promise<Stretch> {
  const committed = await commitStretch();
  return { beside: "nothing", ...committed, backups: 0, backupSeconds: 0, backupBytes: 0 };
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
  const committed = await commitStretch();
  isOver = true;
  const { seconds: backupSeconds } = await backingUp;
  rmSync(places, { recursive: true });
  return { beside: "full", ...committed, backups, backupSeconds, backupBytes };
}

/** Commits while what is new is shipped to a place that has all that was there before. */
async function besideShipping(): Promise<Stretch> {
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
  const committed = await commitStretch();
  stop.abort();
  const { seconds: backupSeconds } = await shipping;
  const failed = shipped.find(({ error }) => error !== undefined);
  if (failed !== undefined) throw new Error("a round of shipping failed", { cause: failed.error });
  return {
    beside: "continuous",
    ...committed,
    backups: shipped.filter(({ backupId }) => backupId !== undefined).length,
    backupSeconds,
    backupBytes: shipped.reduce((sum, { bytes }) => sum + bytes, 0),
    lagMsMax: Math.max(0, ...shipped.map(({ lag }) => lag.ms)),
  };
}
