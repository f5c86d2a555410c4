import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import * as compose from "../../compose.ts";
import { runCommandLine } from "../command-line.ts";
import { recordedTerminal } from "../testing/recorded-terminal.ts";

let folder: string;
let recoveryKey: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "custody-keys-command-"));
  recoveryKey = String((await json(["init"]))["recoveryKey"]);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Ran {
  readonly exitCode: number;
  readonly output: string;
  readonly notes: string;
}

async function run(
  words: readonly string[],
  { input = "", environment = {} }: { input?: string; environment?: Record<string, string> } = {},
): Promise<Ran> {
  const variables = { CUSTODY_DATA: "data", CUSTODY_KEY_FILE: "root.key", ...environment };
  const { terminal, output, notes } = recordedTerminal({
    directory: folder,
    input,
    environment: variables,
  });
  const exitCode = await runCommandLine(words, terminal, compose);
  return { exitCode, output: output(), notes: notes() };
}

async function json(
  words: readonly string[],
  options: { input?: string; environment?: Record<string, string> } = {},
): Promise<Readonly<Record<string, unknown>>> {
  const ran = await run([...words, "--json"], options);
  return { exitCode: ran.exitCode, ...(JSON.parse(ran.output || ran.notes) as object) };
}

test("keys are backed up, seen to be whole, lost and brought back with the recovery key", async () => {
  await json(["status"]);
  const none = await run(["keys", "status"]);
  expect(none.exitCode).toBe(1);
  expect(none.output).toContain("none: `custody keys backup --to PLACE` makes one");
  const made = await json(["keys", "backup", "--to", "copy"]);
  expect(made).toMatchObject({ exitCode: 0, destroyed: 0, missingHere: 0 });
  expect(made["written"]).toBeGreaterThan(0);
  const status = await json(["keys", "status"]);
  expect(status).toMatchObject({
    exitCode: 0,
    backup: { url: join(folder, "copy"), isCurrent: true, wrappings: ["recovery"] },
  });
  expect(await json(["keys", "verify"])).toMatchObject({ exitCode: 0, ok: true, faultCount: 0 });
  await rm(join(folder, "data", "keys"), { recursive: true });
  await rm(join(folder, "root.key"));
  const restored = await json(["keys", "restore", "--from", "copy"], { input: recoveryKey });
  expect(restored).toMatchObject({
    exitCode: 0,
    rootKey: status["rootKey"],
    keys: status["keys"],
  });
  expect(await json(["keys", "verify"])).toMatchObject({ exitCode: 0, ok: true });
});

test("keys come back on another machine with the passphrase, and go on with the same backup", async () => {
  await writeFile(join(folder, "words"), "some random words\n");
  expect(
    await json(["keys", "backup", "--to", "copy", "--passphrase-file", "words"]),
  ).toMatchObject({ exitCode: 0 });
  const there = { environment: { CUSTODY_DATA: "other", CUSTODY_KEY_FILE: "other.key" } };
  const words = ["keys", "restore", "--from", "copy", "--passphrase-file", "words"];
  expect(await json(words, there)).toMatchObject({ exitCode: 0 });
  expect(await json(["keys", "status"], there)).toMatchObject({
    exitCode: 0,
    backup: { url: join(folder, "copy"), isCurrent: true, wrappings: ["recovery", "passphrase"] },
  });
  const beside = { environment: { CUSTODY_DATA: "drill", CUSTODY_KEY_FILE: "drill.key" } };
  expect(await json([...words, "--copy"], beside)).toMatchObject({ exitCode: 0 });
  expect(await json(["keys", "status"], beside)).not.toHaveProperty("backup");
}, 30_000);

test("a place is named once, and another one is taken only when it is said", async () => {
  await json(["keys", "backup", "--to", "copy"]);
  expect(await json(["keys", "backup"])).toMatchObject({ exitCode: 0, written: 0 });
  const elsewhere = { environment: { CUSTODY_KEY_BACKUP_URL: "elsewhere" } };
  expect(await json(["keys", "backup"], elsewhere)).toMatchObject({ exitCode: 2, code: "usage" });
  expect(await json(["keys", "backup", "--replace"], elsewhere)).toMatchObject({ exitCode: 0 });
  expect(await json(["keys", "status"])).toMatchObject({
    exitCode: 0,
    backup: { url: join(folder, "elsewhere") },
  });
});

