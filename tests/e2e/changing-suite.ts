import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { example, until } from "./custody-process.ts";
import type { Installation, OnEnd } from "./custody-process.ts";

const REPORT = example("garak/helpdesk-release-2.report.jsonl");
const HITS = example("garak/helpdesk-release-2.hitlog.jsonl");
const EVIDENCE = "redteam/session_evidence";

/** What changes an installation, or damages it: each test in a tenant of its own, or on its own installation. */
export function describeChanging(make: (onEnd: OnEnd) => Promise<Installation>): void {
  describe("what is written is written once, and what is damaged is found", () => {
    describeChanges(make);
    describeInterruptions(make);
  });
}

function describeChanges(make: (onEnd: OnEnd) => Promise<Installation>): void {
  let custody: Installation;
  let recoveryKey = "";
  beforeAll(async () => {
    custody = await make(afterAll);
    ({ recoveryKey } = (await custody.ask("init")) as { recoveryKey: string });
  }, 180_000);

  test(
    "a file is imported once, whatever it is called and wherever it comes from",
    { timeout: 180_000 },
    async () => {
      const of = ["--tenant", "once"];
      await custody.ask("import", HITS, "--no-wait", ...of);
      const again = await custody.run(["import", "-", "--json", ...of], {
        input: await readFile(HITS, "utf8"),
      });
      expect(JSON.parse(again.output)).toMatchObject({
        files: [
          {
            path: "-",
            isReplay: true,
            types: { "redteam/hits": { accepted: 0, duplicates: 62 } },
          },
        ],
      });
      expect(await custody.ask("find", "redteam/hits", "--count", ...of)).toMatchObject({
        count: 62,
      });
    },
  );

  test(
    "a malformed file leaves nothing behind, and its place is named",
    { timeout: 180_000 },
    async () => {
      const of = ["--tenant", "malformed"];
      const file = join(custody.directory, "bad.jsonl");
      await writeFile(file, await readFile(HITS, "utf8"));
      await appendFile(file, '{"goal": \n');
      const { exitCode, output, errors } = await custody.run(["import", file, "--json", ...of]);
      expect(exitCode).toBe(1);
      expect(JSON.parse(output)).toMatchObject({
        files: [],
        failed: [{ path: file, code: "malformed" }],
      });
      expect(JSON.parse(errors)).toMatchObject({ code: "malformed", path: file, at: "line 63" });
      expect(await custody.ask("find", "redteam/hits", "--count", ...of)).toMatchObject({
        count: 0,
      });
    },
  );

  test("a lost key file is written anew from the recovery key", { timeout: 180_000 }, async () => {
    await custody.ask("import", HITS, "--no-wait");
    await rm(custody.keyFile);
    const without = await custody.run(["verify", "--json"]);
    expect(without.exitCode).toBe(1);
    expect(JSON.parse(without.errors)).toMatchObject({ code: "no-key" });
    const recovered = await custody.run(["keys", "recover"], { input: `${recoveryKey}\n` });
    expect(recovered).toMatchObject({ exitCode: 0 });
    expect(await custody.ask("verify")).toMatchObject({ ok: true });
  });

  test("compacting keeps every record and every proof", { timeout: 180_000 }, async () => {
    const of = ["--tenant", "compact"];
    await custody.ask("import", HITS, ...of);
    const page = ["find", "redteam/hits", "--json", "--limit", "1"];
    const { output } = await custody.run([...page, ...of]);
    const { _id } = JSON.parse(output) as { _id: string };
    await custody.ask("compact", ...of);
    const proof = await custody.run(["proof", "redteam/hits", _id, ...of]);
    expect(await custody.run(["verify-proof", "-"], { input: proof.output })).toMatchObject({
      exitCode: 0,
    });
    expect(await custody.ask("verify", ...of)).toMatchObject({ ok: true });
  });

  test(
    "a store that is lost is rebuilt, and then equals the journal",
    { timeout: 180_000 },
    async () => {
      await custody.ask("import", REPORT);
      const before = await custody.run(["find", EVIDENCE, "--json"]);
      await custody.loseDocuments();
      await custody.ask("rebuild", "document");
      const after = await custody.run(["find", EVIDENCE, "--json"]);
      expect(before).toMatchObject({ exitCode: 0, errors: "" });
      expect(after).toEqual(before);
      expect(await custody.ask("reconcile", "document")).toMatchObject({ ok: true });
    },
  );
}

function describeInterruptions(make: (onEnd: OnEnd) => Promise<Installation>): void {
  test("one altered byte of a segment is found and named", { timeout: 180_000 }, async () => {
    const custody = await make(onTestFinished);
    await custody.ask("init");
    await custody.ask("import", REPORT, "--no-wait");
    const segment = await custody.alterSegment(1_000);
    const { exitCode, output } = await custody.run(["verify", "--json"]);
    expect(exitCode).toBe(1);
    const { ok, fault } = JSON.parse(output) as { ok: boolean; fault: { at: string } };
    expect(ok).toBe(false);
    expect(segment).toContain(fault.at.replace("segment ", ""));
  });

  test(
    "an import that is interrupted keeps nothing, and runs to its end the next time, with the data directory to itself",
    { timeout: 180_000 },
    async () => {
      const custody = await make(onTestFinished);
      await custody.ask("init");
      const file = await largeReport(custody.directory);
      const { child, ended } = custody.start(["import", file, "--json", "--no-wait"]);
      await custody.untilImporting();
      child.kill("SIGINT");
      const { exitCode, errors } = await ended;
      expect(exitCode).toBe(1);
      expect(JSON.parse(errors)).toMatchObject({ code: "interrupted" });
      expect(await custody.ask("find", "redteam/session_evidence", "--count")).toMatchObject({
        count: 0,
      });
      const again = custody.start(["import", file, "--json", "--no-wait"]);
      const note = join(custody.data, "owner.json");
      await until("the import", async () => {
        const { pid } = JSON.parse(await readFile(note, "utf8")) as { pid: number };
        return pid === again.child.pid;
      });
      const second = await custody.run(["status", "--json"]);
      expect(second.exitCode).toBe(1);
      expect(JSON.parse(second.errors)).toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("is in use by process") as string,
      });
      const { exitCode: code, output } = await again.ended;
      expect(code).toBe(0);
      expect(JSON.parse(output)).toMatchObject({
        files: [{ types: { [EVIDENCE]: { accepted: 255 } } }],
      });
    },
  );
}

/** A report that takes a while to read: one of the examples, with its rows repeated. */
async function largeReport(directory: string): Promise<string> {
  const file = join(directory, "large.report.jsonl");
  const text = await readFile(REPORT, "utf8");
  for (let times = 0; times < 30; times += 1) await appendFile(file, `${text}\n`);
  return file;
}
