import { cp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import {
  blobs,
  clock,
  copy,
  CREATE,
  files,
  folder,
  makeKeys,
  open,
  place,
  random,
  restore,
  useKeyPlaces,
} from "../testing/key-places.ts";
import { openLocalKeyService } from "./local-key-service.ts";
import { createKeyFile } from "./root-key-file.ts";

useKeyPlaces();

describe("key backup and other places", () => {
  test("without one that was finished, what needs it is refused with how to make it", async () => {
    const keys = await open();
    await expect(keys.backup.require()).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("custody keys backup --to PLACE") as string,
    });
    await expect(keys.backup.verify()).rejects.toMatchObject({ code: "usage" });
    expect((await keys.backup.status()).backup).toBeUndefined();
  });

  test("credentials of a place are not kept, and it is not looked for without them", async () => {
    const backup = {
      clock,
      open: () => files(copy),
      shown: (url: string) => url.replace("secret@", ""),
    };
    const given = { ...backup, url: "s3://secret@host/bucket" };
    const keys = await openLocalKeyService({ ...place, random, backup: given });
    await makeKeys(keys);
    await keys.backup.sync();
    const record = await readFile(join(place.directory, "keys", "backup.json"), "utf8");
    expect(JSON.parse(record)).toMatchObject({ url: "s3://host/bucket", isShortened: true });
    const later = await openLocalKeyService({ ...place, random, backup });
    await expect(later.backup.require()).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("set CUSTODY_KEY_BACKUP_URL") as string,
    });
    const again = await openLocalKeyService({ ...place, random, backup: given });
    await again.backup.require();
  });

  test("a place that is empty again is not taken for a new one, unless it is said", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    await rm(copy, { recursive: true });
    const again = await open();
    await expect(again.backup.sync()).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("its disk is mounted") as string,
    });
    await expect(again.backup.require()).rejects.toMatchObject({ code: "usage" });
    expect(await again.backup.sync({ isReplacing: true })).toMatchObject({ keys: 7 });
    await again.backup.require();
  });

  test("a place of another installation, of a data backup, or with object lock is refused", async () => {
    const other = { keyFile: join(folder, "other.key"), directory: join(folder, "other") };
    await createKeyFile(other, random);
    await (await open({ at: other })).backup.sync();
    await expect((await open()).backup.sync()).rejects.toMatchObject({ code: "conflict" });
    const data = join(folder, "backup-of-data");
    const scope = { tenant: "_system", actor: "service:test", deadline: Infinity };
    await (await files(data)).put(scope, "repository", Uint8Array.of(1));
    await expect((await open({ url: data })).backup.sync()).rejects.toThrow(/backup of data/);
    const locked = await open({
      url: join(folder, "locked"),
      through: (store) => ({
        ...store,
        capabilities: { ...store.capabilities, canRetain: true },
      }),
    });
    await expect(locked.backup.sync()).rejects.toThrow(/object lock/);
  });

  test("a key that comes back with an old copy of the data is destroyed again", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const old = join(folder, "old");
    await cp(place.directory, old, { recursive: true });
    await keys.destroySubjectKey("acme", "ana");
    await rm(place.directory, { recursive: true });
    await cp(old, place.directory, { recursive: true });
    const back = await open();
    expect(await back.isSubjectDestroyed("acme", "ana")).toBe(false);
    expect((await back.backup.verify()).faults).toMatchObject([{ kind: "not-destroyed-here" }]);
    expect(await back.backup.sync()).toMatchObject({ keys: 6, destroyed: 1, destroyedHere: 1 });
    expect(await back.isSubjectDestroyed("acme", "ana")).toBe(true);
    expect(await (await open()).isSubjectDestroyed("acme", "ana")).toBe(true);
  });

  test("a restore over an old copy of the keys destroys what was destroyed since", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const old = { keyFile: place.keyFile, directory: join(folder, "old") };
    await cp(place.directory, old.directory, { recursive: true });
    await keys.destroySubjectKey("acme", "ana");
    await restore(old);
    const back = await openLocalKeyService({ ...old, random });
    expect(await back.isSubjectDestroyed("acme", "ana")).toBe(true);
    expect(await back.isSubjectDestroyed("acme", "bob")).toBe(false);
  });

  test("two different keys of one name are refused: neither is given up", async () => {
    const keys = await open();
    await keys.backup.sync();
    const old = join(folder, "old");
    await cp(place.directory, old, { recursive: true });
    await keys.subjectKey("acme", "ana", CREATE);
    await keys.backup.sync();
    await rm(place.directory, { recursive: true });
    await cp(old, place.directory, { recursive: true });
    const back = await open();
    await back.subjectKey("acme", "ana", CREATE);
    await expect(back.backup.sync()).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("old copy") as string,
    });
  });

  test("a second copy of the keys never writes into the backup of the first", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const at = await restore();
    const second = await openLocalKeyService({ ...at, random });
    await second.destroySubjectKey("acme", "ana");
    await expect(second.backup.require()).rejects.toMatchObject({ code: "usage" });
    expect(await keys.backup.verify()).toMatchObject({ ok: true, keys: 7, destroyed: 0 });
  });

  test("keys that are restored for good go on with the same backup", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const at = await restore({ url: copy });
    const moved = await open({ at });
    await moved.backup.require();
    await moved.destroySubjectKey("acme", "ana");
    expect(await moved.backup.verify()).toMatchObject({ ok: true, keys: 6, destroyed: 1 });
  });

  test("keys are not restored over those of another installation", async () => {
    const keys = await open();
    await makeKeys(keys);
    await keys.backup.sync();
    const other = { keyFile: join(folder, "other.key"), directory: join(folder, "other") };
    await createKeyFile(other, random);
    await (await openLocalKeyService({ ...other, random })).hashKey("acme");
    await expect(restore(other)).rejects.toMatchObject({ code: "no-key" });
    const taken = { keyFile: other.keyFile, directory: join(folder, "new") };
    await expect(restore(taken)).rejects.toMatchObject({ code: "conflict" });
  });
});

