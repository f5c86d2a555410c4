import { expect, test } from "vitest";

import type { Receipt } from "@custody/contract/receipt";
import type { StreamEvent } from "@custody/stores/stream/port";

import { journalContents } from "../backup/journal-contents.ts";
import { restoreBackup } from "../backup/restore.ts";
import type { Custody } from "../custody.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { openRestorePlace } from "../testing/restore-place.ts";
import { attempt } from "../testing/sample-types.ts";

const commit = (custody: Custody, ...ids: readonly string[]): Promise<Receipt> =>
  custody.commit(scope, [
    { type: "sample/attempts", put: ids.map((id) => ({ fields: attempt(id) })) },
  ]);
const eventsOf = ({ events }: Custody): Promise<readonly StreamEvent[]> =>
  events.read(scope, "sample.attempts", { limit: 100 });

test("events from before a restore keep their ids, and later ones take none that was given", async () => {
  await using installation = await openInstallation();
  const { custody, clock, stores } = installation;
  const early = await commit(custody, "a", "b");
  clock.nowMs += 1_000;
  const late = await commit(custody, "lost");
  const told = await eventsOf(custody);
  const live = { journal: await stores.journal(), blob: await stores.blob() };
  await using place = await openRestorePlace(installation);
  await restoreBackup(
    await journalContents(live, { backupId: "b1", repository: "r1" }),
    place.target,
    { to: { time: early.receivedAt } },
  );
  await using restored = await place.open();
  // The restore itself took the sequence of what was lost; this one comes behind the next.
  clock.nowMs += 1_000;
  await commit(custody, "elsewhere");
  const anew = await commit(restored.custody, "new");
  const toldSince = (await eventsOf(custody)).slice(told.length);
  const [old, now] = [early.timeline.slice(0, 12), anew.timeline.slice(0, 12)];
  expect(told.map(({ key, eventId }) => [key, eventId])).toEqual([
    ["a", `acme:${old}:1:0`],
    ["b", `acme:${old}:1:1`],
    ["lost", `acme:${old}:2:0`],
  ]);
  expect((await eventsOf(restored.custody)).map(({ key, eventId }) => [key, eventId])).toEqual([
    ["a", `acme:${old}:1:0`],
    ["b", `acme:${old}:1:1`],
    ["new", `acme:${now}:3:0`],
  ]);
  expect(toldSince.map(({ eventId }) => eventId)).toEqual([`acme:${old}:3:0`]);
  expect([late.timeline, now === old]).toEqual([early.timeline, false]);
});
