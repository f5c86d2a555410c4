import { afterAll, beforeAll, expect, test } from "vitest";

import type { BlobStore } from "@custody/stores/blob/port";
import type { JournalStore } from "@custody/stores/relational/journal";

import { historyPack } from "../testing/history.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { openBackupPlace } from "../testing/backup-place.ts";
import type { BackupPlace } from "../testing/backup-place.ts";
import { openRestorePlace } from "../testing/restore-place.ts";
import { attempt } from "../testing/sample-types.ts";
import { createBackup } from "./create-backup.ts";
import { openBackup } from "./open-backup.ts";
import { requireRestored } from "./restore-marker.ts";
import { restoreBackup } from "./restore.ts";

let installation: Installation;
let backups: BackupPlace;
let earlier: string;
let newest: string;

beforeAll(async () => {
  installation = await openInstallation({ packs: [historyPack] });
  const { custody, clock } = installation;
  const prompts = Array.from({ length: 20 }, (_, index) => ({
    fields: attempt(`a${index}`, { prompt: "z".repeat(3_000) }),
  }));
  await custody.commit(scope, [{ type: "sample/attempts", put: prompts }]);
  const db = { fields: { name: "db", owner: "ops", risk: 1 } };
  await custody.commit(scope, [{ type: "sample/assets", put: [db] }], { idempotencyKey: "db" });
  await custody.blob.put(scope, "one.txt", text("one"));
  backups = await openBackupPlace(installation);
  const full = await createBackup(backups.parts, { kind: "full" });
  earlier = full.manifest.backupId;
  clock.nowMs += 5_000;
  const held = { fields: { id: "h1", about: "db", is_released: false } };
  await custody.commit(scope, [{ type: "sample/holds", put: [held] }]);
  newest = (await createBackup(backups.parts, { kind: "incremental" })).manifest.backupId;
}, 60_000);
afterAll(async () => {
  await backups[Symbol.asyncDispose]();
  await installation[Symbol.asyncDispose]();
});

async function* text(value: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(value);
}

class Interrupted extends Error {}

/** Ends the process, as it were, at the n-th call that writes: before it, or with its answer lost. */
function interruptAt(fault: { at: number; isAfter: boolean; calls: number }) {
  const meet = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    fault.calls += 1;
    if (fault.calls !== fault.at) return work();
    if (fault.isAfter) await work();
    throw new Interrupted();
  };
  return ({ journal, blob }: { journal: JournalStore; blob: BlobStore }) => ({
    journal: intercepted(journal, {
      // Begun and not answered, a transaction would keep the others out until its process has died.
      begin: async (...args) => {
        const transaction = await journal.begin(...args);
        return intercepted(transaction, {
          append: (one) => meet(() => transaction.append(one)),
          commit: () => meet(() => transaction.commit()),
        });
      },
      putState: (...args) => meet(() => journal.putState(...args)),
    }),
    blob: intercepted(blob, {
      put: (...args) => meet(() => blob.put(...args)),
      delete: (...args) => meet(() => blob.delete(...args)),
    }),
  });
}

/** An object that passes every call on, but for those given. */
function intercepted<Target extends object>(target: Target, calls: Partial<Target>): Target {
  return new Proxy(target, {
    get(from, name) {
      if (Reflect.has(calls, name)) return Reflect.get(calls, name) as unknown;
      const own: unknown = Reflect.get(from, name);
      return typeof own === "function" ? (own.bind(from) as unknown) : own;
    },
  });
}

test("a restore that is interrupted at any write is refused when opened, goes on when repeated, and ends the same", async () => {
  const source = await openBackup(backups.repository, earlier);
  const options = { to: "latest", newest: await openBackup(backups.repository, newest) } as const;
  let interruptions = 0;
  for (const isAfter of [false, true]) {
    for (let at = 1; ; at += 1) {
      const fault = { at, isAfter, calls: 0 };
      await using place = await openRestorePlace(installation, {
        packs: [historyPack],
        wrap: interruptAt(fault),
      });
      const ran = await restoreBackup(source, place.target, options).then(
        () => "done",
        (cause: unknown) => cause,
      );
      if (fault.calls < at) {
        expect(ran).toBe("done");
        break;
      }
      interruptions += 1;
      expect(ran).toBeInstanceOf(Interrupted);
      const { journal } = place.target;
      const isBegun = at > 1 || isAfter;
      const isEnded =
        (await journal.state({ ...scope, tenant: "_system" }, "restore")) === undefined;
      if (isBegun && !isEnded) {
        await expect(requireRestored(journal)).rejects.toMatchObject({
          code: "failed",
          message: expect.stringMatching(
            new RegExp(`half-finished restore of backup ${earlier}`),
          ) as unknown,
        });
        const other = { to: { time: 5 } } as const;
        await expect(restoreBackup(source, place.target, other)).rejects.toMatchObject({
          code: "conflict",
        });
        await restoreBackup(source, place.target, options);
      }
      if (isBegun) await expectWhole(place.target.journal, place.target.blob);
    }
  }
  expect(interruptions).toBeGreaterThan(20);
}, 240_000);

async function expectWhole(journal: JournalStore, blob: BlobStore): Promise<void> {
  await requireRestored(journal);
  expect((await journal.count(scope, "sample/attempts")).live).toBe(20);
  expect((await journal.count(scope, "sample/holds")).live).toBe(1);
  expect((await journal.count(scope, "custody/restores")).live).toBe(1);
  const entries = await journal.entries(scope, { after: 0, limit: 100 });
  const restores = entries.filter(({ operation }) => operation === "restore");
  expect(restores.map(({ sequence }) => sequence)).toEqual([4]);
  expect((await journal.head(scope))?.sequence).toBe(entries.length);
  const blobs = await blob.list(scope, "", { limit: 100 });
  expect(blobs.map(({ key }) => key.split("/")[0])).toEqual(["one.txt", "segments"]);
}

test("what was made by a backup opens: verified, in step, with the hold that was made after it", async () => {
  await using place = await openRestorePlace(installation, { packs: [historyPack] });
  const source = await openBackup(backups.repository, earlier);
  const options = { to: "latest", newest: await openBackup(backups.repository, newest) } as const;
  await restoreBackup(source, place.target, options);
  await using restored = await place.open();
  const { custody } = restored;
  expect((await custody.verify(scope, { allTenants: true })).fault).toBeUndefined();
  expect((await custody.reconcile(scope)).ok).toBe(true);
  expect((await custody.get(scope, "sample/holds", "h1"))?.fields["about"]).toBe("db");
}, 60_000);
