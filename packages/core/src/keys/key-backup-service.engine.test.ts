import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describeOnServer } from "@custody/stores/testing/engine-server";
import { kmsKeys } from "@custody/stores/testing/kms-server";
import { vaultKeys } from "@custody/stores/testing/vault-server";
import { openWrappingService } from "@custody/stores/wrapping/open-wrapping-service";
import type { WrappingService } from "@custody/stores/wrapping/port";
import { expect, test } from "vitest";

import {
  blobs,
  clock,
  copy,
  files,
  folder,
  keysOf,
  makeKeys,
  open as openAt,
  place,
  random,
  restore,
  useKeyPlaces,
} from "../testing/key-places.ts";
import { createKeyFile, readKeyFile, recoveryFile } from "./root-key-file.ts";
import { decodeHead } from "./key-backup-head.ts";
import type { KeyBackupSecret } from "./key-backup-head.ts";
import { recoverFromKeyBackup } from "./key-backup-restore.ts";
import { unwrapByService, wrapUnderService } from "./key-service-wrapping.ts";
import { openLocalKeyService } from "./local-key-service.ts";
import type { LocalKeys } from "./local-key-service.ts";
import type { RootKeyPlace } from "./root-key-file.ts";
import { serviceWrapping } from "./key-backup-wrappings.ts";

const PASSPHRASE = "four random words it is";

interface ServiceServer {
  /** Makes a key of the test's own and answers its URL. */
  readonly make: () => Promise<string>;
  /** The same key, by the same name, where its server cannot be reached. */
  readonly gone: (url: string) => string;
}

const service = (url: string): Promise<WrappingService> => openWrappingService(url, {});

/** Keys with their backup in a directory, and a key service where a URL is given. */
function openKeys(
  url?: string,
  at: RootKeyPlace = place,
  backupUrl: string = copy,
): Promise<LocalKeys> {
  const given = url === undefined ? {} : { openKeyService: () => service(url) };
  const backup = { url: backupUrl, clock, open: files, ...given };
  return openLocalKeyService({ ...at, random, backup });
}

async function withSecret<Answer>(
  url: string,
  work: (secret: KeyBackupSecret) => Promise<Answer>,
): Promise<Answer> {
  await using opened = await service(url);
  return await work({ kind: "key-service", service: opened });
}

async function headPath(): Promise<string> {
  const [path = "none"] = (await blobs()).filter((one) => one.includes("head"));
  return path;
}

async function headText(): Promise<string> {
  return await readFile(await headPath(), "utf8");
}

