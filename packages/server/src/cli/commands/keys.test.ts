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
