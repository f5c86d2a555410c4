import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ImportError } from "@custody/contract/importer";
import type { Importer, ImportRow, Source } from "@custody/contract/importer";
import { defineRecordType } from "@custody/contract/record-type";
import { z } from "zod";

import type { ImportReport } from "../custody.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { assets, attempt, attempts, samplePack, users } from "../testing/sample-types.ts";
import type { OpenSource, SourceReading } from "./source-reading.ts";

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation({ reading });
});
afterEach(() => installation[Symbol.asyncDispose]());

/** One JSON object a line; `!` begins a line that is no row. */
const lineImporter: Importer = {
  name: "lines",
  version: 1,
  title: "one record a line",
  types: [attempts.name, assets.name],
  detect: ({ text }) => (text.startsWith("{") ? 1 : 0),
  async *read(source, { isLenient }): AsyncGenerator<ImportRow> {
    yield { kind: "tool", name: "line-tool", version: "3.1" };
    for await (const { number, text } of source.lines()) {
      const at = `line ${number}`;
      if (text.startsWith("!")) {
        if (!isLenient) throw new ImportError("malformed", `${at} is no row`, { at });
        yield { kind: "rejected", at, reason: "no row", text };
      } else {
        const fields = JSON.parse(text) as Record<string, unknown>;
        yield { kind: "record", type: "risk" in fields ? assets.name : attempts.name, fields, at };
      }
    }
  },
};

const reading: SourceReading = {
  importers: [lineImporter],
  open: async (bytes, { name }) => openLines(bytes, name),
  detect: (head, [importer]) => {
    if (importer !== undefined && importer.detect(head) > 0) return importer;
    throw new ImportError("unknown-format", "no importer knows this");
  },
};

async function openLines(bytes: AsyncIterable<Uint8Array>, name: string): Promise<OpenSource> {
  const parts: Uint8Array[] = [];
  for await (const part of bytes) parts.push(part);
  const whole = Buffer.concat(parts).toString("utf8");
  const lines: Source["lines"] = async function* () {
    for (const [index, text] of whole.trimEnd().split("\n").entries())
      yield { number: index + 1, text };
  };
  return {
    name,
    head: { name, text: whole.slice(0, 64), isWhole: true },
    lines,
    text: () => bytesOf(whole, (text) => text),
    json: () => bytesOf("", () => ({ path: "", pointer: "", value: null })),
    async [Symbol.asyncDispose]() {
      // Nothing is held open.
    },
  };
}

async function* bytesOf<Value>(text: string, map: (text: string) => Value): AsyncGenerator<Value> {
  if (text !== "") yield map(text);
}

const file = (...rows: readonly unknown[]): (() => AsyncIterable<Uint8Array>) => {
  const text = rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n");
  return () => bytesOf(text, (one) => Buffer.from(`${one}\n`));
};

const run = (open: () => AsyncIterable<Uint8Array>, options: object = {}): Promise<ImportReport> =>
  installation.custody.import(scope, open, { name: "evidence.jsonl", ...options });

const many = (count: number, changes: object = {}): unknown[] =>
  Array.from({ length: count }, (_, index) =>
    attempt(`m${index}`, { prompt: "p".repeat(400), ...changes }),
  );

