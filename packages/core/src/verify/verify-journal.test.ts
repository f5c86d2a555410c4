import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { VerifyReport } from "../reports.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation();
  const { custody } = installation;
  const long = "z".repeat(1_500);
  const put = Array.from({ length: 60 }, (_, index) => ({
    fields: attempt(`v${index}`, { prompt: `${index} ${long}` }),
  }));
  await custody.commit(scope, [{ type: "sample/attempts", put }]);
  for (const risk of [1, 2, 3]) {
    await custody.commit(scope, [
      { type: "sample/assets", put: [{ fields: { name: "db", owner: "ops", risk } }] },
    ]);
  }
});
afterEach(() => installation[Symbol.asyncDispose]());

/** Verifies after the directory was changed behind Custody's back, while it was closed. */
async function verifyAfter(
  change: (directory: string) => Promise<void> | void,
): Promise<VerifyReport> {
  const { directory } = installation;
  const journal = await installation.stores.journal();
  const segments = await journal.segments(scope, undefined, 10);
  await installation.custody[Symbol.asyncDispose]();
  segmentFile = join(directory, "tenants", "acme", "blobs", segments[0]?.blobKey ?? "");
  await change(directory);
  installation = await installation.reopen();
  return installation.custody.verify(scope);
}
let segmentFile = "";

function inJournal(directory: string, sql: string): void {
  const database = new DatabaseSync(join(directory, "journal.sqlite"));
  database.exec(sql);
  database.close();
}

describe("verify", () => {
  test("finds nothing wrong with an untouched journal, and counts what it checked", async () => {
    const report = await installation.custody.verify(scope);
    expect(report).toMatchObject({
      ok: true,
      checked: { tenants: 1, entries: 4, records: 63, segments: 1, treeHeads: 4 },
    });
  });

  test("names the segment of which any one byte was changed, at forty random places", async () => {
    const { length } = readFileSync(
      join(installation.directory, "tenants", "acme", "blobs", await blobKey()),
    );
    for (let round = 0; round < 40; round += 1) {
      const at = Math.floor(Math.random() * length);
      const report = await verifyAfter(() => flip(segmentFile, at));
      expect(report.ok, `byte ${at}`).toBe(false);
      expect(report.fault).toMatchObject({
        kind: "segment",
        at: expect.stringContaining("segment ") as unknown,
      });
      await verifyAfter(() => flip(segmentFile, at));
    }
    expect((await installation.custody.verify(scope)).ok).toBe(true);
  }, 60_000);

  test("names the entry of which a stored byte was changed", async () => {
    const report = await verifyAfter((directory) =>
      inJournal(
        directory,
        "UPDATE entry SET bytes = CAST(replace(bytes, 'user:test', 'user:evil') AS BLOB) WHERE sequence = 2",
      ),
    );
    expect(report.fault).toMatchObject({ kind: "entry", at: "entry 2" });
  });

  test("names an entry that was rewritten with a hash that fits", async () => {
    const report = await verifyAfter((directory) => {
      const database = new DatabaseSync(join(directory, "journal.sqlite"));
      const row = database.prepare("SELECT bytes FROM entry WHERE sequence = 3").get();
      const text = Buffer.from(row?.["bytes"] as Uint8Array)
        .toString("utf8")
        .replace("user:test", "user:evil");
      const bytes = Buffer.from(text);
      const hash = createHash("sha256").update(bytes).digest();
      database.prepare("UPDATE entry SET bytes = ?, hash = ? WHERE sequence = 3").run(bytes, hash);
      database.close();
    });
    expect(report).toMatchObject({
      ok: false,
      fault: { at: expect.stringMatching(/entry [34]|tree head at size 3/) as unknown },
    });
  });

  test("names an entry that is missing", async () => {
    const report = await verifyAfter((directory) =>
      inJournal(directory, "DELETE FROM entry WHERE sequence = 3"),
    );
    expect(report.fault).toMatchObject({ kind: "entry", at: "entry 3" });
  });

  test("finds a journal that was cut off, head row and all", async () => {
    const report = await verifyAfter((directory) =>
      inJournal(directory, "DELETE FROM entry WHERE sequence = 4"),
    );
    expect(report).toMatchObject({ ok: false, fault: { kind: "entry", at: "entry 4" } });
  });

  test("names a tree head of which a byte was changed", async () => {
    const report = await verifyAfter((directory) =>
      inJournal(
        directory,
        "UPDATE tree_head SET head = CAST(replace(head, '\"size\":3', '\"size\":9') AS BLOB) WHERE size = 3",
      ),
    );
    expect(report.fault).toMatchObject({ kind: "tree-head" });
  });

  test("names inline lines that were changed", async () => {
    const report = await verifyAfter((directory) =>
      inJournal(
        directory,
        "UPDATE entry_lines SET lines = zeroblob(length(lines)) WHERE sequence = 2",
      ),
    );
    expect(report.fault).toMatchObject({ at: "entry 2" });
  });

  test("names a column that does not say what the entry says", async () => {
    const report = await verifyAfter((directory) =>
      inJournal(directory, "UPDATE entry SET received_at = received_at + 1 WHERE sequence = 2"),
    );
    expect(report.fault).toMatchObject({
      at: "entry 2",
      reason: expect.stringContaining("receivedAt") as unknown,
    });
  });

  test("names an entry whose records the id index has lost", async () => {
    const report = await verifyAfter((directory) =>
      inJournal(directory, "DELETE FROM record_id WHERE id = 'v7'"),
    );
    expect(report.fault).toMatchObject({ kind: "index", at: "entry 1" });
  });
});

async function blobKey(): Promise<string> {
  const journal = await installation.stores.journal();
  return (await journal.segments(scope, undefined, 1))[0]?.blobKey ?? "";
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 0x01;
  writeFileSync(path, bytes);
}
