import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { BlobStore } from "@custody/stores/blob/port";
import { StoreError } from "@custody/stores/errors";
import { describe, expect, test } from "vitest";

import {
  blobs,
  clock,
  copy,
  CREATE,
  dyingAt,
  files,
  folder,
  keysOf,
  makeKeys,
  open,
  packTexts,
  PEOPLE,
  place,
  random,
  recoveryKey,
  restore,
  useKeyPlaces,
} from "../testing/key-places.ts";
import { restoreKeys } from "./key-backup-restore.ts";
import { openLocalKeyService } from "./local-key-service.ts";
import { readKeyFile } from "./root-key-file.ts";

useKeyPlaces();

describe("key backup", () => {
  test("every key comes back with the recovery key, and with the passphrase", async () => {
    const keys = await open();
    const made = await makeKeys(keys);
    const report = await keys.backup.sync({ passphrase: "four random words it is" });
    expect(report).toMatchObject({ keys: 7, destroyed: 0, missingHere: 0 });
    const passphrase = { kind: "passphrase", passphrase: " four random words it is\n" } as const;
    for (const at of [await restore(), await restore({ secret: passphrase })])
      expect(await keysOf(await open({ at, url: join(folder, "none") }))).toEqual(made);
  }, 20_000);

  test("neither keys nor tenants nor people can be read in it", async () => {
    const keys = await open();
    const made = await makeKeys(keys);
    await keys.backup.sync();
    const root = await readKeyFile(place);
    const text = (
      await Promise.all((await blobs()).map((path) => readFile(path, "latin1")))
    ).join();
    expect(`${text}${(await blobs()).join()}`).not.toMatch(/acme|subjects|period/);
    for (const key of [...made, Buffer.from(root.key).toString("hex")])
      for (const encoding of ["hex", "base64", "base64url", "latin1"] as const)
        expect(text).not.toContain(Buffer.from(key, "hex").toString(encoding));
  });

  test("a second sync writes nothing, and a new key one pack", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    expect(await keys.backup.sync()).toMatchObject({ keys: 7, written: 0, bytes: 0 });
    expect((await keys.backup.status()).backup).toMatchObject({
      isCurrent: true,
      syncedAt: 1_795_000_000_000,
      wrappings: ["recovery"],
    });
    await keys.subjectKey("acme", "dora", CREATE);
    expect((await keys.backup.status()).backup?.isCurrent).toBe(false);
    expect(await keys.backup.sync()).toMatchObject({ keys: 8, written: 1 });
  });

  test("a destroyed key is nowhere in the backup, and is destroyed where it is restored", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const before = await packTexts();
    await keys.destroySubjectKey("acme", "ana");
    await keys.destroySubjectKey("acme", "never-seen");
    await keys.destroyOriginalKey("acme", "report");
    const after = await packTexts();
    expect([before.length, after.length]).toEqual([7, 8]);
    expect(before.filter((text) => !after.includes(text))).toHaveLength(2);
    const again = await open({ at: await restore() });
    expect(await again.isSubjectDestroyed("acme", "ana")).toBe(true);
    expect(await again.isSubjectDestroyed("acme", "never-seen")).toBe(true);
    expect(await again.isSubjectDestroyed("acme", "bob")).toBe(false);
    await expect(again.originalKey("acme", "report", CREATE)).rejects.toThrow(/destroyed/);
  });

  test("a destruction is not told done while a copy remains, and is done when it is called again", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const cut = await open({ through: dyingAt(1).through });
    await expect(cut.destroySubjectKey("acme", "ana")).rejects.toMatchObject({
      code: "unavailable",
    });
    expect(await cut.isSubjectDestroyed("acme", "ana")).toBe(true);
    const later = await open();
    expect(await later.backup.verify()).toMatchObject({
      ok: false,
      faults: [{ kind: "not-destroyed" }],
    });
    await later.destroySubjectKey("acme", "ana");
    expect(await later.backup.verify()).toMatchObject({ ok: true, keys: 6, destroyed: 1 });
  });

  test("a sync that has seen all keys once still finds one that was destroyed while the place was away", async () => {
    let isAway = false;
    const keys = await open({
      through: (store) => ({
        ...store,
        list: (...given) =>
          isAway
            ? Promise.reject(new StoreError("unavailable", "the place is away"))
            : store.list(...given),
      }),
    });
    await makeKeys(keys);
    await keys.backup.sync();
    await keys.backup.sync();
    isAway = true;
    await expect(keys.destroySubjectKey("acme", "ana")).rejects.toThrow(/away/);
    isAway = false;
    expect(await keys.backup.sync()).toMatchObject({ keys: 6, destroyed: 1, written: 1 });
    expect(await keys.backup.verify()).toMatchObject({ ok: true });
  });

  test("without a way to its backup a key is destroyed here, and that is not told as done", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const blind = await openLocalKeyService({ ...place, random });
    await expect(blind.destroySubjectKey("acme", "ana")).rejects.toMatchObject({ code: "usage" });
    const elsewhere = await open({ url: join(folder, "elsewhere") });
    await expect(elsewhere.destroySubjectKey("acme", "ana")).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(`made in ${copy}`) as string,
    });
  });
});

