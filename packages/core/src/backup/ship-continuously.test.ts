import { describe, expect, test } from "vitest";

import { openBackupPlace } from "../testing/backup-place.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";
import { listBackups } from "./backup-repository.ts";
import { createBackup } from "./create-backup.ts";
import { shipContinuously } from "./ship-continuously.ts";
import type { ShippingRound } from "./ship-continuously.ts";
import { verifyBackup } from "./verify-backup.ts";

const one = (id: string) => ({ type: "sample/attempts", put: [{ fields: attempt(id) }] });

describe("continuous shipping", () => {
  test("each round ships what is new, a quiet one nothing, and the lag is told", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { custody, clock } = installation;
    await custody.commit(scope, [one("a")]);
    const rounds: ShippingRound[] = [];
    const pauses: number[] = [];
    const controller = new AbortController();
    const sleep = async (ms: number): Promise<void> => {
      pauses.push(ms);
      clock.nowMs += ms;
      if (pauses.length === 2) await custody.commit(scope, [one("b")]);
      if (pauses.length === 4) controller.abort();
    };
    const runtime = { ...place.repository.runtime, sleep };
    await shipContinuously(
      { ...place.parts, repository: { ...place.repository, runtime } },
      { signal: controller.signal, onRound: (round) => void rounds.push(round) },
    );
    expect(pauses).toEqual([5_000, 5_000, 5_000, 5_000]);
    expect(rounds.map(({ backupId, lag }) => [backupId !== undefined, lag])).toEqual([
      [true, { entries: 0, ms: 0 }],
      [false, { entries: 0, ms: 0 }],
      [true, { entries: 0, ms: 0 }],
      [false, { entries: 0, ms: 0 }],
    ]);
    expect(rounds[2]?.bytes).toBeLessThan(5_000);
    const listings = await listBackups(place.repository);
    expect(listings.map(({ manifest }) => manifest?.kind)).toEqual(["continuous", "continuous"]);
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({
      ok: true,
      checked: { entries: 2 },
    });
  });

  test("a place that is away is tried again with growing pauses, while the lag grows", async () => {
    await using installation = await openInstallation();
    let isAway = false;
    await using place = await openBackupPlace(installation, (blob) => ({
      ...blob,
      put: async (...args) => {
        if (isAway) throw new Error("the place is away");
        return blob.put(...args);
      },
    }));
    const { custody, clock } = installation;
    await custody.commit(scope, [one("a")]);
    const rounds: ShippingRound[] = [];
    const pauses: number[] = [];
    const controller = new AbortController();
    const sleep = async (ms: number): Promise<void> => {
      pauses.push(ms);
      if (pauses.length === 1) await custody.commit(scope, [one("b"), one("c")]);
      clock.nowMs += ms;
      isAway = pauses.length < 9;
      if (pauses.length === 10) controller.abort();
    };
    const runtime = { ...place.repository.runtime, sleep };
    await shipContinuously(
      { ...place.parts, repository: { ...place.repository, runtime } },
      { signal: controller.signal, pauseMs: 100, onRound: (round) => void rounds.push(round) },
    );
    expect(pauses).toEqual([100, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 100]);
    expect(rounds.slice(1, 4)).toMatchObject([
      { error: new Error("the place is away"), lag: { entries: 2, ms: 100 } },
      { error: new Error("the place is away"), lag: { entries: 2, ms: 1_100 } },
      { error: new Error("the place is away"), lag: { entries: 2, ms: 3_100 } },
    ]);
    expect(rounds.at(-1)).toMatchObject({ lag: { entries: 0, ms: 0 } });
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({
      ok: true,
      checked: { entries: 3 },
    });
  });

  test("small packs are merged before there are many of them", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const counts: number[] = [];
    for (let number = 1; number <= 20; number += 1) {
      await installation.custody.commit(scope, [one(`a-${number}`)]);
      const { manifest } = await createBackup(place.parts, { kind: "continuous" });
      counts.push(manifest.tenants[0]?.packs.length ?? 0);
    }
    expect(counts).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 2, 3, 4]);
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({
      ok: true,
      checked: { entries: 20 },
    });
  });

  test("only its own earlier rounds are replaced, never another's backup", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { custody } = installation;
    await custody.commit(scope, [one("a")]);
    const full = await createBackup(place.parts, { kind: "full" });
    const controller = new AbortController();
    let commits = 0;
    const sleep = async (): Promise<void> => {
      commits += 1;
      if (commits === 5) controller.abort();
      await custody.commit(scope, [one(`b-${commits}`)]);
    };
    const runtime = { ...place.repository.runtime, sleep };
    const shipped: (string | undefined)[] = [];
    await shipContinuously(
      { ...place.parts, repository: { ...place.repository, runtime } },
      { signal: controller.signal, onRound: ({ backupId }) => void shipped.push(backupId) },
    );
    const [first, ...rounds] = shipped;
    expect(first).toBeUndefined();
    expect((await listBackups(place.repository)).map(({ backupId }) => backupId)).toEqual([
      full.manifest.backupId,
      ...rounds.slice(-2),
    ]);
    expect(await verifyBackup(place.repository, full.manifest.backupId)).toMatchObject({
      ok: true,
    });
  });
});