function describeKeyService({ make, gone }: ServiceServer): void {
  useKeyPlaces();

  test("every key comes back with the key service alone, and with the recovery key as before", async () => {
    const url = await make();
    await using keys = await openKeys(url);
    const made = await makeKeys(keys);
    await keys.backup.sync();
    const restored = await withSecret(url, (secret) => restore({ secret }));
    expect(await keysOf(await openAt({ at: restored }))).toEqual(made);
    expect(await keysOf(await openAt({ at: await restore() }))).toEqual(made);
  }, 30_000);

  test("the service sees no root key, and the backup holds none in clear", async () => {
    const url = await make();
    await using keys = await openKeys(url);
    await keys.backup.sync();
    const { head, text } = decodeHead(await headText());
    const { key = "" } = serviceWrapping(head) ?? {};
    await using opened = await service(url);
    const root = await readKeyFile(place);
    const context = { "custody-purpose": "key-backup", "custody-root-key": root.id };
    const middle = await opened.unwrap(Buffer.from(key, "base64url"), context);
    expect(middle.byteLength).toBe(32);
    expect(Buffer.from(middle).equals(root.key)).toBe(false);
    for (const encoding of ["hex", "base64", "base64url"] as const)
      expect(text).not.toContain(Buffer.from(root.key).toString(encoding));
  });

  test("what the service wraps for one installation opens no other's", async () => {
    await using opened = await service(await make());
    const root = await readKeyFile(place);
    const wrapping = await wrapUnderService(opened, root, random);
    expect((await unwrapByService(wrapping, opened, root.id)).key.byteLength).toBe(32);
    await expect(unwrapByService(wrapping, opened, "0123456789abcdef")).rejects.toMatchObject({
      code: "no-key",
      message: expect.stringContaining("does not open this key backup") as string,
    });
  });

  test("later backups keep the wrapping and need the service no more", async () => {
    const url = await make();
    await using keys = await openKeys(url);
    await keys.backup.sync();
    const before = await headText();
    await using without = await openKeys();
    await without.backup.sync();
    await using away = await openKeys(gone(url));
    await away.backup.sync();
    expect(await headText()).toBe(before);
    expect((await away.backup.status()).backup).toMatchObject({
      wrappings: ["recovery", "key-service"],
      keyService: url.replace(/\/\/.*@/, "//").replace(/\?.*/, ""),
      isCurrent: true,
    });
    await expect(away.backup.verify()).rejects.toMatchObject({ code: "unavailable" });
  });

  test("a service that cannot be asked fails the first backup under it, and leaves the head as it was", async () => {
    await using keys = await openKeys();
    await keys.backup.sync({ passphrase: PASSPHRASE });
    const before = await headText();
    await using away = await openKeys(gone(await make()));
    expect((await away.backup.status()).backup?.isCurrent).toBe(false);
    await expect(away.backup.sync()).rejects.toMatchObject({ code: "unavailable" });
    expect(await headText()).toBe(before);
  }, 30_000);

  test("another key takes the place of the former, and other secrets stay", async () => {
    const [first, second] = [await make(), await make()];
    await using keys = await openKeys(first);
    await keys.backup.sync({ passphrase: PASSPHRASE });
    const former = serviceWrapping(decodeHead(await headText()).head);
    await using later = await openKeys(second);
    expect((await later.backup.status()).backup?.isCurrent).toBe(false);
    await later.backup.sync();
    const { head, text } = decodeHead(await headText());
    expect(head.wrappings.map(({ kind }) => kind)).toEqual([
      "recovery",
      "passphrase",
      "key-service",
    ]);
    expect((await blobs()).filter((path) => path.includes("head"))).toHaveLength(1);
    expect(text).not.toContain(former?.key);
    const restored = await withSecret(second, (secret) => restore({ secret }));
    expect(await readKeyFile(restored)).toEqual(await readKeyFile(place));
  }, 30_000);

  test("asked anew, the same key wraps again; given up, it opens nothing", async () => {
    const url = await make();
    await using keys = await openKeys(url);
    await keys.backup.sync();
    const before = await headText();
    await keys.backup.sync({ keyService: "anew" });
    expect(await headText()).not.toBe(before);
    await keys.backup.sync({ keyService: "none" });
    expect((await keys.backup.status()).backup?.wrappings).toEqual(["recovery"]);
    await expect(withSecret(url, (secret) => restore({ secret }))).rejects.toMatchObject({
      code: "usage",
      message: "this key backup is opened with the recovery key",
    });
  });

  test("without a recovery key here the service alone may open a backup, and is not given up last", async () => {
    await rm(recoveryFile(place.directory));
    await using keys = await openKeys(await make());
    await keys.backup.sync();
    expect((await keys.backup.status()).backup?.wrappings).toEqual(["key-service"]);
    await expect(keys.backup.sync({ keyService: "none" })).rejects.toMatchObject({ code: "usage" });
  });

  test("verify has the service open the backup, and finds one that it does not open", async () => {
    const url = await make();
    await using keys = await openKeys();
    await keys.backup.sync();
    await using configured = await openKeys(url);
    expect(await configured.backup.verify()).toMatchObject({
      ok: false,
      faultCount: 1,
      faults: [{ kind: "not-opened-by-service" }],
    });
    await configured.backup.sync();
    expect(await configured.backup.verify()).toMatchObject({
      ok: true,
      keyService: { isChecked: true },
    });
    expect(await keys.backup.verify()).toMatchObject({
      ok: true,
      keyService: { isChecked: false },
    });
  });

  test("a head that was altered is refused, wherever it was altered", async () => {
    const url = await make();
    await using keys = await openKeys(url);
    await keys.backup.sync();
    const path = await headPath();
    const text = await readFile(path, "utf8");
    const at = text.indexOf('"key-service"') - 500;
    for (let index = Math.max(0, at); index < text.length; index += 53) {
      const byte = text.codePointAt(index) ?? 0;
      const changed = `${text.slice(0, index)}${String.fromCodePoint(byte ^ 1)}${text.slice(index + 1)}`;
      await writeFile(path, changed);
      await expect(withSecret(url, (secret) => restore({ secret }))).rejects.toMatchObject({
        code: expect.stringMatching(/^(damaged|no-key|unavailable|usage)$/) as string,
      });
    }
    await writeFile(path, text);
    await withSecret(url, (secret) => restore({ secret }));
  }, 60_000);

  test("a lost key file alone is written anew by the service, and by no other installation's", async () => {
    const url = await make();
    await using keys = await openKeys(url);
    const made = await makeKeys(keys);
    await keys.backup.sync();
    await rm(place.keyFile);
    await using store = await files(copy);
    const other = { keyFile: join(folder, "other.key"), directory: join(folder, "other") };
    await createKeyFile(other, random);
    await openAt({ at: other });
    await rm(other.keyFile);
    await withSecret(url, async (secret) => {
      await recoverFromKeyBackup({ ...place, store, secret, random });
      const elsewhere = recoverFromKeyBackup({ ...other, store, secret, random });
      await expect(elsewhere).rejects.toMatchObject({ code: "no-key" });
    });
    await expect(readFile(other.keyFile)).rejects.toMatchObject({ code: "ENOENT" });
    expect(await keysOf(await openAt())).toEqual(made);
  });
}

describeOnServer("kms", (server) => {
  const keys = kmsKeys(server);
  describeKeyService({
    make: keys.make,
    gone: (url) => url.replace(/endpoint=.*/, "endpoint=http://127.0.0.1:1"),
  });
});

describeOnServer("vault", (server) => {
  const keys = vaultKeys(server);
  describeKeyService({
    make: () => keys.make(),
    // The name of the key stays, as for a server that is down: no TLS comes about on a clear port.
    gone: (url) => url.replace("tls=false", "tls=true"),
  });
});
