import { createHash } from "node:crypto";

import type { BlobStore } from "@custody/stores/blob/port";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openBackupPlace } from "../testing/backup-place.ts";
import type { BackupPlace } from "../testing/backup-place.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";
import { canonicalBytes } from "../journal/format/canonical-object.ts";
import { signManifest } from "./backup-manifest.ts";
import type { BackupManifest, ObjectRef } from "./backup-manifest.ts";
import { once } from "./backup-objects.ts";
import { openBackupRepository, readBackupManifest } from "./backup-repository.ts";
import { createBackup } from "./create-backup.ts";
import { PackBuilder, readPack } from "./journal-pack.ts";
import { BLOB_ROWS, readPages, SEGMENT_ROWS } from "./object-pages.ts";
import { openBackup } from "./open-backup.ts";
import { verifyBackup } from "./verify-backup.ts";

const SEED = "changed bytes 1";
/** Positions changed outside the manifest. */
const POSITIONS = 10_000;

function noise(seed: string, length: number): string {
  return createHash("shake256", { outputLength: length / 2 })
    .update(seed)
    .digest("hex");
}
const bulk = (prefix: string) => ({
  type: "sample/attempts",
  put: Array.from({ length: 40 }, (_, index) => ({
    fields: attempt(`${prefix}-${index}`, { prompt: noise(`${prefix}${index}`, 2_000) }),
  })),
});
const one = (id: string) => ({ type: "sample/attempts", put: [{ fields: attempt(id) }] });

let installation: Installation;
let place: BackupPlace;
let manifest: BackupManifest;
/** Answered in place of what is stored; `null` for a blob that is missing. */
const changed = new Map<string, Uint8Array | null>();
const read = new Set<string>();

/** The repository's blobs, of which a test may change some. */
function changeable(blob: BlobStore): BlobStore {
  return {
    ...blob,
    read: async (of, key, range) => {
      const other = changed.get(key);
      return other === undefined ? blob.read(of, key, range) : (other ?? undefined);
    },
    stream: async (of, key) => {
      read.add(key);
      const other = changed.get(key);
      if (other === undefined) return blob.stream(of, key);
      return other === null ? undefined : once(other);
    },
  };
}

beforeAll(async () => {
  installation = await openInstallation();
  place = await openBackupPlace(installation, changeable);
  const { custody } = installation;
  await custody.commit(scope, [one("a-1")]);
  await custody.commit(scope, [bulk("b")]);
  await custody.commit(scope, [bulk("c")]);
  await custody.commit({ ...scope, tenant: "other" }, [one("o-1")]);
  await custody.blob.put(scope, "note", once(Buffer.from("a note")));
  await (await installation.stores.journal()).putState(scope, "import/1", "answered");
  await (await installation.stores.journal()).putState(scope, "slow/1", "forgotten");
  ({ manifest } = await createBackup(place.parts, { kind: "full" }));
}, 30_000);
afterAll(async () => {
  await place[Symbol.asyncDispose]();
  await installation[Symbol.asyncDispose]();
});

async function keysOf(prefix: string): Promise<readonly string[]> {
  const { blob, scope: own } = place.repository;
  return (await blob.list(own, prefix, { limit: 1_000 })).map(({ key }) => key);
}
async function bytesOf(key: string): Promise<Buffer> {
  return Buffer.from((await place.repository.blob.read(place.repository.scope, key)) ?? []);
}
/** Every object of the backup, by its name. */
async function objects(): Promise<ReadonlyMap<string, ObjectRef>> {
  const found: ObjectRef[] = [];
  for (const { packs, locations, segments, blobs, state } of manifest.tenants) {
    found.push(...packs, ...locations, ...segments, ...blobs, ...state);
    const source = place.repository.objects;
    for await (const { content } of readPages(source, segments, SEGMENT_ROWS)) found.push(content);
    for await (const { content } of readPages(source, blobs, BLOB_ROWS)) found.push(content);
  }
  return new Map(found.map((ref) => [ref.object, ref]));
}
async function readObject(ref: ObjectRef): Promise<void> {
  for await (const _ of place.repository.objects.stream(ref));
}

