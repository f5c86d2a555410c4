import { createHash } from "node:crypto";

import type { BlobStore } from "@custody/stores/blob/port";
import type { StoredEntry } from "@custody/stores/relational/journal";
import { describe, expect, test } from "vitest";

import { backupDirectory, openBackupPlace } from "../testing/backup-place.ts";
import type { BackupPlace } from "../testing/backup-place.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";
import { collectBytes } from "./backup-objects.ts";
import { listBackups, openBackupRepository } from "./backup-repository.ts";
import { createBackup } from "./create-backup.ts";
import { openBackup } from "./open-backup.ts";
import { verifyBackup } from "./verify-backup.ts";

const other = { ...scope, tenant: "other" };

async function* stream(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** Text that does not compress to less than half. */
function noise(seed: string, length: number): string {
  return createHash("shake256", { outputLength: length / 2 })
    .update(seed)
    .digest("hex");
}

async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Attempts that go into a segment, as they are too long to be kept inline. */
const bulk = (prefix: string, count = 40) => ({
  type: "sample/attempts",
  put: Array.from({ length: count }, (_, index) => ({
    fields: attempt(`${prefix}-${index}`, { prompt: noise(`${prefix}${index}`, 2_000) }),
  })),
});
const one = (id: string) => ({ type: "sample/attempts", put: [{ fields: attempt(id) }] });

async function fill({ custody }: Installation): Promise<void> {
  await custody.commit(scope, [one("a-1")], { idempotencyKey: "first" });
  await custody.commit(scope, [bulk("b")]);
  await custody.commit(scope, [
    { type: "sample/assets", put: [{ fields: { name: "db", owner: "ana", risk: 1 } }] },
    one("a-2"),
  ]);
  await custody.blob.put(scope, "notes/one.txt", stream("a note"));
  await custody.commit(other, [one("o-1")]);
}

/** What a journal's store holds, as a backup should give it back. */
async function live({ stores }: Installation, tenant = "acme", to = Infinity) {
  const journal = await stores.journal();
  const entries = await journal.entries({ ...scope, tenant }, { after: 0, limit: 1_000 });
  return entries.filter(({ sequence }) => sequence <= to).map(plain);
}
function plain(entry: StoredEntry): Record<string, unknown> {
  const { bytes, hash, location, sequence, commit, type, operation, count, receivedAt } = entry;
  const text = { bytes: Buffer.from(bytes).toString(), hash: Buffer.from(hash).toString("hex") };
  return { ...text, location, sequence, commit, type, operation, count, receivedAt };
}
async function backedUp({ repository }: BackupPlace, backupId = "latest", tenant = "acme") {
  const contents = await openBackup(repository, backupId);
  return (await all(contents.entries(tenant, { after: 0 }))).map(plain);
}

describe("creating backups", () => {
  test("a full backup holds every entry, segment, blob, receipt and tree head", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await fill(installation);
    const { manifest } = await createBackup(place.parts, { kind: "full" });
    expect(manifest.kind).toBe("full");
    expect(manifest.tenants.map(({ tenant }) => tenant)).toEqual(["acme", "other"]);
    expect(place.keyBackups).toEqual({ required: 1, synced: 1 });
    expect(await backedUp(place)).toEqual(await live(installation));
    expect(await backedUp(place, manifest.backupId, "other")).toEqual(
      await live(installation, "other"),
    );

    const contents = await openBackup(place.repository, "latest");
    const entries = await all(contents.entries("acme", { after: 0 }));
    expect(entries.filter(({ receipt }) => receipt !== undefined)).toMatchObject([
      { sequence: 1, receipt: { kind: "idempotency" } },
    ]);
    expect(entries.map(({ treeHead }) => treeHead !== undefined)).toEqual([
      true,
      true,
      false,
      true,
      true,
    ]);
    const journal = await installation.stores.journal();
    expect(entries[0]?.inlineLines).toEqual(await journal.inlineLines(scope, 1));
    const segments = await all(contents.segments("acme"));
    expect(segments).toEqual(await journal.segments(scope, undefined, 10));
    expect(segments).toHaveLength(1);
    const segment = await contents.segment("acme", segments[0]?.segmentId ?? "");
    const blob = await installation.stores.blob();
    expect(segment && Buffer.from(await collectBytes(segment.bytes()))).toEqual(
      Buffer.from((await blob.read(scope, segments[0]?.blobKey ?? "")) ?? []),
    );
    const blobs = await all(contents.blobs("acme"));
    expect(blobs.map(({ key }) => key)).toEqual(["notes/one.txt"]);
    const [note] = blobs;
    expect(note && Buffer.from(await collectBytes(contents.blobBytes("acme", note)))).toEqual(
      Buffer.from((await blob.read(scope, "notes/one.txt")) ?? []),
    );
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({
      ok: true,
      checked: { tenants: 2, entries: 6, segments: 1, blobs: 1 },
    });
  });

  test("a range of entries is given with the right locations, wherever it begins", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await fill(installation);
    await installation.custody.compact(scope);
    await createBackup(place.parts, { kind: "full" });
    const stored = await live(installation);
    const contents = await openBackup(place.repository, "latest");
    for (let after = 0; after < stored.length; after += 1) {
      const range = await all(contents.entries("acme", { after, to: after + 2 }));
      expect(range.map(plain)).toEqual(stored.slice(after, after + 2));
    }
    expect(await all(contents.entries("acme", { after: 99 }))).toEqual([]);
    expect(() => contents.entries("nobody", { after: 0 })).toThrow(/holds no tenant nobody/);
  });

  test("an incremental backup writes what is new and nothing else", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await fill(installation);
    await installation.custody.commit(scope, [bulk("long", 400)]);
    const first = await createBackup(place.parts, { kind: "incremental" });
    expect(first.manifest.kind).toBe("full");
    const same = await createBackup(place.parts, { kind: "incremental" });
    expect(same.manifest).toMatchObject({ kind: "incremental", parent: first.manifest.backupId });
    expect(same.written).toEqual({ objects: 0, bytes: 0 });
    await installation.custody.commit(scope, [one("new")]);
    const { manifest, written } = await createBackup(place.parts, { kind: "incremental" });
    expect(written.objects).toBe(2);
    expect(written.bytes).toBeLessThan(5_000);
    expect(first.written.bytes).toBeGreaterThan(100_000);
    expect(await backedUp(place, manifest.backupId)).toEqual(await live(installation));
    expect(await backedUp(place, first.manifest.backupId)).toEqual(
      await live(installation, "acme", 6),
    );
  });

  test("a backup is whole when segments were compacted since its parent", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await fill(installation);
    const before = await live(installation);
    const first = await createBackup(place.parts, { kind: "full" });
    await installation.custody.compact(scope);
    await installation.custody.commit(scope, [one("after")]);
    const second = await createBackup(place.parts, { kind: "incremental" });
    expect(await backedUp(place, second.manifest.backupId)).toEqual(await live(installation));
    expect(await backedUp(place, first.manifest.backupId)).toEqual(before);
    for (const { manifest } of [first, second])
      expect(await verifyBackup(place.repository, manifest.backupId)).toMatchObject({ ok: true });
  });

  test("old lines that were moved together with new ones are found in the new segment", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { custody } = installation;
    // Inline lines only: no segment of the parent goes when they are moved.
    await custody.commit(scope, [one("a")]);
    await createBackup(place.parts, { kind: "full" });
    await custody.commit(scope, [one("b")]);
    await custody.compact(scope);
    await createBackup(place.parts, { kind: "incremental" });
    expect(await backedUp(place)).toEqual(await live(installation));
    expect((await live(installation))[0]).toMatchObject({ location: { kind: "segment" } });
  });
});