test("wrong places and secrets are refused with what to do", async () => {
  expect(await json(["keys", "backup"])).toMatchObject({ exitCode: 2, code: "usage" });
  expect(await json(["keys", "backup", "--to", "data/copy"])).toMatchObject({
    exitCode: 2,
    message: expect.stringContaining("lies in the data directory") as string,
  });
  expect(await json(["keys", "backup", "--to", "ftp://copy"])).toMatchObject({ exitCode: 2 });
  expect(await json(["keys", "backup", "--to", "copy", "--passphrase-file", "no"])).toMatchObject({
    exitCode: 1,
    code: "unreadable-file",
    path: "no",
  });
  const input = recoveryKey;
  expect(await json(["keys", "restore", "--from", "nowhere"], { input })).toMatchObject({
    exitCode: 1,
    code: "not-found",
  });
  await json(["keys", "backup", "--to", "copy"]);
  expect(await json(["keys", "restore", "--from", "copy"])).toMatchObject({
    exitCode: 2,
    message: "no recovery key was given",
  });
  const environment = { CUSTODY_DATA: "other", CUSTODY_KEY_FILE: "other.key" };
  const foreign = String((await json(["init"], { environment }))["recoveryKey"]);
  const refused = await json(["keys", "restore", "--from", "copy"], { input: foreign });
  expect(refused).toMatchObject({
    exitCode: 1,
    code: "no-key",
    next: "no key was written; try another copy of the key backup, or its other secret",
  });
});

test("a key service that is not named, or by no such URL, is refused with what to give", async () => {
  await json(["keys", "backup", "--to", "copy"]);
  expect(await json(["keys", "backup", "--key-service"])).toMatchObject({
    exitCode: 2,
    next: "give --key-service a URL, or set CUSTODY_KEY_SERVICE_URL or CUSTODY_KEY_SERVICE_URL_FILE",
  });
  const input = recoveryKey;
  const words = ["keys", "restore", "--from", "copy", "--key-service"];
  expect(await json([...words, "gcp-kms://:hidden@key"], { input })).toMatchObject({
    exitCode: 1,
    code: "refused",
    message:
      "no key service is reached by this URL; give aws-kms://REGION/KEY or vault://HOST:PORT/MOUNT/KEY",
  });
  await writeFile(join(folder, "words"), "some random words\n");
  const both = ["vault://:t@localhost/transit/custody", "--passphrase-file", "words"];
  expect(await json([...words, ...both], { input })).toMatchObject({
    exitCode: 2,
    message: "a passphrase and a key service were given",
  });
  // Nothing was ever wrapped by one, so none is asked.
  expect(await json([...words, both[0] ?? ""], { input })).toMatchObject({
    exitCode: 2,
    message: "this key backup is opened with the recovery key",
  });
});

test("a key service that does not answer fails the backup under it, and the one before stays", async () => {
  await json(["keys", "backup", "--to", "copy"]);
  const url = "vault://:hvs.hidden@127.0.0.1:1/transit/custody?tls=false";
  const environment = { CUSTODY_KEY_SERVICE_URL: url };
  const refused = await run(["keys", "backup", "--json"], { environment });
  expect(refused.exitCode).toBe(1);
  expect(refused.notes).toContain("Vault could not wrap a key: ECONNREFUSED");
  expect(refused.notes).not.toContain("hidden");
  expect(await json(["keys", "status"])).toMatchObject({
    exitCode: 0,
    backup: { wrappings: ["recovery"], isCurrent: true },
  });
});

test("a key file is recovered from the key backup with the passphrase", async () => {
  await writeFile(join(folder, "words"), "some random words\n");
  await json(["keys", "backup", "--to", "copy", "--passphrase-file", "words"]);
  await rm(join(folder, "root.key"));
  const words = ["keys", "recover", "--passphrase-file", "words"];
  expect(await json(words)).toMatchObject({ exitCode: 0 });
  expect(await json(["keys", "verify"])).toMatchObject({ exitCode: 0, ok: true });
  expect(await json(words)).toMatchObject({ exitCode: 0 });
}, 30_000);
