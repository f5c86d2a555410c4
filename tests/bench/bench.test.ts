import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { sessionEvidence } from "@custody/packs/redteam/types/session-evidence";

import { runChild } from "../../bench/child-run.ts";
import type { ChildRun } from "../../bench/child-run.ts";
import { writeEvidence } from "../../bench/generate.ts";
import { lineBatches, parsedLines } from "../../bench/record-lines.ts";

const RECORDS = 500;
let root = "";
let input = "";

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "custody-bench-test-"));
  input = join(root, "evidence.jsonl");
  writeEvidence(input, { records: RECORDS, seed: 1 });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("the generator", () => {
  test("the same seed gives the same bytes, and another seed others", () => {
    const again = join(root, "again.jsonl");
    writeEvidence(again, { records: RECORDS, seed: 1 });
    expect(readFileSync(again).equals(readFileSync(input))).toBe(true);
    writeEvidence(again, { records: RECORDS, seed: 2 });
    expect(readFileSync(again).equals(readFileSync(input))).toBe(false);
  });

  test("the bytes of seed 1 are the ones that results were measured on", () => {
    const digest = createHash("sha256").update(readFileSync(input)).digest("hex");
    expect(digest).toBe("4d0d6ea5bd9a4a32a511287b25666b740ea9cac843a83306d56d8a76dbb88a5f");
  });

  test("a smaller file is the beginning of a larger one", () => {
    const smaller = join(root, "smaller.jsonl");
    const bytes = writeEvidence(smaller, { records: 100, seed: 1 });
    expect(readFileSync(input).subarray(0, bytes).equals(readFileSync(smaller))).toBe(true);
  });

  test("every record is one of the type that is measured", () => {
    const refused: unknown[] = [];
    for (const batch of lineBatches(input, 64)) {
      const records = parsedLines(batch);
      refused.push(
        ...records.filter((record) => !sessionEvidence.schema.safeParse(record).success),
      );
    }
    expect(refused).toEqual([]);
  });

  test("batches have so many lines each, and the last what is left", () => {
    const sizes = [...lineBatches(input, 200)].map(({ first, lines }) => [first, lines.length]);
    expect(sizes).toEqual([
      [1, 200],
      [201, 200],
      [401, 100],
    ]);
  });
});

test("baseline and Custody hold the same records, and Custody's are reconciled and verified", async () => {
  const request = { input, records: RECORDS, durability: "durable" } as const;
  const [raw, custody] = [join(root, "raw"), join(root, "custody")];
  const baseline = await runChild("./baseline/baseline-run.ts", { ...request, directory: raw });
  expect(baseline.facts).toMatchObject({ records: 500 });
  const count = (file: string, sql: string): unknown => {
    const database = new DatabaseSync(join(raw, file), { readOnly: true });
    const row = database.prepare(sql).get();
    database.close();
    return row?.["n"];
  };
  expect(count("document.sqlite", "SELECT count(*) AS n FROM document")).toBe(500);
  expect(count("search.sqlite", "SELECT count(*) AS n FROM filter")).toBe(500);
  expect(count("relational.sqlite", "SELECT count(*) AS n FROM session_summary")).toBe(3);
  expect(count("relational.sqlite", "SELECT sum(attempts) AS n FROM session_summary")).toBe(500);

  const { facts } = await runChild("./custody-run.ts", { ...request, directory: custody });
  expect(facts).toMatchObject({ records: 500, differences: 0, isVerified: true, quarantined: 0 });
  const held = facts["reconciled"] as readonly { role: string; name: string; records: number }[];
  const recordsOf = (role: string): number | undefined =>
    held.find((one) => one.role === role && one.name.startsWith("redteam/session_"))?.records;
  expect(["document", "search", "analytics", "series"].map(recordsOf)).toEqual([
    500, 500, 500, 500,
  ]);
  expect(recordsOf("relational")).toBe(3);
}, 120_000);

describe("the benchmark of backups", () => {
  const run = (program: string, records: number): Promise<ChildRun> =>
    runChild(`./backup-${program}-run.ts`, {
      input,
      directory: join(root, "backup"),
      records,
      durability: "durable",
      backup: { rounds: 1, roundRecords: 100, repository: join(root, "backup", "repository") },
    });

  test("every record that was committed beside a backup is acknowledged", async () => {
    mkdirSync(join(root, "backup"));
    const { facts } = await run("ingest", 200);
    expect(facts["stretches"]).toMatchObject([
      { beside: "nothing", records: 100, backups: 0 },
      { beside: "full", records: 100 },
      { beside: "continuous", records: 100 },
    ]);
  }, 120_000);

  test("what was backed up is restored whole, and its backup verified", async () => {
    rmSync(join(root, "backup"), { recursive: true, force: true });
    mkdirSync(join(root, "backup"));
    expect((await run("fill", RECORDS)).facts).toMatchObject({ records: 500 });
    expect((await run("create", RECORDS)).facts).toMatchObject({ objects: 5 });
    expect((await run("restore", RECORDS)).facts).toMatchObject({
      records: 500,
      isReconciled: true,
    });
    const { facts } = await run("speed", RECORDS);
    expect(facts["rounds"]).toMatchObject([{ isVerified: true }]);
  }, 120_000);

  test("the backup of the keys has a key for each person", async () => {
    rmSync(join(root, "backup"), { recursive: true, force: true });
    mkdirSync(join(root, "backup"));
    expect((await run("keys", 20)).facts).toMatchObject({ keys: 20 });
  }, 60_000);
});
