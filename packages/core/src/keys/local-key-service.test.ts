import { createHash, generateKeyPairSync, randomBytes, verify } from "node:crypto";
import { fork } from "node:child_process";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { KeyService } from "./key-service.ts";
import { openLocalKeyService } from "./local-key-service.ts";
import { createKeyFile, recoverKeyFile } from "./root-key-file.ts";
import type { RootKeyPlace } from "./root-key-file.ts";

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
const CREATE = { create: true };

let folder: string;
let place: RootKeyPlace;
let recoveryKey: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "custody-keys-"));
  place = { keyFile: join(folder, "root.key"), directory: join(folder, "data") };
  recoveryKey = await createKeyFile(place, random);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = (options: { readonly cachedKeysMax?: number } = {}): Promise<KeyService> =>
  openLocalKeyService({ ...place, random, ...options });

/** The bytes of every file below the data directory, as one text. */
async function everything(): Promise<string> {
  const files = await readdir(place.directory, { recursive: true, withFileTypes: true });
  const texts = files
    .filter((file) => file.isFile())
    .map(
      async (file) => `${file.name}\n${await readFile(join(file.parentPath, file.name), "utf8")}`,
    );
  return (await Promise.all(texts)).join("\n");
}

describe("local key service", () => {
  test("the salt of owners' files is the same ever after, and no key of any tenant", async () => {
    const keys = await open();
    const salt = await keys.ownerSalt();
    expect(salt.byteLength).toBe(32);
    expect(await (await open()).ownerSalt()).toEqual(salt);
    expect(await keys.hashKey("_system")).not.toEqual(salt);
  });

  test("a key is the same ever after, also when reopened, and differs by tenant, period and use", async () => {
    const keys = await open();
    const made = [
      await keys.tenantKey("acme", "2026-11", CREATE),
      await keys.tenantKey("acme", "2026-12", CREATE),
      await keys.tenantKey("other", "2026-11", CREATE),
      await keys.hashKey("acme"),
      await keys.subjectKey("acme", "ana", CREATE),
      await keys.subjectKey("acme", "bob", CREATE),
      await keys.subjectKey("other", "ana", CREATE),
      await keys.originalKey("acme", "ana", CREATE),
    ];
    expect(new Set(made.map((key) => Buffer.from(key).toString("hex"))).size).toBe(8);
    expect(made.every((key) => key.byteLength === 32)).toBe(true);
    const again = await open();
    expect([
      await again.tenantKey("acme", "2026-11"),
      await again.tenantKey("acme", "2026-12"),
      await again.tenantKey("other", "2026-11", CREATE),
      await again.hashKey("acme"),
      await again.subjectKey("acme", "ana"),
      await again.subjectKey("acme", "bob"),
      await again.subjectKey("other", "ana", CREATE),
      await again.originalKey("acme", "ana"),
    ]).toEqual(made);
  });

  test("a key that does not exist is not made for a reader", async () => {
    const keys = await open();
    await expect(keys.tenantKey("acme", "2026-11")).rejects.toMatchObject({ code: "no-key" });
    await expect(keys.subjectKey("acme", "ana")).rejects.toMatchObject({ code: "no-key" });
    await expect(keys.originalKey("acme", "f")).rejects.toMatchObject({ code: "no-key" });
    expect(await keys.subjectKeys("acme", ["ana"])).toEqual([undefined]);
    expect(await keys.isSubjectDestroyed("acme", "ana")).toBe(false);
  });

  test("neither keys nor names of people and files lie readable in the data directory", async () => {
    const keys = await open();
    const made = [
      await keys.subjectKey("acme", "ana@example.org", CREATE),
      await keys.originalKey("acme", "report-of-ana", CREATE),
      await keys.hashKey("acme"),
    ];
    const text = await everything();
    expect(text).not.toMatch(/ana@example|report-of-ana/);
    for (const key of made)
      for (const encoding of ["hex", "base64", "base64url", "latin1"] as const)
        expect(text).not.toContain(Buffer.from(key).toString(encoding));
  });

  test("a destroyed key is gone for ever: reopened, asked for again, in the files", async () => {
    const keys = await open();
    await keys.subjectKeys("acme", ["ana", "bob"], CREATE);
    const before = await everything();
    await keys.destroySubjectKey("acme", "ana");
    await keys.destroySubjectKey("acme", "ana");
    await keys.destroySubjectKey("acme", "never-seen");
    for (const service of [keys, await open()]) {
      for (const subject of ["ana", "never-seen"]) {
        expect(await service.isSubjectDestroyed("acme", subject)).toBe(true);
        await expect(service.subjectKey("acme", subject, CREATE)).rejects.toMatchObject({
          code: "no-key",
          message: expect.stringContaining("destroyed") as string,
        });
      }
      const [ana, bob] = await service.subjectKeys("acme", ["ana", "bob"], CREATE);
      expect([ana, bob?.byteLength]).toEqual([undefined, 32]);
      expect(await service.isSubjectDestroyed("acme", "bob")).toBe(false);
      expect(await service.isSubjectDestroyed("other", "ana")).toBe(false);
    }
    const wrapped = [...before.matchAll(/"sealed":"([^"]+)"/g)].map(([, sealed]) => sealed ?? "");
    const after = await everything();
    expect(wrapped.filter((sealed) => !after.includes(sealed))).toHaveLength(1);
  });

  test("an original's key is destroyed like a subject's", async () => {
    const keys = await open();
    await keys.originalKey("acme", "file", CREATE);
    await keys.destroyOriginalKey("acme", "file");
    await expect(keys.originalKey("acme", "file", CREATE)).rejects.toThrow(/destroyed/);
  });

  test("a signature of a tenant's key is verified with its public key", async () => {
    const keys = await open();
    const signer = await keys.signer("acme");
    const bytes = Buffer.from("head");
    const signature = await signer.sign(bytes);
    const publicKey = { key: Buffer.from(signer.publicKey), format: "der", type: "spki" } as const;
    expect(verify(null, bytes, publicKey, signature)).toBe(true);
    expect(signer.keyId).toBe(createHash("sha256").update(signer.publicKey).digest("hex"));
    expect((await (await open()).signer("acme")).keyId).toBe(signer.keyId);
    expect((await keys.signer("other")).keyId).not.toBe(signer.keyId);
  });

  test("many subjects get their keys together, each its own, with a cache smaller than they are", async () => {
    const keys = await open({ cachedKeysMax: 100 });
    const subjects = Array.from({ length: 1_000 }, (_, index) => `person ${index} ünï/../→`);
    const made = await keys.subjectKeys("acme", [...subjects, ...subjects], CREATE);
    expect(new Set(made.map((key) => Buffer.from(key ?? []).toString("hex"))).size).toBe(1_000);
    expect(made.slice(1_000)).toEqual(made.slice(0, 1_000));
    expect(await (await open()).subjectKeys("acme", subjects)).toEqual(made.slice(0, 1_000));
  });

  test("two services that make the same key at once agree on one", async () => {
    const [one, two] = [await open(), await open()];
    const subjects = Array.from({ length: 50 }, (_, index) => `s${index}`);
    const [left, right] = await Promise.all([
      Promise.all(subjects.map((subject) => one.subjectKey("acme", subject, CREATE))),
      two.subjectKeys("acme", subjects, CREATE),
    ]);
    expect(left).toEqual(right);
  });

  test("an altered, exchanged or foreign key file is refused", async () => {
    const keys = await open();
    await keys.tenantKey("acme", "2026-11", CREATE);
    await keys.tenantKey("acme", "2026-12", CREATE);
    const path = join(place.directory, "keys", "acme", "period-2026-11.json");
    const text = await readFile(path, "utf8");
    const other = await readFile(path.replace("-11", "-12"), "utf8");
    for (const wrong of [
      text.replace(/.{5}"\}/, 'AAAAA"}'),
      other,
      "",
      "[]",
      "{}",
      '{"version":2}',
    ]) {
      await writeFile(path, wrong);
      await expect((await open()).tenantKey("acme", "2026-11")).rejects.toMatchObject({
        code: "damaged",
      });
    }
    await writeFile(path, text);
    expect((await (await open()).tenantKey("acme", "2026-11")).byteLength).toBe(32);
  });

  test("tenants and periods that would leave the directory are refused", async () => {
    const keys = await open();
    for (const tenant of ["../x", "", "a/b", "A"]) {
      await expect(keys.hashKey(tenant)).rejects.toMatchObject({ code: "invalid-id" });
      await expect(keys.subjectKey(tenant, "s", CREATE)).rejects.toMatchObject({
        code: "invalid-id",
      });
    }
    for (const period of ["2026-13", "2026-1", "../../x", "2026-11\n"])
      await expect(keys.tenantKey("acme", period, CREATE)).rejects.toMatchObject({ code: "usage" });
  });

  test("keys acknowledged before a kill are there after it", async () => {
    const child = fork(
      new URL("../testing/make-keys.ts", import.meta.url),
      [place.keyFile, place.directory],
      {
        stdio: ["ignore", "ignore", "inherit", "ipc"],
        execArgv: ["--conditions=source", "--disable-warning=ExperimentalWarning"],
      },
    );
    const acknowledged = new Map<string, string>();
    await new Promise<void>((resolve, reject) => {
      child.on("message", ([subject, key]: [string, string]) => {
        acknowledged.set(subject, key);
        if (acknowledged.size === 40) child.kill("SIGKILL");
      });
      child.once("error", reject);
      child.once("exit", () => resolve());
    });
    const subjects = [...acknowledged.keys()];
    const keys = await (await open()).subjectKeys("acme", subjects);
    expect(subjects.length).toBeGreaterThanOrEqual(40);
    expect(keys.map((key) => Buffer.from(key ?? []).toString("hex"))).toEqual([
      ...acknowledged.values(),
    ]);
  });
});