describe("key backup and crashes", () => {
  test("after a crash at any write it can be read, and the next sync leaves no destroyed key", async () => {
    const keys = await open();
    const made = await makeKeys(keys);
    await keys.backup.sync({ passphrase: "the first passphrase" });
    // As if destroyed by a process that died before it reached the backup.
    const blind = await openLocalKeyService({ ...place, random });
    await blind.destroySubjectKey("acme", "ana").catch(() => undefined);
    await keys.subjectKeys("acme", ["dora", "eve"], CREATE);
    // Falls into the pack of November 2026, as both names' SHA-256 begins with 01.
    await keys.tenantKey("acme", "2030-10", CREATE);
    const [whole, data] = [join(folder, "whole"), join(folder, "data-then")];
    await cp(copy, whole, { recursive: true });
    await cp(place.directory, data, { recursive: true });
    let crashes = 0;
    for (let call = 1; ; call += 1) {
      for (const [from, to] of [[whole, copy] as const, [data, place.directory] as const]) {
        await rm(to, { recursive: true });
        await cp(from, to, { recursive: true });
      }
      const dying = dyingAt(call);
      const cut = await open({ through: dying.through });
      const isDone = await cut.backup.sync().then(
        () => true,
        () => false,
      );
      const back = await open({ at: await restore() });
      const found = [await back.tenantKey("acme", "2026-11"), await back.subjectKey("acme", "bob")];
      const hex = found.map((key) => Buffer.from(key).toString("hex"));
      expect(hex).toEqual([made[0], made[5]]);
      const next = await open();
      await next.backup.sync();
      expect(await next.backup.verify()).toMatchObject({ ok: true, keys: 9, destroyed: 1 });
      expect(await packTexts()).toHaveLength(10);
      if (isDone) break;
      crashes += 1;
    }
    // Ana's pack and November's are each put, and the former ones deleted.
    expect(crashes).toBeGreaterThanOrEqual(4);
  }, 120_000);

  test("a first backup that was cut off is no backup, and the next one makes it whole", async () => {
    const keys = await open();
    await makeKeys(keys);
    let crashes = 0;
    for (let call = 1; ; call += 1) {
      await rm(copy, { recursive: true, force: true });
      await rm(join(place.directory, "keys", "backup.json"), { force: true });
      const cut = await open({ through: dyingAt(call).through });
      const error: unknown = await cut.backup.sync().catch((cause: unknown) => cause);
      if (!(error instanceof Error)) break;
      crashes += 1;
      await expect(cut.backup.require()).rejects.toMatchObject({ code: "usage" });
      await expect(restore()).rejects.toMatchObject({ code: "not-found" });
      const next = await open();
      await next.backup.sync();
      await next.backup.require();
      expect(await next.backup.verify()).toMatchObject({ ok: true, keys: 7 });
    }
    expect(crashes).toBeGreaterThanOrEqual(2);
  }, 60_000);

  test("a key destroyed after a first backup was cut off leaves no copy there", async () => {
    const keys = await open();
    await makeKeys(keys);
    const cut = await open({ through: dyingAt(5).through });
    await expect(cut.backup.sync()).rejects.toThrow();
    const later = await open();
    for (const person of PEOPLE) await later.destroySubjectKey("acme", person);
    await later.destroyOriginalKey("acme", "report");
    // Of four keys that were written at least one is destroyed; three were never to go.
    const left = (await packTexts()).filter((text) => text.includes("sealed"));
    expect(left.length).toBeLessThanOrEqual(3);
    const check = await later.backup.sync().then(() => later.backup.verify());
    expect(check).toMatchObject({ ok: true, keys: 3, destroyed: 4 });
  }, 20_000);

  test("a restore that was interrupted goes on where it was", async () => {
    const keys = await open();
    const made = await makeKeys(keys);
    await keys.backup.sync();
    const at = { keyFile: join(folder, "again.key"), directory: join(folder, "again") };
    const secret = { kind: "recovery", typed: recoveryKey } as const;
    const store = await files(copy);
    let reads = 0;
    const dying: BlobStore = {
      ...store,
      read: async (...given) => {
        reads += 1;
        if (reads > 4) throw new StoreError("unavailable", "the place is away");
        return store.read(...given);
      },
    };
    const options = { ...at, url: copy, secret, random, clock };
    await expect(restoreKeys({ ...options, store: dying })).rejects.toThrow(/away/);
    await expect(open({ at })).rejects.toMatchObject({ code: "no-key" });
    await restoreKeys({ ...options, store });
    expect(await keysOf(await open({ at }))).toEqual(made);
  });
});