describe("checking backups", () => {
  test("a whole one is found whole, and every object of it is read", async () => {
    read.clear();
    const report = await verifyBackup(place.repository, "latest");
    expect(report).toMatchObject({
      ok: true,
      backupId: manifest.backupId,
      checked: { tenants: 2, entries: 5, segments: 2, blobs: 1 },
    });
    expect([...read].filter((key) => key.startsWith("objects/")).toSorted()).toEqual(
      (await keysOf("objects/")).toSorted(),
    );
    expect((await objects()).size).toBe((await keysOf("objects/")).length);
    const contents = await openBackup(place.repository, "latest");
    const state: unknown[] = [];
    for await (const value of contents.state("acme"))
      if (!value.name.startsWith("type/")) state.push(value);
    expect(state).toEqual([{ name: "import/1", value: "answered" }]);
  });

  test("every changed byte of a manifest is refused, and every cut of it", async () => {
    const key = `manifests/${manifest.backupId}`;
    const whole = await bytesOf(key);
    const refused = { code: "damaged", at: `the manifest of backup ${manifest.backupId}` };
    for (let at = 0; at < whole.byteLength; at += 1) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ 0x10;
      changed.set(key, bytes);
      await expect(readBackupManifest(place.repository, "latest")).rejects.toMatchObject(refused);
      changed.set(key, whole.subarray(0, at));
      await expect(readBackupManifest(place.repository, "latest")).rejects.toMatchObject(refused);
    }
    expect(await verifyBackup(place.repository, manifest.backupId)).toMatchObject({
      ok: false,
      fault: { at: `the manifest of backup ${manifest.backupId}` },
    });
    changed.clear();
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
  });

  test("every changed bit of the repository's description is refused as damage, or as another backup key", async () => {
    const { blob, keys, runtime } = place.repository;
    const whole = await bytesOf("repository");
    for (let bit = 0; bit < whole.byteLength * 8; bit += 1) {
      const bytes = Buffer.from(whole);
      const at = Math.floor(bit / 8);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
      changed.set("repository", bytes);
      await expect(openBackupRepository({ blob, keys, runtime })).rejects.toMatchObject({
        name: "CoreError",
        code: expect.stringMatching(/^(damaged|no-key)$/),
      });
    }
    changed.clear();
  });

  test("the description of a repository in a newer format is refused with what this program reads", async () => {
    const { blob, keys, runtime, objects: sealed } = place.repository;
    const key = sealed.tag("repository key", new Uint8Array(0));
    const newer = { format: 2, installation: "installation-1", key, layout: "another" };
    const mark = sealed.tag("repository", canonicalBytes(newer));
    changed.set("repository", Buffer.from(canonicalBytes({ ...newer, mark })));
    await expect(openBackupRepository({ blob, keys, runtime })).rejects.toMatchObject({
      code: "usage",
      message: "the repository of backups is of format 2; this version reads up to 1",
    });
    changed.clear();
  });

  test(`each of ${POSITIONS} changed bytes elsewhere is refused, over all objects`, async () => {
    const refs = [...(await objects()).values()];
    let number = 0;
    for (const [index, ref] of refs.entries()) {
      const key = `objects/${ref.object.slice(0, 2)}/${ref.object}`;
      const bytes = await bytesOf(key);
      const count = Math.ceil((POSITIONS * (index + 1)) / refs.length) - number;
      for (let turn = 0; turn < count; turn += 1) {
        number += 1;
        const draw = createHash("sha256").update(`${SEED} ${number}`).digest();
        const at = draw.readUInt32LE(0) % bytes.byteLength;
        const before = bytes[at] ?? 0;
        bytes[at] = before ^ (1 << (draw.readUInt8(4) % 8));
        changed.set(key, bytes);
        await expect(readObject(ref), `${SEED} ${number}`).rejects.toMatchObject({
          code: "damaged",
        });
        bytes[at] = before;
      }
      await readObject(ref);
    }
    changed.clear();
    expect(number).toBe(POSITIONS);
  }, 60_000);

  test("an object that is missing, cut off or another's is named", async () => {
    const refs = await objects();
    const keys = await keysOf("objects/");
    for (const key of keys) {
      const name = key.slice(-64);
      const whole = await bytesOf(key);
      const another = await bytesOf(keys.find((other) => other !== key) ?? "");
      for (const bytes of [null, whole.subarray(0, -1), Buffer.alloc(0), another]) {
        changed.set(key, bytes);
        const report = await verifyBackup(place.repository, "latest");
        expect(report.fault?.at).toContain(name);
        expect(report.ok).toBe(false);
      }
      changed.delete(key);
    }
    expect(keys.length).toBe(refs.size);
  });
});

