import { createHash } from "node:crypto";

import type { BlobStore } from "@custody/stores/blob/port";
import { describe, expect, test } from "vitest";

import { openBackupPlace } from "../testing/backup-place.ts";
import type { BackupPlace } from "../testing/backup-place.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";
import { BACKUP_LEASE_MS, takeBackupLease } from "./backup-lease.ts";
import { listBackups } from "./backup-repository.ts";
import { createBackup } from "./create-backup.ts";
import { pruneBackups } from "./prune-backups.ts";
import { verifyBackup } from "./verify-backup.ts";

const bulk = (prefix: string) => ({
  type: "sample/attempts",
  put: Array.from({ length: 40 }, (_, index) => ({
    fields: attempt(`${prefix}-${index}`, {
      prompt: createHash("shake256", { outputLength: 1_000 })
        .update(`${prefix}${index}`)
        .digest("hex"),
    }),
  })),
});

async function keysOf({ repository }: BackupPlace, prefix = ""): Promise<readonly string[]> {
  const { blob, scope: own } = repository;
  return (await blob.list(own, prefix, { limit: 1_000 })).map(({ key }) => key);
}

/** Makes three backups, with a compaction before the last, and answers their ids. */
async function threeBackups(
  place: BackupPlace,
  custody: Awaited<ReturnType<typeof openInstallation>>["custody"],
): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const name of ["a", "b", "c"]) {
    await custody.commit(scope, [bulk(name)]);
    if (name === "c") await custody.compact(scope);
    ids.push((await createBackup(place.parts, { kind: "incremental" })).manifest.backupId);
  }
  return ids;
}

/** A store whose writes and deletes fail from the n-th on, as after a crash. */
function failing(after: { left: number }): (blob: BlobStore) => BlobStore {
  const step = (): void => {
    after.left -= 1;
    if (after.left < 0) throw new Error("the power went");
  };
  return (blob) => ({
    ...blob,
    put: async (...args) => {
      step();
      return blob.put(...args);
    },
    delete: async (...args) => {
      step();
      return blob.delete(...args);
    },
  });
}

describe("pruning backups", () => {
  test("what only dropped backups needed goes, and all that is kept stays whole", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const [first = "", second = "", third = ""] = await threeBackups(place, installation.custody);
    const before = (await keysOf(place, "objects/")).length;
    const all = await pruneBackups(place.repository, {
      keep: (listings) => listings.map(({ backupId }) => backupId),
    });
    expect(all).toEqual({
      kept: [first, second, third],
      deleted: [],
      swept: { objects: 0, bytes: 0 },
    });
    const report = await pruneBackups(place.repository, { keep: () => [third] });
    expect(report).toMatchObject({ kept: [third], deleted: [first, second] });
    // The two small segments that the compaction merged, and their pages.
    expect(report.swept.objects).toBeGreaterThanOrEqual(4);
    expect(report.swept.bytes).toBeGreaterThan(40_000);
    expect((await keysOf(place, "objects/")).length).toBe(before - report.swept.objects);
    expect(await verifyBackup(place.repository, third)).toMatchObject({ ok: true });
    expect((await listBackups(place.repository)).map(({ backupId }) => backupId)).toEqual([third]);
    expect(await keysOf(place, "pending/")).toEqual([]);
  });

  test("a create that is taken for dead while its manifest is written leaves no backup without its parts", async () => {
    await using installation = await openInstallation();
    let prune: (() => Promise<unknown>) | undefined;
    await using place = await openBackupPlace(installation, (blob) => ({
      ...blob,
      put: async (...args) => {
        if (args[1].startsWith("manifests/")) await prune?.();
        return blob.put(...args);
      },
    }));
    await installation.custody.commit(scope, [bulk("a")]);
    const { repository, parts } = place;
    const clock = (): number => installation.clock.nowMs + BACKUP_LEASE_MS + 1;
    const ahead = { ...repository, runtime: { ...repository.runtime, clock } };
    prune = () => pruneBackups(ahead, { keep: () => [] });
    await expect(createBackup(parts, { kind: "full" })).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/another machine's clock is ahead/) as unknown,
    });
    expect(await listBackups(repository)).toEqual([]);
    prune = undefined;
    await createBackup(parts, { kind: "incremental" });
    expect(await verifyBackup(repository, "latest")).toMatchObject({ ok: true });
  });

  test("what an interrupted backup left is swept", async () => {
    await using installation = await openInstallation();
    const after = { left: Infinity };
    await using place = await openBackupPlace(installation, failing(after));
    await installation.custody.commit(scope, [bulk("a")]);
    after.left = 3;
    await expect(createBackup(place.parts, { kind: "full" })).rejects.toThrow("the power went");
    after.left = Infinity;
    expect(await keysOf(place, "objects/")).toHaveLength(2);
    // It did not come to give its lease back.
    installation.clock.nowMs += BACKUP_LEASE_MS;
    const report = await pruneBackups(place.repository, { keep: () => [] });
    expect(report.swept.objects).toBe(2);
    expect(await keysOf(place)).toEqual(["repository"]);
  });

  test("a crash at any step leaves every kept backup whole, and the next prune finishes", async () => {
    await using installation = await openInstallation();
    const after = { left: Infinity };
    await using place = await openBackupPlace(installation, failing(after));
    const [first = "", , third = ""] = await threeBackups(place, installation.custody);
    const outcomes: string[] = [];
    while (outcomes.at(-1) !== "done") {
      after.left = outcomes.length;
      outcomes.push(
        await pruneBackups(place.repository, { keep: () => [first, third] }).then(
          () => "done",
          String,
        ),
      );
      after.left = Infinity;
      installation.clock.nowMs += BACKUP_LEASE_MS;
      for (const kept of [first, third])
        expect(await verifyBackup(place.repository, kept)).toMatchObject({ ok: true });
    }
    expect(outcomes.length).toBeGreaterThan(4);
    expect(new Set(outcomes.slice(0, -1))).toEqual(new Set(["Error: the power went"]));
    const left = await pruneBackups(place.repository, { keep: () => [first, third] });
    expect(left.swept.objects).toBe(0);
    expect(await keysOf(place, "manifests/")).toEqual([`manifests/${first}`, `manifests/${third}`]);
  });

  test("nothing is deleted when a backup to be kept cannot be read, or is not there", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const [first = "", second = "", third = ""] = await threeBackups(place, installation.custody);
    const { blob, scope: own } = place.repository;
    await blob.put(own, `manifests/${second}`, Buffer.from("nonsense"));
    const before = await keysOf(place);
    await expect(
      pruneBackups(place.repository, { keep: () => [second, third] }),
    ).rejects.toMatchObject({
      code: "damaged",
      message: expect.stringContaining("nothing is deleted") as string,
    });
    await expect(pruneBackups(place.repository, { keep: () => ["unknown"] })).rejects.toMatchObject(
      { code: "usage" },
    );
    const [page] = (await keysOf(place, "objects/")).slice(-1);
    expect(await keysOf(place)).toEqual(before);
    expect(page).toBeDefined();
    const report = await pruneBackups(place.repository, { keep: () => [first, third] });
    expect(report.deleted).toEqual([second]);
    for (const kept of [first, third])
      expect(await verifyBackup(place.repository, kept)).toMatchObject({ ok: true });
  });
});