describe("an import", () => {
  test("commits every row and the file itself, and each record leads back to its line", async () => {
    const { custody } = installation;
    const report = await run(
      file(attempt("a1"), attempt("a2"), { name: "db", owner: "ops", risk: 1 }),
    );
    expect(report).toMatchObject({
      format: "lines",
      tool: "line-tool",
      toolVersion: "3.1",
      isReplay: false,
      types: {
        "sample/attempts": { accepted: 2, duplicates: 0, rejected: 0 },
        "sample/assets": { accepted: 1, duplicates: 0, rejected: 0 },
      },
    });
    const trace = await custody.trace(scope, "sample/attempts", "a2");
    expect(trace.source).toMatchObject({
      name: "evidence.jsonl",
      sha256: report.sha256,
      place: "line 2",
    });
    expect(trace.entry).toMatchObject({ tool: "line-tool 3.1", importer: "lines (mapping 1)" });
    const original = await custody.blob.get(scope, trace.source?.blob ?? "");
    const bytes: Uint8Array[] = [];
    for await (const chunk of original ?? []) bytes.push(chunk);
    expect(Buffer.concat(bytes).toString("utf8")).toContain('"id":"a1"');
  });

  test("of thousands of rows is one commit, in several segments", async () => {
    const report = await run(file(...many(5_000)));
    expect(report.types["sample/attempts"]?.accepted).toBe(5_000);
    expect(new Set(report.receipts.map(({ commit }) => commit)).size).toBe(1);
    expect((await installation.custody.count(scope, "sample/attempts")).count).toBe(5_000);
    expect((await installation.custody.verify(scope)).ok).toBe(true);
  });

  test("of the same file again adds nothing and says so", async () => {
    const rows = file(...many(10));
    await run(rows);
    const { custody } = installation;
    const records = async (): Promise<number> => {
      await custody.catchUp(scope);
      return (await custody.status(scope)).roles.document.records;
    };
    const before = await records();
    const again = await run(rows);
    expect(again).toMatchObject({
      isReplay: true,
      types: { "sample/attempts": { accepted: 0, duplicates: 10 } },
    });
    // Only the audit entry of the second import is new.
    expect(await records()).toBe(before + 1);
  });

  test("of a newer file updates what changed and counts the rest as known", async () => {
    const asset = (name: string, risk: number): object => ({ name, owner: "ops", risk });
    await run(file(asset("db", 1), asset("web", 1)));
    const report = await run(file(asset("db", 5), asset("web", 1)));
    expect(report.types["sample/assets"]).toEqual({ accepted: 1, duplicates: 1, rejected: 0 });
    expect((await installation.custody.get(scope, "sample/assets", "db"))?.fields["risk"]).toBe(5);
  });

  test("of a file by a newer mapping corrects what the older one made of it", async () => {
    const rows = file(attempt("a1"), attempt("a2"));
    const first = await run(rows);
    const newer: Importer = {
      ...lineImporter,
      version: 2,
      async *read(source, context): AsyncGenerator<ImportRow> {
        for await (const row of lineImporter.read(source, context)) {
          if (row.kind !== "record" || row.fields["id"] !== "a2") yield row;
          else yield { ...row, fields: { ...row.fields, score: 1 } };
        }
      },
    };
    installation = await installation.reopen({ reading: { ...reading, importers: [newer] } });
    const report = await run(rows);
    expect(report.types["sample/attempts"]).toEqual({ accepted: 1, duplicates: 1, rejected: 0 });
    expect(report.receipts[0]?.entries[0]?.operation).toBe("correction");
    const entry = await (
      await installation.stores.journal()
    ).entry(scope, report.receipts[0]?.entries[0]?.sequence ?? 0);
    expect(JSON.parse(Buffer.from(entry?.bytes ?? []).toString("utf8"))).toMatchObject({
      supersedes: first.receipts[0]?.commit,
    });
    expect((await installation.custody.get(scope, "sample/attempts", "a2"))?.fields["score"]).toBe(
      1,
    );
    expect((await installation.custody.reconcile(scope)).ok).toBe(true);
  });

  test("counts a record that comes twice in one file once", async () => {
    const report = await run(file(attempt("a1"), attempt("a1")));
    expect(report.types["sample/attempts"]).toEqual({ accepted: 1, duplicates: 1, rejected: 0 });
  });
});

