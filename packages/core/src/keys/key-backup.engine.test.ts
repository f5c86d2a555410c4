import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { openS3BlobStore } from "@custody/stores/blob/s3";
import { describeOnServer, serverName } from "@custody/stores/testing/engine-server";
import { makeVersionedBucket } from "@custody/stores/testing/s3-server";
import type { VersionedBucket } from "@custody/stores/testing/s3-server";
import { makeTemporaryDirectory } from "@custody/stores/testing/temporary-directory";
import { expect, test } from "vitest";

import { restoreKeys } from "./key-backup-restore.ts";
import { openPack, packSealing } from "./key-pack.ts";
import { openLocalKeyService } from "./local-key-service.ts";
import type { LocalKeys } from "./local-key-service.ts";
import { createKeyFile, readKeyFile } from "./root-key-file.ts";
import type { RootKeyPlace } from "./root-key-file.ts";

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
const clock = (): number => 1_795_000_000_000;
const CREATE = { create: true };

/** The texts of all keys in all versions of all objects. */
async function textsIn(bucket: VersionedBucket, place: RootKeyPlace): Promise<readonly string[]> {
  const sealing = packSealing((await readKeyFile(place)).key);
  const packs = (await bucket.versions()).map(({ key, bytes = new Uint8Array(0) }) =>
    openPack(sealing, key.split("/").at(-2) ?? "", bytes),
  );
  return packs.flatMap((pack) => [...(pack?.values() ?? [])]);
}

describeOnServer("s3", (server) => {
  const withBucket = async (
    work: (at: {
      readonly bucket: VersionedBucket;
      readonly place: RootKeyPlace;
      readonly recoveryKey: string;
      readonly folder: string;
      readonly open: () => Promise<LocalKeys>;
    }) => Promise<void>,
  ): Promise<void> => {
    await using directory = await makeTemporaryDirectory();
    const folder = directory.path;
    await using bucket = await makeVersionedBucket(server, serverName(folder));
    const place = { keyFile: join(folder, "root.key"), directory: join(folder, "data") };
    const recoveryKey = await createKeyFile(place, random);
    const { url } = bucket;
    const backup = { url, clock, open: (at: string) => openS3BlobStore({ url: at }) };
    const open = (): Promise<LocalKeys> => openLocalKeyService({ ...place, random, backup });
    await work({ bucket, place, recoveryKey, folder, open });
  };

  test("in a bucket that keeps versions no version holds a destroyed key", async () => {
    await withBucket(async ({ bucket, place, open }) => {
      await using keys = await open();
      await keys.subjectKeys("acme", ["ana", "bob"], CREATE);
      await keys.originalKey("acme", "report", CREATE);
      await keys.backup.sync();
      const before = await textsIn(bucket, place);
      expect(before).toHaveLength(3);
      await keys.destroySubjectKey("acme", "ana");
      await keys.destroyOriginalKey("acme", "report");
      const after = await textsIn(bucket, place);
      expect(before.filter((text) => after.includes(text))).toHaveLength(1);
      expect(await keys.backup.verify()).toMatchObject({ ok: true, keys: 1, destroyed: 2 });
      expect((await bucket.versions()).filter(({ bytes }) => bytes === undefined)).toEqual([]);
    });
  }, 60_000);

  test("a former head, and the passphrase that opened it, is in no version either", async () => {
    await withBucket(async ({ bucket, open }) => {
      await using keys = await open();
      await keys.backup.sync({ passphrase: "the first passphrase" });
      await keys.backup.sync({ passphrase: "the second passphrase" });
      const heads = (await bucket.versions()).filter(({ key }) => key.includes("keys/head/"));
      expect(heads).toHaveLength(1);
    });
  }, 60_000);

  test("keys come back from a bucket", async () => {
    await withBucket(async ({ bucket, recoveryKey, folder, open }) => {
      await using keys = await open();
      const ana = await keys.subjectKey("acme", "ana", CREATE);
      await keys.backup.sync();
      const at = { keyFile: join(folder, "other.key"), directory: join(folder, "other") };
      await using store = await openS3BlobStore({ url: bucket.url });
      const secret = { kind: "recovery", typed: recoveryKey } as const;
      await restoreKeys({ ...at, store, secret, random, clock });
      await using other = await openLocalKeyService({ ...at, random });
      expect(await other.subjectKey("acme", "ana")).toEqual(ana);
    });
  }, 60_000);
});