describe("creating backups while others work", () => {
  test("what is committed while it runs is in the next one, and no writer waits", async () => {
    await using installation = await openInstallation();
    await fill(installation);
    let number = 0;
    await using place = await openBackupPlace(installation, (blob) => ({
      ...blob,
      put: async (...args) => {
        number += 1;
        await installation.custody.commit(scope, [bulk(`during-${number}`, 20)]);
        return blob.put(...args);
      },
    }));
    const before = await live(installation);
    const { manifest } = await createBackup(place.parts, { kind: "full" });
    expect(number).toBeGreaterThan(5);
    const cut = manifest.tenants.find(({ tenant }) => tenant === "acme")?.head.sequence ?? 0;
    expect(cut).toBeGreaterThanOrEqual(before.length);
    expect(await backedUp(place)).toEqual(await live(installation, "acme", cut));
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
    await createBackup(place.parts, { kind: "incremental" });
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
  });

  test("what others refer to in the installation's own journal is in the backup with them", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const own = { ...scope, tenant: "_system" };
    await installation.custody.commit(own, [one("s-1")]);
    await installation.custody.commit(other, [one("o-1")]);
    // Between two heads that are read, something is committed there and then referred to here.
    const journal = new Proxy(place.parts.journal, {
      get: (store, name) => {
        const value: unknown = Reflect.get(store, name, store);
        const bound: unknown = typeof value === "function" ? value.bind(store) : value;
        if (name !== "head") return bound;
        return async (of: typeof scope) => {
          const head = await store.head(of);
          await installation.custody.commit(own, [one(`s-${of.tenant.replace("_", "")}`)]);
          await installation.custody.commit(other, [one(`o-${of.tenant.replace("_", "")}`)]);
          return head;
        };
      },
    });
    const { manifest } = await createBackup({ ...place.parts, journal }, { kind: "full" });
    expect(manifest.tenants.map(({ tenant, head }) => [tenant, head.sequence])).toEqual([
      ["_system", 2],
      ["other", 1],
    ]);
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
  });

  test("segments that are compacted while they are copied are followed to where they went", async () => {
    await using installation = await openInstallation();
    const { custody } = installation;
    await fill(installation);
    for (const name of ["x", "y", "z"]) await custody.commit(scope, [bulk(name)]);
    const source = await installation.stores.blob();
    await using place = await openBackupPlace(installation);
    let isCompacted = false;
    const blob: BlobStore = {
      ...source,
      stream: async (of, key) => {
        if (key.startsWith("segments/") && !isCompacted) {
          isCompacted = true;
          await custody.compact(scope);
        }
        return source.stream(of, key);
      },
    };
    const { manifest } = await createBackup({ ...place.parts, blob }, { kind: "full" });
    expect(isCompacted).toBe(true);
    const acme = manifest.tenants.find(({ tenant }) => tenant === "acme");
    expect(await backedUp(place)).toEqual(await live(installation, "acme", acme?.head.sequence));
    expect(acme?.totals.segments).toBe(1);
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
  });

  test("a backup that breaks off at any write is none, and the next one goes on from it", async () => {
    await using installation = await openInstallation();
    await fill(installation);
    let left = 0;
    const written: string[] = [];
    await using place = await openBackupPlace(installation, (blob) => ({
      ...blob,
      put: async (of, key, ...rest) => {
        left -= 1;
        if (left === 0) throw new Error("the power went");
        if (key.startsWith("objects/")) written.push(key);
        return blob.put(of, key, ...rest);
      },
    }));
    const outcomes: string[] = [];
    while (outcomes.at(-1) !== "done") {
      left = outcomes.length + 1;
      outcomes.push(
        await createBackup(place.parts, { kind: "incremental" }).then(() => "done", String),
      );
      if (outcomes.at(-1) !== "done") expect(await listBackups(place.repository)).toEqual([]);
    }
    expect(new Set(outcomes.slice(0, -1))).toEqual(new Set(["Error: the power went"]));
    expect(outcomes.length).toBeGreaterThan(4);
    expect(new Set(written).size).toBe(written.length);
    expect(await backedUp(place)).toEqual(await live(installation));
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
  });

  test("a backup that is called off leaves none", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await fill(installation);
    const controller = new AbortController();
    const onProgress = (): void => controller.abort(new Error("called off"));
    const creating = createBackup(place.parts, {
      kind: "full",
      signal: controller.signal,
      onProgress,
    });
    await expect(creating).rejects.toThrow("called off");
    expect(await listBackups(place.repository)).toEqual([]);
    expect(
      await place.repository.blob.list(place.repository.scope, "pending/", { limit: 9 }),
    ).toEqual([]);
  });

  test("progress ends where everything was copied", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await installation.custody.commit(scope, [bulk("b")]);
    const told: unknown[] = [];
    const onProgress = (progress: unknown): void => void told.push(progress);
    const { manifest } = await createBackup(place.parts, { kind: "full", onProgress });
    const bytes = manifest.tenants[0]?.totals.segmentBytes ?? 0;
    expect(bytes).toBeGreaterThan(10_000);
    expect(told).toEqual([
      { tenant: "acme", phase: "journal", done: 1, of: 1 },
      { tenant: "acme", phase: "segments", done: bytes, of: bytes },
    ]);
  });
});