describe("key backup and its secrets", () => {
  test("another installation's recovery key, a wrong passphrase and a missing one are told apart", async () => {
    const keys = await open();
    await keys.backup.sync();
    const other = { keyFile: join(folder, "other.key"), directory: join(folder, "other") };
    const foreign = await createKeyFile(other, random);
    const recovery = (typed: string) => ({ secret: { kind: "recovery", typed } }) as const;
    await expect(restore(recovery(foreign))).rejects.toMatchObject({ code: "no-key" });
    await expect(restore(recovery("ABC"))).rejects.toMatchObject({ code: "usage" });
    const secret = { kind: "passphrase", passphrase: "not the passphrase" } as const;
    await expect(restore({ secret })).rejects.toMatchObject({
      code: "usage",
      message: "this key backup is opened with the recovery key",
    });
    await keys.backup.sync({ passphrase: "four random words it is" });
    await expect(restore({ secret })).rejects.toMatchObject({ code: "no-key" });
    await expect(keys.backup.sync({ passphrase: "too short  " })).rejects.toMatchObject({
      code: "usage",
    });
  }, 20_000);

  test("a former passphrase opens nothing any more", async () => {
    const keys = await open();
    await keys.backup.sync({ passphrase: "the first passphrase" });
    await keys.backup.sync({ passphrase: "the second passphrase" });
    const heads = (await blobs()).filter((path) => path.includes("head"));
    expect(heads).toHaveLength(1);
    expect(JSON.parse(await readFile(heads[0] ?? "", "utf8"))).toMatchObject({
      wrappings: [{ kind: "recovery" }, { kind: "passphrase", n: 131_072, r: 8, p: 1 }],
    });
    const with_ = (passphrase: string) => ({ secret: { kind: "passphrase", passphrase } }) as const;
    await expect(restore(with_("the first passphrase"))).rejects.toMatchObject({ code: "no-key" });
    await expect(restore(with_("the second passphrase"))).resolves.toBeDefined();
  }, 20_000);
});
