// Kills a real process at a moment nobody chose, opens the directory again, and checks every promise.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Custody } from "@custody/core/custody";
import { initCustody, openCustody } from "@custody/server/compose";
import type { OpenCustodyOptions } from "@custody/server/compose";
import type { EngineUrls } from "@custody/server/open-stores";

import { garakFile } from "./garak-file.ts";

const scope = { tenant: "acme", actor: "user:test", deadline: Number.POSITIVE_INFINITY };

let root = "";
let place: OpenCustodyOptions = { dataDirectory: "", keyFile: "" };

/** Runs a program against the directory and kills it once it has printed so many lines. */
async function killAfter(program: string, lines: number): Promise<readonly string[]> {
  const source = `
    import { openCustody } from "@custody/server/compose";
    const custody = await openCustody(${JSON.stringify(place)});
    const scope = { tenant: "acme", actor: "user:test", deadline: Infinity };
    ${program}`;
  const file = join(import.meta.dirname, `.program-${process.pid}-${lines}.mts`);
  await writeFile(file, source);
  const child = spawn(
    process.execPath,
    ["--conditions=source", "--disable-warning=ExperimentalWarning", file],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const ended = new Promise((resolve) => child.once("close", resolve));
  const printed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (printed.length === lines) child.kill("SIGKILL");
  }
  await ended;
  await rm(file);
  expect(child.signalCode).toBe("SIGKILL");
  return printed;
}

async function checkPromises(custody: Custody): Promise<void> {
  expect(await custody.verify(scope)).toMatchObject({ ok: true });
  await custody.catchUp(scope);
  const report = await custody.reconcile(scope);
  expect(report.projections.filter(({ differences }) => differences > 0)).toEqual([]);
}

const RECORD = `const record = (n) => ({ fields: { id: "r" + String(n).padStart(7, "0"), session_id: "s", observed_at: "2026-03-04T05:06:07.000Z",
  model: "aurora", probe: "p." + (n % 7), scores: [{ scorer: "refusal", type: "true_false", value: n % 2 === 0 }],
  vulnerability_ids: ["V-" + (n % 5)], labels: {}, converters: [], latency_ms: n % 100, tokens: 10,
  prompt: { turns: [{ role: "user", content: "please number " + n }] }, response: { content: "x".repeat(SIZE) } } });`;

/** Where an installation's stores are, told anew for each test, and taken away at its end. */
export type MakeEngines = () => EngineUrls | Promise<EngineUrls>;

/** The promises that hold when a process is killed, for an installation on the given engines. */
export function describeKill(makeEngines: MakeEngines): void {
  describe("a process killed with SIGKILL", () => {
    beforeEach(async () => {
      root = await mkdtemp(join(tmpdir(), "custody-crash-"));
      place = {
        dataDirectory: join(root, "data"),
        keyFile: join(root, "root.key"),
        engines: await makeEngines(),
      };
      await initCustody(place);
    });
    afterEach(() => rm(root, { recursive: true, force: true }));

    test.each([3, 17, 40])(
      "while it commits, after %i receipts: every acknowledged record is there, once, and nothing is half there",
      async (lines) => {
        const size = lines === 17 ? 4_000 : 40;
        const printed = await killAfter(
          `${RECORD.replace("SIZE", String(size))}
        for (let n = 0; ; n += 20) {
          const put = Array.from({ length: 20 }, (_, index) => record(n + index));
          const receipt = await custody.commit(scope, [{ type: "redteam/session_evidence", put }]);
          console.log(n + " " + receipt.entries[0].sequence);
        }`,
          lines,
        );
        await using custody = await openCustody(place);
        for (const line of printed) {
          const first = Number(line.split(" ")[0]);
          const id = `r${String(first + 19).padStart(7, "0")}`;
          expect((await custody.get(scope, "redteam/session_evidence", id))?.id).toBe(id);
        }
        await checkPromises(custody);
        const { count } = await custody.count(scope, "redteam/session_evidence");
        // A commit that was not acknowledged may be there, but only whole.
        expect(count % 20).toBe(0);
        expect(count).toBeGreaterThanOrEqual(printed.length * 20);
      },
      180_000,
    );

    test("while its stores are being filled: they go on where they were and equal the journal", async () => {
      await killAfter(
        `${RECORD.replace("SIZE", "1000")}
      for (let n = 0; n < 6_000; n += 1_000) {
        const put = Array.from({ length: 1_000 }, (_, index) => record(n + index));
        await custody.commit(scope, [{ type: "redteam/session_evidence", put }]);
        console.log(n);
      }
      await custody.catchUp(scope);`,
        6,
      );
      await using custody = await openCustody(place);
      await checkPromises(custody);
      expect((await custody.count(scope, "redteam/session_evidence")).count).toBe(6_000);
    }, 180_000);

    test("in the middle of an import: nothing of the file is there, and importing it again brings all of it", async () => {
      const file = join(root, "run.report.jsonl");
      await writeFile(file, garakFile("run", 16_000, 400));
      const importing = `
      import { createReadStream } from "node:fs";
      let told = 0;
      await custody.import(scope, () => createReadStream(${JSON.stringify(file)}), {
        name: "run.report.jsonl",
        onProgress: ({ rows }) => { if (rows >= 8_000 && told++ < 3) console.log(rows); },
      });`;
      await killAfter(importing, 2);
      {
        await using custody = await openCustody(place);
        expect((await custody.find(scope, "redteam/session_evidence")).records).toEqual([]);
        await checkPromises(custody);
      }
      await using custody = await openCustody(place);
      const { createReadStream } = await import("node:fs");
      const report = await custody.import(scope, () => createReadStream(file), {
        name: "run.report.jsonl",
      });
      expect(report.types["redteam/session_evidence"]).toEqual({
        accepted: 16_000,
        duplicates: 0,
        rejected: 0,
      });
      await checkPromises(custody);
    }, 300_000);
  });
}
