import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { beginTimeline, restoreFields } from "../backup/begin-timeline.ts";
import { restoredJournal } from "../backup/restored-journal.ts";
import { zstdCodec } from "./format/codec.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { keysOf } from "../testing/restore-place.ts";
import { samplePack } from "../testing/sample-types.ts";
import { TypeRegistry } from "../records/type-registry.ts";
import type { OldHead } from "./format/entry.ts";
import { requireKnownPoint } from "./timelines.ts";
import type { Timeline } from "./timelines.ts";

describe("a point that is remembered", () => {
  const timelines: readonly Timeline[] = [
    { name: "one", from: 1, to: 4 },
    { name: "two", from: 5, to: 9, oldHead: { timeline: "one", size: 7, root: "a".repeat(64) } },
    { name: "three", from: 10, to: undefined, oldHead: { timeline: "gone", size: 30, root: "" } },
  ];

  test.each([
    ["one", 4],
    ["two", 9],
    ["three", 10],
    ["three", 1_000],
  ])("of timeline %s with %i entries is in the journal", (timeline, size) => {
    expect(() => requireKnownPoint(timelines, { timeline, size })).not.toThrow();
  });

  test.each([
    ["one", 5, /restore at entry 5 left that timeline after its entry 4/],
    ["two", 10, /restore at entry 10 left that timeline after its entry 9/],
    ["gone", 3, /restore at entry 10 left that timeline and took nothing of it over/],
    ["foreign", 1, /^the receipt is of timeline foreign, this journal is of three$/],
  ])("of timeline %s with %i entries is refused by name", (timeline, size, message) => {
    expect(() => requireKnownPoint(timelines, { timeline, size })).toThrow(
      expect.objectContaining({ code: "conflict", message: expect.stringMatching(message) }),
    );
  });
});

describe("a receipt", () => {
  const part = (name: string) => ({
    type: "sample/assets",
    put: [{ fields: { name, owner: "ops", risk: 1 } }],
  });

  test("of entries that the journal has lost, or holds otherwise, is refused", async () => {
    await using installation = await openInstallation();
    const { custody } = installation;
    const receipt = await custody.commit(scope, [part("db")]);
    const { records } = await custody.find(scope, "sample/assets", { after: receipt });
    expect(records).toHaveLength(1);
    for (const head of [
      { ...receipt.head, size: 2 },
      { ...receipt.head, root: "0".repeat(64) },
    ])
      await expect(
        custody.find(scope, "sample/assets", { after: { ...receipt, head } }),
      ).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringMatching(/was an old copy of the data directory/) as unknown,
      });
  });

  test("of another tenant is refused", async () => {
    await using installation = await openInstallation();
    const { custody } = installation;
    await custody.commit(scope, [part("db")]);
    const other = await custody.commit({ ...scope, tenant: "beta" }, [part("db")]);
    await expect(custody.find(scope, "sample/assets", { after: other })).rejects.toMatchObject({
      code: "conflict",
    });
  });

  test("of a journal that was empty holds for ever", async () => {
    await using installation = await openInstallation();
    const { custody } = installation;
    const gone = [{ type: "sample/assets", delete: ["never there"] }];
    const nothing = await custody.commit(scope, gone);
    expect([nothing.entries, nothing.head.size]).toEqual([[], 0]);
    await custody.commit(scope, [part("db")]);
    await custody.catchUp(scope);
    const { records } = await custody.find(scope, "sample/assets", { after: nothing });
    expect(records).toHaveLength(1);
  });
});

describe("verify", () => {
  let installation: Installation;
  beforeEach(async () => {
    installation = await openInstallation();
    await put("db");
  });
  afterEach(() => installation[Symbol.asyncDispose]());

  const put = (name: string) =>
    installation.custody.commit(scope, [
      { type: "sample/assets", put: [{ fields: { name, owner: "ops", risk: 1 } }] },
    ]);

  /** Begins a timeline that says of the one before what is given. */
  async function restoreSaying(timeline: string, old: Partial<OldHead>): Promise<string> {
    const journal = await installation.stores.journal();
    const blob = await installation.stores.blob();
    const head = await journal.head(scope);
    const { head: signed } = await put("db");
    await using keys = await keysOf(installation);
    const runtime = {
      clock: () => installation.clock.nowMs,
      random: (length: number) => new Uint8Array(length),
      sleep: () => Promise.resolve(),
      codec: zstdCodec,
      user: "os:test",
    };
    const target = { journal, blob, keys, runtime, registry: new TypeRegistry([samplePack]) };
    const { lines } = restoredJournal({ ...target, isSealed: true });
    const { size, root } = signed;
    const oldHead = { timeline: signed.timeline, size, root, ...old };
    const marker = {
      backup: "b1",
      repository: "r1",
      asked: "its end",
      timeline,
      actor: "os:test",
      startedAt: installation.clock.nowMs,
    };
    const cut = { sequence: size, receivedAt: undefined };
    const fields = restoreFields(marker, cut, oldHead);
    await beginTimeline({ ...target, lines }, scope, head, { fields, oldHead });
    const report = await installation.custody.verify(scope);
    return report.fault === undefined ? "whole" : `${report.fault.at}: ${report.fault.reason}`;
  }

  test("follows a restore from one timeline into the next", async () => {
    expect(await restoreSaying("later", {})).toBe("whole");
  });

  test("finds a restore that does not tell the truth of the entries before it", async () => {
    expect(await restoreSaying("later", { root: "0".repeat(64) })).toMatch(
      /^entry 2: the old head it names is not one of the entries before it/,
    );
  });

  test("finds a timeline that comes again", async () => {
    const { timeline } = await put("other");
    expect(await restoreSaying(timeline, { timeline: "elsewhere" })).toMatch(
      /^entry 3: it begins a timeline that was there before/,
    );
  });

  test("finds an entry of another timeline that no restore began", async () => {
    const { directory } = installation;
    await installation.custody[Symbol.asyncDispose]();
    const database = new DatabaseSync(join(directory, "journal.sqlite"));
    database.exec("UPDATE head SET timeline = 'stolen'");
    database.close();
    installation = await installation.reopen();
    await put("web");
    expect((await installation.custody.verify(scope)).fault).toMatchObject({
      at: "entry 2",
      reason: "it is of another timeline, and no restore began that",
    });
  });

  test("finds a head row that names another timeline than the last entry", async () => {
    const { directory } = installation;
    await installation.custody[Symbol.asyncDispose]();
    const database = new DatabaseSync(join(directory, "journal.sqlite"));
    database.exec("UPDATE head SET timeline = 'stolen'");
    database.close();
    installation = await installation.reopen();
    expect((await installation.custody.verify(scope)).fault).toMatchObject({
      at: "the head row",
      reason: "its timeline is not that of the last entry",
    });
  });
});