/** A manifest that is rightly signed and sealed, and says something else. */
async function forged(
  change: (tenant: BackupManifest["tenants"][number]) => Partial<BackupManifest["tenants"][number]>,
  changes: Partial<BackupManifest> = {},
): Promise<void> {
  const { repository } = place;
  const tenants = manifest.tenants.map((tenant) =>
    tenant.tenant === "acme" ? { ...tenant, ...change(tenant) } : tenant,
  );
  const signer = await repository.keys.signer("_system");
  const { bytes } = await signManifest({ ...manifest, tenants, ...changes }, signer);
  const parts: Uint8Array[] = [];
  for await (const part of repository.objects.seal(`manifest ${manifest.backupId}`, once(bytes)))
    parts.push(part);
  changed.set(`manifests/${manifest.backupId}`, Buffer.concat(parts));
}

describe("backups that were put together wrongly", () => {
  type Tenant = BackupManifest["tenants"][number];
  test.each<readonly [string, (tenant: Tenant) => Partial<Tenant>, RegExp]>([
    ["a pack is left out", () => ({ packs: [] }), /packs of acme end at entry 0/],
    [
      "the cut is another entry",
      ({ head }) => ({ head: { ...head, hash: "0".repeat(64) } }),
      /not the one of the cut/,
    ],
    [
      "the signed head is another tenant's",
      () => ({ treeHead: manifest.tenants[1]?.treeHead ?? manifest.tenants[0]?.treeHead }) as never,
      /not signed by key/,
    ],
    ["the locations are left out", () => ({ locations: [] }), /does not tell where entry 1 lies/],
    ["the segments are left out", () => ({ segments: [] }), /is not in the backup/],
    ["the blobs are left out", () => ({ blobs: [] }), /there are 0, not 1/],
    [
      "the packs are another tenant's",
      ({ packs }) => ({
        packs: (manifest.tenants[1]?.packs ?? []).map((pack) => ({
          ...pack,
          to: packs[0]?.to ?? 0,
        })),
      }),
      /a pack whose tenant is not acme/,
    ],
  ])("it is found that %s", async (_name, change, reason) => {
    await forged(change);
    const report = await verifyBackup(place.repository, "latest");
    changed.clear();
    expect(report).toMatchObject({ ok: false, fault: { tenant: "acme" } });
    expect(report.fault?.reason).toMatch(reason);
  });

  test("it is found that the signed heads of the last commits are left out", async () => {
    const { objects: sealed } = place.repository;
    const [pack] = manifest.tenants[0]?.packs ?? [];
    if (pack === undefined) throw new Error("there is no pack");
    const builder = new PackBuilder("acme", 1);
    for (const { bytes, lines } of readPack(await sealed.read(pack), { ...pack, tenant: "acme" }))
      builder.add({ bytes, ...(lines === undefined ? {} : { lines }) });
    const ref = await sealed.put(builder.finish(), "zstd");
    await forged(() => ({ packs: [{ ...pack, ...ref }] }));
    const report = await verifyBackup(place.repository, "latest");
    changed.clear();
    expect(report).toMatchObject({
      ok: false,
      fault: { at: "entry 4 of acme", reason: expect.stringMatching(/no signed head/) as unknown },
    });
  });

  test("a manifest of another installation, repository or backup is refused", async () => {
    for (const [changes, reason] of [
      [{ installation: "installation-2" }, /is of installation installation-2/],
      [{ repository: "other" }, /written for another repository/],
      [{ backupId: "other" }, /names another backup/],
    ] as const) {
      await forged(() => ({}), changes);
      await expect(openBackup(place.repository, manifest.backupId)).rejects.toThrow(reason);
    }
    changed.clear();
  });

  test("a newer format is refused with what this program reads", async () => {
    const { repository } = place;
    const signed = canonicalBytes({ manifest: { ...manifest, format: 2 }, signature: "x" });
    const parts: Uint8Array[] = [];
    for await (const part of repository.objects.seal(`manifest ${manifest.backupId}`, once(signed)))
      parts.push(part);
    changed.set(`manifests/${manifest.backupId}`, Buffer.concat(parts));
    await expect(openBackup(repository, "latest")).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("of format 2; this version reads format 1 only") as string,
    });
    changed.clear();
  });

  test("a backup that is not there is not found", async () => {
    await expect(openBackup(place.repository, "nothing")).rejects.toMatchObject({
      code: "not-found",
      message: "there is no backup nothing in the repository",
    });
  });
});
