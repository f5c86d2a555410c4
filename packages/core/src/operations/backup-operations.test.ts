import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openFileBlobStore } from "@custody/stores/blob/files";
import type { BlobStore } from "@custody/stores/blob/port";
import { expect, onTestFinished, test } from "vitest";

import { collectBytes, once } from "../backup/backup-objects.ts";
import { openBackupRepository } from "../backup/backup-repository.ts";
import { openBackup } from "../backup/open-backup.ts";
import { zstdCodec } from "../journal/format/codec.ts";
import { openLocalKeyService } from "../keys/local-key-service.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";

const HOUR_MS = 3_600_000;

interface World {
  readonly installation: Installation;
  readonly custody: Installation["custody"];
  readonly place: BlobStore;
  /** Where the place lies. */
  readonly directory: string;
}

/** An installation with a key backup, and an empty place for backups. */
async function world(hasKeyBackup = true): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), "custody-backups-"));
  const place = await openFileBlobStore({ directory: join(directory, "place") });
  const installation = await openInstallation(
    hasKeyBackup ? { keyBackup: join(directory, "keys") } : {},
  );
  onTestFinished(async () => {
    await installation[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  return {
    installation,
    custody: installation.custody,
    place,
    directory: join(directory, "place"),
  };
}

async function put({ custody }: World, key: string, text: string): Promise<void> {
  await custody.blob.put(scope, key, once(Buffer.from(text)));
}

/** The keys of the blobs in a backup. */
async function blobsIn(
  { installation, place }: World,
  backupId: string,
): Promise<readonly string[]> {
  const { directory, keyFile, clock } = installation;
  const random = (length: number): Uint8Array => new Uint8Array(length).fill(7);
  await using keys = await openLocalKeyService({ directory, keyFile, random });
  const runtime = {
    clock: () => clock.nowMs,
    random,
    sleep: async () => undefined,
    codec: zstdCodec,
    user: "os:test",
  };
  const repository = await openBackupRepository({ blob: place, keys, runtime });
  const contents = await openBackup(repository, backupId);
  const found: string[] = [];
  for await (const blob of contents.blobs("acme")) {
    await collectBytes(contents.blobBytes("acme", blob));
    found.push(blob.key);
  }
  return found;
}

test("without a key backup nothing is backed up, and the place is left as it was", async () => {
  const { custody, place } = await world(false);
  await expect(custody.backup.create(scope, place, { kind: "full" })).rejects.toMatchObject({
    name: "CoreError",
    code: "usage",
  });
  expect(await place.list({ ...scope, tenant: "_system" }, "", { limit: 1 })).toEqual([]);
});

test("what was made is listed, and as verified once it was", async () => {
  const given = await world();
  const { custody, place } = given;
  await put(given, "notes/a", "one");
  const made = await custody.backup.create(scope, place, { kind: "incremental" });
  expect(made).toMatchObject({
    kind: "full",
    parent: null,
    tenants: [{ tenant: "acme", blobs: 1 }],
  });
  expect(await custody.backup.list(scope, place)).toMatchObject([
    { backupId: made.backupId, isVerified: false },
  ]);
  expect(await custody.backup.verify(scope, place, "latest")).toMatchObject({
    ok: true,
    backupId: made.backupId,
  });
  expect(await custody.backup.list(scope, place)).toMatchObject([
    { backupId: made.backupId, isVerified: true },
  ]);
});

test("what was done with backups is in the installation's own journal", async () => {
  const { custody, place } = await world();
  await custody.blob.put(scope, "a", once(Buffer.from("a")));
  await custody.backup.create(scope, place, { kind: "full" });
  await custody.backup.verify(scope, place, "latest");
  const { records } = await custody.find({ ...scope, tenant: "_system" }, "custody/audit_logs", {
    sort: [{ path: "action", direction: "asc" }],
  });
  expect(
    records.map(({ fields }) => [fields["action"], fields["outcome"], fields["user_id"]]),
  ).toEqual([
    ["backup.create", "done", "user:test"],
    ["backup.verify", "done", "user:test"],
  ]);
});

test("pruning keeps what the rule says and the newest verified, and a trial deletes nothing", async () => {
  const given = await world();
  const { custody, place, installation } = given;
  const ids: string[] = [];
  for (const name of ["a", "b", "c", "d"]) {
    await put(given, name, `blob ${name}`);
    ids.push((await custody.backup.create(scope, place, { kind: "incremental" })).backupId);
    installation.clock.nowMs += HOUR_MS;
  }
  const [first = "", second, third, fourth] = ids;
  await custody.backup.verify(scope, place, first);
  const rule = { hourly: 2 };
  const expected = {
    kept: [
      { id: fourth, reasons: ["the newest", "hourly"] },
      { id: third, reasons: ["hourly"] },
      { id: first, reasons: ["the newest verified"] },
    ],
    deleted: [second],
  };
  expect(await custody.backup.prune(scope, place, rule, { isTrial: true })).toEqual(expected);
  expect(await custody.backup.list(scope, place)).toHaveLength(4);
  expect(await custody.backup.prune(scope, place, rule)).toMatchObject(expected);
  const left = await custody.backup.list(scope, place);
  expect(left.map(({ backupId }) => backupId)).toEqual([first, third, fourth]);
  for (const { backupId } of left)
    expect(await custody.backup.verify(scope, place, backupId)).toMatchObject({ ok: true });
});

test("a backup that cannot be read stops the prune, until it is said to go", async () => {
  const given = await world();
  const { custody, place, directory } = given;
  await put(given, "a", "one");
  const { backupId } = await custody.backup.create(scope, place, { kind: "full" });
  const manifests = join(directory, "tenants/_system/blobs/manifests");
  expect(readdirSync(manifests)).toEqual([backupId]);
  await put(given, "b", "two");
  const second = await custody.backup.create(scope, place, { kind: "full" });
  writeFileSync(join(manifests, backupId), "not a manifest");
  expect(await custody.backup.list(scope, place)).toMatchObject([
    { backupId, fault: expect.stringContaining(backupId) as string },
    { backupId: second.backupId },
  ]);
  await expect(custody.backup.prune(scope, place, { last: 1 })).rejects.toMatchObject({
    code: "damaged",
    at: `backup ${backupId}`,
  });
  await custody.backup.prune(scope, place, { last: 1 }, { dropUnreadable: true });
  expect(await custody.backup.list(scope, place)).toMatchObject([{ backupId: second.backupId }]);
});

test("another installation's place is neither written nor pruned", async () => {
  const [one, other] = [await world(), await world()];
  await put(one, "a", "one");
  await one.custody.backup.create(scope, one.place, { kind: "full" });
  const refused = { name: "CoreError", code: "no-key" };
  await expect(
    other.custody.backup.create(scope, one.place, { kind: "full" }),
  ).rejects.toMatchObject(refused);
  await expect(other.custody.backup.prune(scope, one.place, { last: 1 })).rejects.toMatchObject(
    refused,
  );
});

test("blobs that are left out stay as they were backed up last, and new ones wait", async () => {
  const given = await world();
  const { custody, place } = given;
  const leavesOut = (key: string): boolean => key.startsWith("datasets/");
  await put(given, "datasets/old", "first");
  await put(given, "notes/old", "first");
  const all = await custody.backup.create(scope, place, { kind: "full" });
  await put(given, "datasets/new", "second");
  await put(given, "notes/new", "second");
  const hourly = await custody.backup.create(scope, place, { kind: "incremental", leavesOut });
  const daily = await custody.backup.create(scope, place, { kind: "full", leavesOut });
  const weekly = await custody.backup.create(scope, place, { kind: "full" });
  expect(await blobsIn(given, all.backupId)).toEqual(["datasets/old", "notes/old"]);
  const without = ["datasets/old", "notes/new", "notes/old"];
  expect(await blobsIn(given, hourly.backupId)).toEqual(without);
  expect(await blobsIn(given, daily.backupId)).toEqual(without);
  expect(await blobsIn(given, weekly.backupId)).toEqual(["datasets/new", ...without]);
});

test("shipping says how far it is behind, and catches up", async () => {
  const given = await world();
  const { custody, place, installation } = given;
  await put(given, "a", "one");
  const stop = new AbortController();
  await custody.backup.ship(scope, place, { signal: stop.signal, onRound: () => stop.abort() });
  expect(await custody.backup.lag(scope, place)).toMatchObject({ entries: 0, ms: 0 });
  await put(given, "b", "two");
  installation.clock.nowMs += HOUR_MS;
  expect(await custody.backup.lag(scope, place)).toMatchObject({
    entries: 1,
    ms: HOUR_MS,
    newest: { kind: "continuous" },
  });
});