describe("a bad file", () => {
  const nothingLeft = async (): Promise<void> => {
    const { custody, stores } = installation;
    expect((await custody.find(scope, "sample/attempts")).records).toEqual([]);
    expect((await custody.find(scope, "custody/source_files")).records).toEqual([]);
    expect((await (await stores.blob()).usage(scope)).blobs).toBe(0);
    expect(await (await stores.journal()).listState(scope, "staging/")).toEqual([]);
  };

  test("imports nothing and names the line", async () => {
    await expect(run(file(...many(3_000), "! not a row"))).rejects.toMatchObject({
      code: "malformed",
      at: "line 3001",
    });
    await nothingLeft();
  });

  test("with a row that is no valid record imports nothing and names the line and the field", async () => {
    const bad = { ...attempt("a2"), score: "high" };
    await expect(run(file(attempt("a1"), bad))).rejects.toMatchObject({
      code: "malformed",
      at: "line 2",
      message: expect.stringContaining("score") as unknown,
    });
    await nothingLeft();
  });

  test("of unknown format is refused", async () => {
    await expect(run(file("plain text"))).rejects.toMatchObject({ code: "unknown-format" });
    await nothingLeft();
  });

  test("gives its good rows when told to, and keeps the others with their reasons", async () => {
    const rows = file(
      attempt("a1"),
      "! not a row",
      { ...attempt("a2"), score: "high" },
      attempt("a3"),
    );
    const report = await run(rows, { isLenient: true });
    expect(report.types["sample/attempts"]).toEqual({ accepted: 2, duplicates: 0, rejected: 1 });
    expect(report.rejections.map(({ at }) => at).toSorted()).toEqual(["line 2", "line 3"]);
    const kept = await installation.custody.find(scope, "custody/rejected_inputs");
    const texts = new Map(kept.records.map(({ fields }) => [fields["at"], fields["text"]]));
    expect(texts.get("line 2")).toBe("! not a row");
    expect(texts.get("line 3")).toContain('"score":"high"');
    expect(texts.size).toBe(2);
  });
});

describe("an interrupted import", () => {
  test("goes on where it was and ends as if it had never stopped", async () => {
    const rows = file(...many(90_000));
    const abort = new AbortController();
    const onProgress = ({ rows: done }: { rows: number }): void => {
      if (done >= 60_000) abort.abort();
    };
    await expect(run(rows, { signal: abort.signal, onProgress })).rejects.toThrow("aborted");
    const staged = await (await installation.stores.journal()).listState(scope, "staging/");
    expect(staged.length).toBeGreaterThan(1);
    installation = await installation.reopen({ reading });
    const report = await run(rows);
    expect(report.types["sample/attempts"]).toEqual({
      accepted: 90_000,
      duplicates: 0,
      rejected: 0,
    });
    expect((await (await installation.stores.journal()).listState(scope, "staging/")).length).toBe(
      0,
    );
    expect((await installation.custody.verify(scope)).ok).toBe(true);
  }, 120_000);

  test("that goes on after an upgrade keeps what it had staged as records of the earlier version", async () => {
    const staging = { rowsPerStep: 1, segmentBytes: 1 };
    const rows = file(
      { name: "gateway", owner: "ana", risk: 1 },
      { name: "billing", owner: "bo", risk: 2, tier: "gold" },
    );
    installation = await installation.reopen({ reading, settings: { staging } });
    const abort = new AbortController();
    const onProgress = ({ rows: done }: { rows: number }): void => {
      if (done >= 2) abort.abort();
    };
    await expect(run(rows, { signal: abort.signal, onProgress })).rejects.toThrow("aborted");
    const later = defineRecordType({
      name: assets.name,
      version: 2,
      title: assets.title,
      mode: "versioned",
      schema: z.object({ name: z.string(), owner: z.string(), risk: z.number(), tier: z.string() }),
      id: { field: "name" },
      placements: { document: { indexes: [["tier"]] } },
      previous: assets,
      upcast: (fields) => ({ ...fields, tier: "none" }),
    });
    const packs = [{ ...samplePack, types: [attempts, later, users], summaries: [] }];
    installation = await installation.reopen({ reading, packs, settings: { staging } });
    await run(rows);
    const { custody } = installation;
    const tiers = ["gateway", "billing"].map(
      async (name) => (await custody.get(scope, assets.name, name))?.fields["tier"],
    );
    expect(await Promise.all(tiers)).toEqual(["none", "gold"]);
    const found = await custody.find(scope, assets.name, { filter: { tier: "none" } });
    expect(found.records.map(({ id }) => id)).toEqual(["gateway"]);
  });
});
