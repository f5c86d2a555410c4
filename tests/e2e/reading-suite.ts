import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { example } from "./custody-process.ts";
import type { Installation } from "./custody-process.ts";

const REPORT = example("garak/helpdesk-release-2.report.jsonl");
const EVIDENCE = "redteam/session_evidence";

/** Everything that can be asked, on one installation with one report: reading changes nothing. */
export function describeReading(
  make: (onEnd: (end: () => Promise<void>) => void) => Promise<Installation>,
): void {
  describe("what was imported can be asked for", () => {
    let custody: Installation;
    let imported: unknown;
    /** The first record as `find --json` prints it, and its id. */
    let first: { readonly line: string; readonly id: string };

    beforeAll(async () => {
      custody = await make(afterAll);
      await custody.ask("init");
      imported = await custody.ask("import", REPORT);
      const { output } = await custody.run(["find", EVIDENCE, "--json", "--limit", "1"]);
      first = { line: output, id: (JSON.parse(output) as { _id: string })._id };
    }, 180_000);

    test("import says what became of every row", async () => {
      const sha256 = createHash("sha256")
        .update(await readFile(REPORT))
        .digest("hex");
      expect(imported).toMatchObject({
        files: [
          {
            path: REPORT,
            format: "garak",
            sha256,
            types: {
              [EVIDENCE]: { accepted: 255, duplicates: 0, rejected: 0 },
              "redteam/test_sessions": { accepted: 1, duplicates: 0, rejected: 0 },
            },
            receipts: [{ tenant: "default", isReplay: false }],
          },
        ],
      });
    });

    test("find lists every record, one a line, with its own fields at the top", async () => {
      const { exitCode, output, errors } = await custody.run(["find", EVIDENCE, "--json"]);
      expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: "" });
      const records = output
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(records).toHaveLength(255);
      expect(records[0]).toMatchObject({
        _type: EVIDENCE,
        _id: records[0]?.["id"],
        _version: expect.any(Number) as number,
        model: "function helpdesk#release_2",
      });
    });

    test("find and count keep to the filter", async () => {
      // As many attempts as the tool's own list of hits names.
      expect(
        await custody.ask("find", EVIDENCE, "--count", "--where", "scores.is_hit=true"),
      ).toMatchObject({ count: 62 });
      const filter = '{"probe":"web_injection.TaskXSS","scores.is_hit":{"$ne":true}}';
      expect(await custody.ask("find", EVIDENCE, "--count", "--filter", filter)).toMatchObject({
        count: 0,
      });
    });

    test("pages go on where the last one ended", async () => {
      const words = ["find", EVIDENCE, "--page", "--limit", "200", "--fields", "probe"];
      const start = (await custody.ask(...words)) as { records: unknown[]; cursor: string };
      expect(start.records).toHaveLength(200);
      const last = (await custody.ask(...words, "--cursor", start.cursor)) as {
        records: unknown[];
      };
      expect(last.records).toHaveLength(55);
      expect(last).not.toHaveProperty("cursor");
    });

    test("get gives one record, and 1 when there is none", async () => {
      expect(await custody.ask("get", EVIDENCE, first.id)).toEqual(JSON.parse(first.line));
      const absent = await custody.run(["get", EVIDENCE, "no-such-id", "--json"]);
      expect(absent.exitCode).toBe(1);
      expect(JSON.parse(absent.errors)).toMatchObject({ code: "not-found" });
    });

    test("search finds words, marks them and counts facets", async () => {
      const answer = await custody.ask(
        "search",
        EVIDENCE,
        "ignore instructions",
        "--facet",
        "probe",
      );
      // Counted in the file itself: attempts whose prompt or answer holds both words.
      expect(answer).toMatchObject({
        total: 10,
        facets: { probe: [{ value: "promptinject.HijackLongPrompt", count: 10 }] },
      });
      expect(JSON.stringify(answer)).toMatch(/«ignore»/i);
    });

    test("aggregate, table and SQL agree on how many attempts there were", async () => {
      expect(await custody.ask("aggregate", EVIDENCE, "--measure", "n=count")).toMatchObject({
        rows: [{ n: 255 }],
      });
      expect(await custody.ask("table", "redteam/session_summaries")).toMatchObject({
        rows: [{ attempts: 255, model: "function helpdesk#release_2" }],
      });
      expect(
        await custody.ask("sql", `SELECT count(*)::INT AS n FROM redteam.session_evidence`),
      ).toMatchObject({
        columns: [{ name: "n" }],
        rows: [[255]],
      });
    });

    test("series gives numbers over time", async () => {
      const words = [
        "series",
        "redteam/evaluations",
        "evaluations",
        "--field",
        "total_evaluated",
        "--fn",
        "count",
        "--bucket",
        "1d",
      ];
      expect(await custody.ask(...words)).toMatchObject({
        rows: [{ values: { count_total_evaluated: 20 } }],
      });
    });

    test("the graph leads from the model to what it is vulnerable to", async () => {
      const words = [
        "graph",
        "paths",
        "Model:function helpdesk#release_2",
        "Vulnerability:garak:web_injection.TaskXSS",
      ];
      expect(await custody.ask(...words, "--direction", "both", "--shortest")).toMatchObject({
        paths: [
          {
            nodes: [
              { label: "Model" },
              { label: "Session" },
              { label: "Probe" },
              { label: "Vulnerability" },
            ],
          },
        ],
      });
    });

    test("the original file comes back byte for byte", async () => {
      const file = join(custody.directory, "original.jsonl");
      const { output } = await custody.run(["find", "custody/source_files", "--json"]);
      const { blob } = JSON.parse(output) as { blob: string };
      expect(await custody.run(["blob", "get", blob, "-o", file])).toMatchObject({ exitCode: 0 });
      expect(await readFile(file)).toEqual(await readFile(REPORT));
    });

    test("a record's proof is accepted, and refused once it is altered", async () => {
      const proof = await custody.run(["proof", EVIDENCE, first.id]);
      const accepted = await custody.run(["verify-proof", "-"], { input: proof.output });
      expect(accepted).toMatchObject({ exitCode: 0, errors: "" });
      const altered = proof.output.replace(/"leafIndex": \d+/, '"leafIndex": 9999');
      expect(altered).not.toBe(proof.output);
      const refused = await custody.run(["verify-proof", "-", "--json"], { input: altered });
      expect(refused.exitCode).toBe(1);
      expect(JSON.parse(refused.output)).toMatchObject({ ok: false });
    });

    test("trace shows origin, stores and proof on one page", async () => {
      const page = await custody.run(["trace", EVIDENCE, first.id]);
      expect(page.exitCode).toBe(0);
      for (const part of [
        "helpdesk-release-2.report.jsonl, line",
        "document",
        "present",
        "tree root",
      ]) {
        expect(page.output).toContain(part);
      }
    });

    test("status has an object for each of the ten roles", async () => {
      const status = (await custody.ask("status")) as Record<string, unknown>;
      expect(Object.keys(status).sort()).toEqual([
        "analytics",
        "blob",
        "cache",
        "document",
        "graph",
        "queue",
        "relational",
        "search",
        "series",
        "stream",
      ]);
    });

    test("verify finds nothing wrong", async () => {
      expect(await custody.ask("verify")).toMatchObject({ ok: true, checked: { tenants: 1 } });
    });

    test("another tenant has none of it", async () => {
      const { exitCode, output } = await custody.run([
        "find",
        EVIDENCE,
        "--json",
        "--tenant",
        "other",
      ]);
      expect({ exitCode, output }).toEqual({ exitCode: 0, output: "" });
    });

    test("what is mistyped is answered with what was meant", async () => {
      expect(await custody.run(["find", "redteam/session_evidense"])).toMatchObject({
        exitCode: 2,
        errors: expect.stringContaining("did you mean redteam/session_evidence?") as string,
      });
    });

    test("SQL that would write is refused with a code", async () => {
      const { exitCode, errors } = await custody.run(["sql", "DROP TABLE redteam.hits", "--json"]);
      expect(exitCode).toBe(1);
      expect(JSON.parse(errors)).toMatchObject({ code: "refused" });
    });
  });
}