describe("key backup and damage", () => {
  test("a changed byte is refused, whichever it is", async () => {
    const keys = await open();
    await keys.subjectKeys("acme", ["ana", "bob"], CREATE);
    await keys.backup.sync();
    const secret = { kind: "root", root: await readKeyFile(place) } as const;
    let refused = 0;
    for (const path of await blobs()) {
      const bytes = await readFile(path);
      for (const [at, byte] of bytes.entries()) {
        const changed = Buffer.from(bytes);
        changed[at] = byte ^ (1 << (at % 8));
        await writeFile(path, changed);
        const error: unknown = await restore({ secret }).catch((cause: unknown) => cause);
        expect(error, `${path} at ${at}`).toMatchObject({ name: "CoreError" });
        refused += 1;
      }
      await writeFile(path, bytes);
    }
    expect(refused).toBeGreaterThan(700);
    await expect(restore({ secret })).resolves.toBeDefined();
  }, 60_000);

  test("packs that were exchanged are refused", async () => {
    const keys = await open();
    await keys.subjectKeys("acme", PEOPLE, CREATE);
    await keys.backup.sync();
    const [first = "", second = ""] = (await blobs()).filter((path) => path.includes("packs"));
    await cp(first, second);
    await expect(restore()).rejects.toMatchObject({ code: "damaged" });
  });

  test("a former pack that is put back under the name of the present one is refused", async () => {
    const keys = await open();
    await keys.subjectKey("acme", "ana", CREATE);
    await keys.backup.sync();
    const packs = async () => (await blobs()).filter((path) => path.includes("packs"));
    const [former = ""] = await packs();
    const bytes = await readFile(former);
    await keys.destroySubjectKey("acme", "ana");
    const [present = ""] = await packs();
    expect(present).not.toBe(former);
    await writeFile(present, bytes);
    await expect(restore()).rejects.toMatchObject({ code: "damaged" });
  });

  test("a damaged pack is found by verify, and written anew by a full backup", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const [path = ""] = (await blobs()).filter((one) => one.includes("packs"));
    await writeFile(path, "nonsense");
    const found = await keys.backup.verify();
    expect(found.ok).toBe(false);
    expect([...new Set(found.faults.map(({ kind }) => kind))]).toEqual(["damaged-pack", "missing"]);
    await expect(restore()).rejects.toMatchObject({ code: "damaged" });
    expect(await keys.backup.sync({ isFull: true })).toMatchObject({ keys: 7, written: 1 });
    expect(await keys.backup.verify()).toMatchObject({ ok: true });
  });

  test("a key whose file is lost or damaged here stays in the backup, and a restore brings it back", async () => {
    const keys = await open();
    const made = await makeKeys(keys);
    await keys.backup.sync();
    await rm(join(place.directory, "keys", "acme", "hash.json"));
    await writeFile(join(place.directory, "keys", "acme", "period-2026-11.json"), "{}");
    const again = await open();
    expect(await again.backup.sync({ isFull: true })).toMatchObject({
      keys: 7,
      missingHere: 1,
      damagedHere: 1,
    });
    expect((await again.backup.verify()).faults.map(({ kind }) => kind).toSorted()).toEqual([
      "missing-here",
      "unreadable-here",
    ]);
    await rm(join(place.directory, "keys", "acme", "period-2026-11.json"));
    const secret = { kind: "recovery", typed: recoveryKey } as const;
    const store = await files(copy);
    const report = await restoreKeys({ ...place, url: copy, store, secret, random, clock });
    expect(report).toMatchObject({ keys: 2, destroyed: 0 });
    expect(await keysOf(await open())).toEqual(made);
  });
});
