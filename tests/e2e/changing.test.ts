import { access, appendFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { expect, test } from "vitest";

import { CHECKOUT, example, makeInstallation } from "./custody-process.ts";
import type { Ended } from "./custody-process.ts";

const REPORT = example("garak/helpdesk-release-2.report.jsonl");
const HITS = example("garak/helpdesk-release-2.hitlog.jsonl");
const EVIDENCE = "redteam/session_evidence";

test(
  "a file is imported once, whatever it is called and wherever it comes from",
  { timeout: 60_000 },
  async () => {
    const custody = await makeInstallation();
    await custody.ask("init");
    await custody.ask("import", HITS, "--no-wait");
    const again = await custody.run(["import", "-", "--json"], {
      input: await readFile(HITS, "utf8"),
    });
    expect(JSON.parse(again.output)).toMatchObject({
      files: [
        { path: "-", isReplay: true, types: { "redteam/hits": { accepted: 0, duplicates: 62 } } },
      ],
    });
    expect(await custody.ask("find", "redteam/hits", "--count")).toMatchObject({ count: 62 });
  },
);

test(
  "a malformed file leaves nothing behind, and its place is named",
  { timeout: 60_000 },
  async () => {
    const custody = await makeInstallation();
    await custody.ask("init");
    const file = join(custody.directory, "bad.jsonl");
    await writeFile(file, await readFile(HITS, "utf8"));
    await appendFile(file, '{"goal": \n');
    const { exitCode, output, errors } = await custody.run(["import", file, "--json"]);
    expect(exitCode).toBe(1);
    expect(JSON.parse(output)).toMatchObject({
      files: [],
      failed: [{ path: file, code: "malformed" }],
    });
    expect(JSON.parse(errors)).toMatchObject({ code: "malformed", path: file, at: "line 63" });
    expect(await custody.ask("find", "redteam/hits", "--count")).toMatchObject({ count: 0 });
  },
);

test("without a data directory the command line says how to make one", async () => {
  const custody = await makeInstallation();
  const { exitCode, errors } = await custody.run(["status"]);
  expect(exitCode).toBe(2);
  expect(errors).toContain("custody init");
});

test("a lost key file is written anew from the recovery key", { timeout: 60_000 }, async () => {
  const custody = await makeInstallation();
  const { recoveryKey } = (await custody.ask("init")) as { recoveryKey: string };
  await custody.ask("import", HITS, "--no-wait");
  await rm(custody.keyFile);
  const without = await custody.run(["verify", "--json"]);
  expect(without.exitCode).toBe(1);
  expect(JSON.parse(without.errors)).toMatchObject({ code: "no-key" });
  const recovered = await custody.run(["keys", "recover"], { input: `${recoveryKey}\n` });
  expect(recovered).toMatchObject({ exitCode: 0 });
  expect(await custody.ask("verify")).toMatchObject({ ok: true });
});

test("one altered byte of a segment is found and named", { timeout: 60_000 }, async () => {
  const custody = await makeInstallation();
  await custody.ask("init");
  await custody.ask("import", REPORT, "--no-wait");
  const segment = (await readdir(custody.data, { recursive: true })).find((name) =>
    name.endsWith(".segment"),
  );
  const path = join(custody.data, segment ?? "no segment");
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(1_000) ^ 1, 1_000);
  await writeFile(path, bytes);
  const { exitCode, output } = await custody.run(["verify", "--json"]);
  expect(exitCode).toBe(1);
  const { ok, fault } = JSON.parse(output) as { ok: boolean; fault: { at: string } };
  expect(ok).toBe(false);
  expect(segment).toContain(fault.at.replace("segment ", ""));
});

test(
  "a store whose files are gone is rebuilt, and then equals the journal",
  { timeout: 60_000 },
  async () => {
    const custody = await makeInstallation();
    await custody.ask("init");
    await custody.ask("import", REPORT);
    const before = await custody.run(["find", EVIDENCE, "--json"]);
    await rm(join(custody.data, "tenants/default/document.sqlite"));
    await custody.ask("rebuild", "document");
    const after = await custody.run(["find", EVIDENCE, "--json"]);
    expect(after).toEqual(before);
    expect(await custody.ask("reconcile", "document")).toMatchObject({ ok: true });
  },
);

test("compacting keeps every record and every proof", { timeout: 60_000 }, async () => {
  const custody = await makeInstallation();
  await custody.ask("init");
  await custody.ask("import", HITS);
  const { output } = await custody.run(["find", "redteam/hits", "--json", "--limit", "1"]);
  const { _id } = JSON.parse(output) as { _id: string };
  await custody.ask("compact");
  const proof = await custody.run(["proof", "redteam/hits", _id]);
  expect(await custody.run(["verify-proof", "-"], { input: proof.output })).toMatchObject({
    exitCode: 0,
  });
  expect(await custody.ask("verify")).toMatchObject({ ok: true });
});

test(
  "an import that is interrupted keeps nothing, and runs to its end the next time",
  { timeout: 90_000 },
  async () => {
    const custody = await makeInstallation();
    await custody.ask("init");
    const file = await largeReport(custody.directory);
    const { child, ended } = custody.start(["import", file, "--json", "--no-wait"]);
    // The original is sealed into the blob store while it is read.
    await waitFor(join(custody.data, "tenants/default/blobs"));
    child.kill("SIGINT");
    const { exitCode, errors } = await ended;
    expect(exitCode).toBe(1);
    expect(JSON.parse(errors)).toMatchObject({ code: "interrupted" });
    expect(await custody.ask("find", "redteam/session_evidence", "--count")).toMatchObject({
      count: 0,
    });
    expect(await custody.ask("import", file, "--no-wait")).toMatchObject({
      files: [{ types: { [EVIDENCE]: { accepted: 255 } } }],
    });
  },
);

/** A report that takes a while to read: one of the examples, with its rows repeated. */
async function largeReport(directory: string): Promise<string> {
  const file = join(directory, "large.report.jsonl");
  const text = await readFile(REPORT, "utf8");
  for (let times = 0; times < 30; times += 1) await appendFile(file, `${text}\n`);
  return file;
}

const WAIT_MS = 20_000;

async function waitFor(path: string): Promise<void> {
  const until = Date.now() + WAIT_MS;
  while (Date.now() < until) {
    try {
      await access(path);
      return;
    } catch {
      await pause(5);
    }
  }
  throw new Error(`${path} did not appear`);
}

test("two processes do not use one data directory at once", { timeout: 60_000 }, async () => {
  const custody = await makeInstallation();
  await custody.ask("init");
  const file = await largeReport(custody.directory);
  const { ended } = custody.start(["import", file, "--json", "--no-wait"]);
  await waitFor(join(custody.data, "owner.json"));
  const second = await custody.run(["status", "--json"]);
  expect(second.exitCode).toBe(1);
  expect(JSON.parse(second.errors)).toMatchObject({ code: "unavailable" });
  expect(await ended).toMatchObject({ exitCode: 0 });
});

test("the installed command starts, and hands its exit code on", { timeout: 60_000 }, async () => {
  const launcher = join(CHECKOUT, "packages/server/bin/custody.mjs");
  const ended = await new Promise<Ended>((resolve) => {
    const child = spawn(process.execPath, [launcher, "fnid"], { stdio: "pipe" });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString("utf8");
    });
    child.once("close", (exitCode) => resolve({ exitCode, output: "", errors }));
  });
  expect(ended).toEqual({
    exitCode: 2,
    output: "",
    errors: "custody: unknown command 'fnid'\n  Did you mean find?\n",
  });
});