describe("what a backup is written into", () => {
  test("a blob that was overwritten is backed up anew, and the earlier backup keeps the old one", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { custody } = installation;
    await custody.blob.put(scope, "note", stream("one"));
    const raw = await installation.stores.blob();
    const old = await raw.read(scope, "note");
    const first = await createBackup(place.parts, { kind: "full" });
    await custody.blob.put(scope, "note", stream("two"));
    const second = await createBackup(place.parts, { kind: "incremental" });
    const noteOf = async (backupId: string): Promise<Uint8Array> => {
      const contents = await openBackup(place.repository, backupId);
      const [note] = await all(contents.blobs("acme"));
      return note === undefined ? Buffer.of() : collectBytes(contents.blobBytes("acme", note));
    };
    expect(Buffer.from(await noteOf(first.manifest.backupId))).toEqual(Buffer.from(old ?? []));
    expect(Buffer.from(await noteOf(second.manifest.backupId))).toEqual(
      Buffer.from((await raw.read(scope, "note")) ?? []),
    );
  });

  test("a blob is read again only where its time cannot tell that it is the same", async () => {
    await using installation = await openInstallation({ settings: { isSealed: false } });
    await using place = await openBackupPlace(installation);
    const raw = await installation.stores.blob();
    let modifiedAt = installation.clock.nowMs - 60_000;
    let reads = 0;
    const blob: BlobStore = {
      ...raw,
      list: async (...args) => (await raw.list(...args)).map((info) => ({ ...info, modifiedAt })),
      stream: async (...args) => {
        reads += 1;
        return raw.stream(...args);
      },
    };
    const readsOf = async (): Promise<number> => {
      reads = 0;
      await createBackup({ ...place.parts, blob }, { kind: "incremental" });
      return reads;
    };
    await installation.custody.blob.put(scope, "note", stream("one"));
    expect(await readsOf()).toBe(1);
    // As old as that at the time of the backup before, it may have been written again since.
    await installation.custody.blob.put(scope, "note", stream("two"));
    expect(await readsOf()).toBe(1);
    modifiedAt -= 1;
    expect(await readsOf()).toBe(1);
    expect(await readsOf()).toBe(0);
    const contents = await openBackup(place.repository, "latest");
    const [note] = await all(contents.blobs("acme"));
    const bytes = note && (await collectBytes(contents.blobBytes("acme", note)));
    expect(Buffer.from(bytes ?? []).toString()).toBe("two");
  });

  test("a blob that is left out is taken over as it was, and is in none where there was none", async () => {
    await using installation = await openInstallation({ settings: { isSealed: false } });
    await using place = await openBackupPlace(installation);
    const { custody } = installation;
    await custody.blob.put(scope, "kept/one", stream("old"));
    await createBackup(place.parts, { kind: "full" });
    await custody.blob.put(scope, "kept/one", stream("new"));
    await custody.blob.put(scope, "kept/two", stream("new"));
    await custody.blob.put(scope, "other", stream("new"));
    const leavesOut = (key: string): boolean => key.startsWith("kept/");
    for (const kind of ["incremental", "full"] as const) {
      await createBackup(place.parts, { kind, leavesOut });
      const contents = await openBackup(place.repository, "latest");
      const found: string[] = [];
      for (const blob of await all(contents.blobs("acme")))
        found.push(
          `${blob.key}: ${Buffer.from(await collectBytes(contents.blobBytes("acme", blob))).toString()}`,
        );
      expect(found).toEqual(["kept/one: old", "other: new"]);
      expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
    }
    await createBackup(place.parts, { kind: "incremental" });
    const contents = await openBackup(place.repository, "latest");
    expect((await all(contents.blobs("acme"))).map(({ key }) => key)).toEqual([
      "kept/one",
      "kept/two",
      "other",
    ]);
  });

  test("a blob of any length is backed up, and one that changes while it is read is read again", async () => {
    await using installation = await openInstallation({ settings: { isSealed: false } });
    await using place = await openBackupPlace(installation);
    const raw = await installation.stores.blob();
    const long = Buffer.alloc(9 * 1024 * 1024, "x");
    await raw.put(scope, "long", long);
    await installation.custody.commit(scope, [one("a")]);
    let reads = 0;
    const blob: BlobStore = {
      ...raw,
      stream: async (of, key) => {
        reads += 1;
        if (reads === 2) await raw.put(scope, "long", Buffer.alloc(9 * 1024 * 1024, "y"));
        return raw.stream(of, key);
      },
    };
    await createBackup({ ...place.parts, blob }, { kind: "full" });
    const contents = await openBackup(place.repository, "latest");
    const [found] = await all(contents.blobs("acme"));
    const bytes = found && (await collectBytes(contents.blobBytes("acme", found)));
    expect(bytes?.byteLength).toBe(9_437_184);
    expect(Buffer.from(bytes ?? []).every((byte) => byte === 0x79)).toBe(true);
    expect(reads).toBe(4);
  });

  test("a place that holds something else is refused, and so are other installations", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { blob, keys, runtime } = place.repository;
    await expect(
      openBackupRepository({ blob, keys, runtime, installation: "installation-2" }),
    ).rejects.toMatchObject({
      code: "conflict",
      message: "the repository holds backups of installation installation-1, not of installation-2",
    });
    await expect(
      openBackupRepository({ blob: place.parts.blob, keys, runtime }),
    ).rejects.toMatchObject({ code: "not-found" });
    await place.parts.blob.put(place.repository.scope, "something", Buffer.of(1));
    await expect(
      openBackupRepository({ blob: place.parts.blob, keys, runtime, installation: "i" }),
    ).rejects.toMatchObject({ code: "conflict" });

    await using stranger = await openInstallation();
    await using strange = await openBackupPlace(stranger);
    await expect(
      openBackupRepository({ blob, keys: strange.repository.keys, runtime }),
    ).rejects.toMatchObject({
      code: "no-key",
      message: expect.stringContaining("belongs to installation installation-1") as string,
    });
  });

  test("nothing in a repository shows what was backed up", async () => {
    await using installation = await openInstallation({ settings: { isSealed: false } });
    await using place = await openBackupPlace(installation);
    await installation.custody.commit(scope, [one("secret-word")]);
    await installation.custody.blob.put(scope, "public-note", stream("secret-word"));
    await createBackup(place.parts, { kind: "full" });
    const { blob, scope: own } = place.repository;
    for (const { key } of await blob.list(own, "", { limit: 100 })) {
      const text = Buffer.from((await blob.read(own, key)) ?? []).toString("latin1");
      expect(`${key} ${text}`).not.toMatch(/secret-word|public-note|acme/);
    }
    expect(backupDirectory(installation)).not.toContain("acme");
  });
});
