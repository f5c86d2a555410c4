import { describe, expect, test } from "vitest";

import { TypeRegistry } from "../records/type-registry.ts";
import { openBackupPlace } from "../testing/backup-place.ts";
import type { BackupPlace } from "../testing/backup-place.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { openRestorePlace } from "../testing/restore-place.ts";
import { attempt, samplePack } from "../testing/sample-types.ts";
import { beginTimeline, restoreFields } from "./begin-timeline.ts";
import { createBackup } from "./create-backup.ts";
import { openBackup, openNewestBeside } from "./open-backup.ts";
import { restoreBackup } from "./restore.ts";
import { restoredJournal } from "./restored-journal.ts";
import { lagBehind } from "./ship-continuously.ts";
import { verifyBackup } from "./verify-backup.ts";

const one = (id: string) => ({ type: "sample/attempts", put: [{ fields: attempt(id) }] });

/** Puts an entry behind a journal as a restore does, which names an old head of the test's choosing. */
async function pretendRestore(
  { stores, clock }: Installation,
  { repository }: BackupPlace,
  old: { readonly timeline?: string; readonly sizeLess: number; readonly root: string },
): Promise<void> {
  const journal = await stores.journal();
  const blob = await stores.blob();
  const { keys, runtime } = repository;
  const registry = new TypeRegistry([samplePack]);
  const target = { journal, blob, keys, registry, runtime, isSealed: true };
  const head = await journal.head(scope);
  if (head === undefined) throw new Error("the journal is empty");
  const { timeline = head.timeline, sizeLess, root } = old;
  const marker = {
    backup: "b",
    repository: "r",
    asked: "its end",
    timeline: "e".repeat(32),
    actor: "user:test",
    startedAt: clock.nowMs,
  };
  const oldHead = { timeline, size: head.sequence - sizeLess, root };
  const cut = { sequence: head.sequence, receivedAt: head.lastReceivedAt };
  const fields = restoreFields(marker, cut, oldHead);
  const { lines } = restoredJournal(target);
  await beginTimeline({ ...target, lines }, scope, head, { fields, oldHead });
}

describe("a restore that lies about the history it left", () => {
  test.each([
    ["another root", 0],
    ["fewer entries than were taken over", 1],
  ])("is found in a backup, and is not restored again: %s", async (_, sizeLess) => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await installation.custody.commit(scope, [one("a")]);
    await installation.custody.commit(scope, [one("b")]);
    await pretendRestore(installation, place, { sizeLess, root: "0".repeat(64) });
    await createBackup(place.parts, { kind: "full" });
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({
      ok: false,
      fault: {
        at: "entry 3 of acme",
        reason: expect.stringMatching(/not one of the entries before it/) as unknown,
      },
    });
    await using empty = await openRestorePlace(installation);
    await expect(
      restoreBackup(await openBackup(place.repository, "latest"), empty.target, { to: "latest" }),
    ).rejects.toMatchObject({
      code: "damaged",
      message: expect.stringMatching(/entry 3 of acme: the old head it names/) as unknown,
    });
  });

  test("one that tells the truth is found whole", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { head } = await installation.custody.commit(scope, [one("a")]);
    await pretendRestore(installation, place, { sizeLess: 0, root: head.root });
    await createBackup(place.parts, { kind: "full" });
    expect((await verifyBackup(place.repository, "latest")).fault).toBeUndefined();
  });
});

test("a journal that a restore took back is behind no backup of the history that was left", async () => {
  await using installation = await openInstallation();
  await using place = await openBackupPlace(installation);
  const { custody, clock } = installation;
  const first = await custody.commit(scope, [one("a")]);
  clock.nowMs += 60_000;
  await custody.commit(scope, [one("b")]);
  await custody.commit(scope, [one("c")]);
  const { manifest } = await createBackup(place.parts, { kind: "full" });
  expect(await lagBehind(place.parts, manifest)).toEqual({ entries: 0, ms: 0 });
  await using empty = await openRestorePlace(installation);
  await restoreBackup(await openBackup(place.repository, "latest"), empty.target, {
    to: { time: first.receivedAt },
  });
  clock.nowMs += 5_000;
  const { journal } = empty.target;
  expect((await journal.head(scope))?.sequence).toBe(2);
  expect(await lagBehind({ ...place.parts, journal }, manifest)).toEqual({
    entries: 2,
    ms: 65_000,
  });
});

test("a damaged newest backup is not passed over in silence, and keeps no older one from being used", async () => {
  await using installation = await openInstallation();
  await using place = await openBackupPlace(installation);
  const { repository, parts } = place;
  const ids: string[] = [];
  for (const name of ["a", "b", "c"]) {
    await installation.custody.commit(scope, [one(name)]);
    ids.push((await createBackup(parts, { kind: "incremental" })).manifest.backupId);
  }
  const [first = "", second = "", third = ""] = ids;
  await repository.blob.put(repository.scope, `manifests/${third}`, Buffer.from("no manifest"));
  await expect(openBackup(repository, "latest")).rejects.toMatchObject({
    code: "damaged",
    message: expect.stringMatching(/`custody backup list` shows which ones can be read/) as unknown,
  });
  expect((await openNewestBeside(repository, first))?.manifest.backupId).toBe(second);
  expect(await openNewestBeside(repository, second)).toBeUndefined();
});

test("a blob of no bytes comes back, sealed by Custody or put there by others", async () => {
  await using installation = await openInstallation();
  await using place = await openBackupPlace(installation);
  async function* nothing(): AsyncGenerator<Uint8Array> {}
  await installation.custody.blob.put(scope, "empty/sealed", nothing());
  await (await installation.stores.blob()).put(scope, "empty/raw", new Uint8Array(0));
  await createBackup(place.parts, { kind: "full" });
  expect(await verifyBackup(place.repository, "latest")).toMatchObject({
    ok: true,
    checked: { blobs: 2 },
  });
  await using empty = await openRestorePlace(installation);
  const source = await openBackup(place.repository, "latest");
  const { files } = await restoreBackup(source, empty.target, { to: "latest" });
  expect(files).toMatchObject({ files: 2, unreadable: [] });
  await using restored = await empty.open();
  for (const key of ["empty/sealed", "empty/raw"]) {
    const parts: Uint8Array[] = [];
    for await (const part of (await restored.custody.blob.get(scope, key)) ?? []) parts.push(part);
    expect([key, Buffer.concat(parts).byteLength]).toEqual([key, 0]);
  }
});

test("a point later than the backup's cut is refused, and the cut itself is not", async () => {
  await using installation = await openInstallation();
  await using place = await openBackupPlace(installation);
  const { custody, clock } = installation;
  await custody.commit(scope, [one("a")]);
  clock.nowMs += 1_000;
  const { manifest } = await createBackup(place.parts, { kind: "full" });
  const source = await openBackup(place.repository, "latest");
  await using empty = await openRestorePlace(installation);
  await expect(
    restoreBackup(source, empty.target, { to: { time: manifest.createdAt + 1 } }),
  ).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(
      /as of 2026-04-01T00:00:01.000Z, and tells nothing of/,
    ) as unknown,
  });
  // The refusal left no half-finished restore behind.
  const { tenants } = await restoreBackup(source, empty.target, {
    to: { time: manifest.createdAt },
  });
  expect(tenants.map(({ cut }) => cut.sequence)).toEqual([1]);
});