describe("root key file", () => {
  test("it is readable by its owner alone, and refused when it is not", async () => {
    expect((await stat(place.keyFile)).mode & 0o777).toBe(0o600);
    for (const mode of [0o640, 0o604, 0o620, 0o601]) {
      await chmod(place.keyFile, mode);
      await expect(open()).rejects.toMatchObject({
        code: "usage",
        message: expect.stringContaining(`run: chmod 600 ${place.keyFile}`) as string,
      });
    }
    await chmod(place.keyFile, 0o400);
    await expect(open()).resolves.toBeDefined();
  });

  test("another root key than the keys were made under is refused when the service opens", async () => {
    await open();
    const other = { keyFile: join(folder, "other.key"), directory: join(folder, "elsewhere") };
    await createKeyFile(other, random);
    await expect(
      openLocalKeyService({ keyFile: other.keyFile, directory: place.directory, random }),
    ).rejects.toMatchObject({ code: "no-key" });
  });

  test("it is made once, outside the data directory", async () => {
    await expect(createKeyFile(place, random)).rejects.toMatchObject({ code: "conflict" });
    const inside = { ...place, keyFile: join(place.directory, "root.key") };
    await expect(createKeyFile(inside, random)).rejects.toMatchObject({ code: "usage" });
  });

  test("a lost key file is written anew from the recovery key as a person types it", async () => {
    const key = await (await open()).tenantKey("acme", "2026-11", CREATE);
    await rm(place.keyFile);
    await expect(open()).rejects.toMatchObject({ code: "no-key" });
    const typed = ` ${recoveryKey.toLowerCase().replaceAll("-", " ").replaceAll("0", "o").replaceAll("1", "l")}`;
    await recoverKeyFile(typed, place, random);
    expect(await (await open()).tenantKey("acme", "2026-11")).toEqual(key);
    await expect(recoverKeyFile(typed, place, random)).rejects.toMatchObject({ code: "conflict" });
  });

  test("a mistyped recovery key and one of another installation are told apart", async () => {
    await rm(place.keyFile);
    const typo = recoveryKey.replace(/^./, (first) => (first === "7" ? "8" : "7"));
    await expect(recoverKeyFile(typo, place, random)).rejects.toMatchObject({ code: "usage" });
    const other = { keyFile: join(folder, "other.key"), directory: join(folder, "elsewhere") };
    const foreign = await createKeyFile(other, random);
    await expect(recoverKeyFile(foreign, place, random)).rejects.toMatchObject({ code: "damaged" });
    await expect(recoverKeyFile("ABC", place, random)).rejects.toMatchObject({ code: "usage" });
  });

  test("a damaged key file is refused without showing the key", async () => {
    const text = await readFile(place.keyFile, "utf8");
    const rootKey = /"rootKey":"([^"]+)"/.exec(text)?.[1] ?? "";
    const changed = rootKey.replace(/^./, (first) => (first === "A" ? "B" : "A"));
    for (const wrong of [
      "",
      "{",
      "[]",
      text.replace(rootKey, changed),
      text.replace("1", "2"),
      `${text}}`,
    ]) {
      await writeFile(place.keyFile, wrong);
      const error: unknown = await open().catch((cause: unknown) => cause);
      expect(error).toMatchObject({ code: "damaged" });
      expect(String(error)).not.toContain(rootKey.slice(3));
    }
  });
});

test("ed25519 seeds are told from other keys by their length alone", () => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const der = privateKey.export({ format: "der", type: "pkcs8" });
  expect(der.subarray(0, 16).toString("hex")).toBe("302e020100300506032b657004220420");
});