describe("leases of a repository", () => {
  test("a prune refuses while a create lives, and a create while a prune does", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { repository, parts } = place;
    await installation.custody.commit(scope, [bulk("a")]);
    const creating = await takeBackupLease(repository, "create", "one");
    await expect(pruneBackups(repository, { keep: () => [] })).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("another create works on the repository") as string,
    });
    // Any number may create at once.
    await createBackup(parts, { kind: "full" });
    await creating.release();
    const pruning = await takeBackupLease(repository, "prune", "two");
    await expect(createBackup(parts, { kind: "full" })).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("another prune works on the repository") as string,
    });
    await expect(pruneBackups(repository, { keep: () => [] })).rejects.toMatchObject({
      code: "conflict",
    });
    await pruning.release();
    await createBackup(parts, { kind: "full" });
    expect(await keysOf(place, "pending/")).toEqual([]);
  });

  test("a lease is alive until the instant it ends, and is renewed by who works", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { repository } = place;
    const { clock } = installation;
    const lease = await takeBackupLease(repository, "create", "one");
    clock.nowMs += BACKUP_LEASE_MS - 1;
    await expect(pruneBackups(repository, { keep: () => [] })).rejects.toThrow("another create");
    await lease.touch();
    clock.nowMs += BACKUP_LEASE_MS - 1;
    await expect(pruneBackups(repository, { keep: () => [] })).rejects.toThrow("another create");
    clock.nowMs += 1;
    await pruneBackups(repository, { keep: () => [] });
    // Whoever was taken for dead does not finish: what it found may be gone.
    await expect(lease.touch()).rejects.toMatchObject({ code: "conflict" });
    await expect(lease.confirm()).rejects.toThrow(/silent for more than 10 minutes/);
  });

  test("a backup that was taken for dead writes no manifest", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await installation.custody.commit(scope, [bulk("a")]);
    const keyBackup = {
      ...place.parts.keyBackup,
      sync: async () => {
        installation.clock.nowMs += BACKUP_LEASE_MS;
        await pruneBackups(place.repository, { keep: () => [] });
      },
    };
    await expect(
      createBackup({ ...place.parts, keyBackup }, { kind: "full" }),
    ).rejects.toMatchObject({ code: "conflict" });
    expect(await keysOf(place)).toEqual(["repository"]);
  });

  test("a lease that cannot be read counts as one just written", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { blob, scope: own } = place.repository;
    const { modifiedAt } = await blob.put(own, "pending/torn", Buffer.from("{"));
    installation.clock.nowMs = modifiedAt + BACKUP_LEASE_MS - 1;
    await expect(pruneBackups(place.repository, { keep: () => [] })).rejects.toMatchObject({
      code: "conflict",
    });
    installation.clock.nowMs += 1;
    await pruneBackups(place.repository, { keep: () => [] });
    expect(await keysOf(place, "pending/")).toEqual([]);
  });
});
