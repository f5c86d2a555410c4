import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describeOnServer } from "@custody/stores/testing/engine-server";
import { kmsKeys } from "@custody/stores/testing/kms-server";
import { vaultKeys } from "@custody/stores/testing/vault-server";
import { afterEach, beforeEach, expect, test } from "vitest";

import * as compose from "../../compose.ts";
import { runCommandLine } from "../command-line.ts";
import { recordedTerminal } from "../testing/recorded-terminal.ts";

let folder: string;
let recoveryKey: string;

interface Ran {
  readonly exitCode: number;
  readonly text: string;
}

async function run(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const { terminal, output, notes } = recordedTerminal({
    directory: folder,
    environment: { CUSTODY_DATA: "data", CUSTODY_KEY_FILE: "root.key", ...environment },
  });
  const exitCode = await runCommandLine(words, terminal, compose);
  return { exitCode, text: `${output()}${notes()}` };
}

async function json(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Readonly<Record<string, unknown>>> {
  const { exitCode, text } = await run([...words, "--json"], environment);
  return { exitCode, ...(JSON.parse(text) as object) };
}

/** Every file that the commands have left, as text. */
async function everything(): Promise<string> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = found.filter((one) => one.isFile());
  const texts = files.map((one) => readFile(join(one.parentPath, one.name), "latin1"));
  return (await Promise.all(texts)).join("\n");
}

function describeCommands(make: () => Promise<string>, secret: string): void {
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "custody-keys-service-"));
    recoveryKey = String((await json(["init"]))["recoveryKey"]);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const there = { CUSTODY_DATA: "other", CUSTODY_KEY_FILE: "other.key" };

  test("keys are backed up under a key service, lost, and brought back by it without the recovery key", async () => {
    const url = await make();
    await json(["status"]);
    expect(await json(["keys", "backup", "--to", "copy", "--key-service", url])).toMatchObject({
      exitCode: 0,
    });
    const name = url.replace(/\/\/.*@/, "//").replace(/\?.*/, "");
    const status = await json(["keys", "status"]);
    expect(status).toMatchObject({
      exitCode: 0,
      backup: { isCurrent: true, wrappings: ["recovery", "key-service"], keyService: name },
    });
    expect((await run(["keys", "status"])).text).toContain(
      `opened by the recovery key or the key service\n           key service ${name}\n`,
    );
    await rm(join(folder, "data"), { recursive: true });
    await rm(join(folder, "root.key"));
    const words = ["keys", "restore", "--from", "copy", "--key-service", url];
    expect(await json(words)).toMatchObject({ exitCode: 0, rootKey: status["rootKey"] });
    const ofEnvironment = { ...there, CUSTODY_KEY_SERVICE_URL: url };
    expect(
      await json(["keys", "restore", "--from", "copy", "--key-service"], ofEnvironment),
    ).toMatchObject({ exitCode: 0, rootKey: status["rootKey"] });
    const kept = await everything();
    expect(kept).not.toContain(secret);
    expect(kept).not.toContain(recoveryKey);
  }, 60_000);

  test("the variable alone makes every backup of keys one under the key service, and verify asks it", async () => {
    const url = await make();
    await json(["status"]);
    await json(["keys", "backup", "--to", "copy"]);
    expect(await json(["keys", "verify"])).toMatchObject({ exitCode: 0, ok: true });
    const environment = { CUSTODY_KEY_SERVICE_URL: url };
    expect(await json(["keys", "status"], environment)).toMatchObject({
      exitCode: 1,
      backup: { isCurrent: false },
    });
    expect(await json(["keys", "verify"], environment)).toMatchObject({
      exitCode: 1,
      faults: [{ kind: "not-opened-by-service" }],
    });
    const created = await json(["backup", "create", "--repository", "backups"], environment);
    expect(created).toMatchObject({ exitCode: 0 });
    // What the backup itself made since its keys were backed up.
    expect(await json(["keys", "backup"])).toMatchObject({ exitCode: 0 });
    expect(await json(["keys", "verify", "--key-service", url])).toMatchObject({
      exitCode: 0,
      keyService: { isChecked: true },
    });
    expect((await run(["keys", "verify"])).text).toContain("was not asked: give --key-service");
    expect(await json(["keys", "backup", "--no-key-service"], environment)).toMatchObject({
      exitCode: 0,
    });
    expect(await json(["keys", "status"])).toMatchObject({ backup: { wrappings: ["recovery"] } });
  }, 60_000);

  test("a backup of data is restored into a new place with the key service", async () => {
    const url = await make();
    await json(["status"]);
    await json(["keys", "backup", "--to", "copy", "--key-service", url]);
    await json(["backup", "create", "--repository", "backups"]);
    await rm(join(folder, "data"), { recursive: true });
    await rm(join(folder, "root.key"));
    const words = ["backup", "restore", "latest", "--repository", "backups", "--key-service", url];
    const environment = { CUSTODY_KEY_BACKUP_URL: "copy" };
    expect(await json(words, environment)).toMatchObject({ exitCode: 0 });
    expect(await json(["verify"])).toMatchObject({ exitCode: 0 });
  }, 60_000);

  test("a lost key file alone is recovered by the key service", async () => {
    const url = await make();
    await json(["status"]);
    await json(["keys", "backup", "--to", "copy", "--key-service", url]);
    await rm(join(folder, "root.key"));
    expect(await json(["keys", "recover", "--key-service", url])).toMatchObject({ exitCode: 0 });
    expect(await json(["keys", "verify", "--key-service", url])).toMatchObject({ exitCode: 0 });
  }, 60_000);
}

describeOnServer("kms", (server) => describeCommands(kmsKeys(server).make, "testbed-password"));
describeOnServer("vault", (server) =>
  describeCommands(() => vaultKeys(server).make(), new URL(server).password),
);
