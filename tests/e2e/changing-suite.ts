import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { example, untilExists } from "./custody-process.ts";
import type { Installation } from "./custody-process.ts";

const REPORT = example("garak/helpdesk-release-2.report.jsonl");
const HITS = example("garak/helpdesk-release-2.hitlog.jsonl");
const EVIDENCE = "redteam/session_evidence";

/** What changes an installation, or damages it: each test on one of its own. */
export function describeChanging(make: () => Promise<Installation>): void {
  describe("what is written is written once, and what is damaged is found", () => {
    test(
      "a file is imported once, whatever it is called and wherever it comes from",
      { timeout: 180_000 },
      async () => {
        const custody = await make();
        await custody.ask("init");
        await custody.ask("import", HITS, "--no-wait");
        const again = await custody.run(["import", "-", "--json"], {
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
        expect(await custody.ask("find", "redteam/hits", "--count")).toMatchObject({ count: 62 });
      },
    );

    test(
      "a malformed file leaves nothing behind, and its place is named",
      { timeout: 180_000 },
      async () => {
        const custody = await make();
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

    test(
      "a lost key file is written anew from the recovery key",
      { timeout: 180_000 },
      async () => {
        const custody = await make();
        const { recoveryKey } = (await custody.ask("init")) as { recoveryKey: string };
        await custody.ask("import", HITS, "--no-wait");
        await rm(custody.keyFile);
        const without = await custody.run(["verify", "--json"]);
        expect(without.exitCode).toBe(1);
        expect(JSON.parse(without.errors)).toMatchObject({ code: "no-key" });
        const recovered = await custody.run(["keys", "recover"], { input: `${recoveryKey}\n` });
        expect(recovered).toMatchObject({ exitCode: 0 });
        expect(await custody.ask("verify")).toMatchObject({ ok: true });
      },
    );

    test("one altered byte of a segment is found and named", { timeout: 180_000 }, async () => {
      const custody = await make();
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
      "a store that is lost is rebuilt, and then equals the journal",
      { timeout: 180_000 },
      async () => {
        const custody = await make();
        await custody.ask("init");
        await custody.ask("import", REPORT);
        const before = await custody.run(["find", EVIDENCE, "--json"]);
        await custody.loseDocuments();
        await custody.ask("rebuild", "document");
        const after = await custody.run(["find", EVIDENCE, "--json"]);
        expect(after).toEqual(before);
        expect(await custody.ask("reconcile", "document")).toMatchObject({ ok: true });
      },
    );

    test("compacting keeps every record and every proof", { timeout: 180_000 }, async () => {
      const custody = await make();
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
      { timeout: 180_000 },
      async () => {
        const custody = await make();
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
        expect(await custody.ask("import", file, "--no-wait")).toMatchObject({
          files: [{ types: { [EVIDENCE]: { accepted: 255 } } }],
        });
      },
    );

    test("two processes do not use one data directory at once", { timeout: 180_000 }, async () => {
      const custody = await make();
      await custody.ask("init");
      const file = await largeReport(custody.directory);
      const { ended } = custody.start(["import", file, "--json", "--no-wait"]);
      await untilExists(join(custody.data, "owner.json"));
      const second = await custody.run(["status", "--json"]);
      expect(second.exitCode).toBe(1);
      expect(JSON.parse(second.errors)).toMatchObject({ code: "unavailable" });
      expect(await ended).toMatchObject({ exitCode: 0 });
    });
  });
}

/** A report that takes a while to read: one of the examples, with its rows repeated. */
async function largeReport(directory: string): Promise<string> {
  const file = join(directory, "large.report.jsonl");
  const text = await readFile(REPORT, "utf8");
  for (let times = 0; times < 30; times += 1) await appendFile(file, `${text}\n`);
  return file;
}
