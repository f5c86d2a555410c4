import { expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { TENANT_A, commitEntries, hashOf } from "./conformance-journal-fixture.ts";
import type { JournalStore, QuarantineRow, SegmentRow, TakenIntent } from "./journal.ts";

const CONFLICT = { name: "StoreError", code: "conflict" };

function segmentOf(segmentId: string): SegmentRow {
  return {
    segmentId,
    blobKey: `segments/${segmentId}.zst`,
    bytes: 4_294_967_296,
    lines: 1_000,
    hash: hashOf(segmentId),
    period: "2026-01",
  };
}

function takenOf(segmentId: string): TakenIntent {
  return { segmentId, blobKey: `segments/${segmentId}.zst` };
}

/** Segments, intents, receipts, state and quarantine. */
export function describeJournalState(current: () => JournalStore): void {
  const other = scopeFor("tenant-b");
  const intend = (segmentId: string, expiresAt: number) =>
    current().putIntent(TENANT_A, { segmentId, blobKey: `segments/${segmentId}.zst`, expiresAt });

  test("a commit uses its intents up and puts its segments into the catalogue", async () => {
    const store = current();
    await intend("s1", 5_000);
    await intend("s2", 5_000);
    const location = { kind: "segment" as const, segmentId: "s1", firstLine: 7 };
    await commitEntries(store, [{ location }], {
      segments: [segmentOf("s1"), segmentOf("s2")],
      intents: ["s1", "s2"],
    });
    expect((await store.entry(TENANT_A, 1))?.location).toEqual(location);
    expect(await store.segment(TENANT_A, "s1")).toEqual(segmentOf("s1"));
    expect(await store.segment(TENANT_A, "s3")).toBeUndefined();
    expect(await store.segment(other, "s1")).toBeUndefined();
    expect(await store.segments(TENANT_A, undefined, 1)).toEqual([segmentOf("s1")]);
    expect(await store.segments(TENANT_A, "s1", 9)).toEqual([segmentOf("s2")]);
    expect(await store.takeExpiredIntents(TENANT_A, 9_000, 10)).toEqual([]);
  });

  test("a commit whose intent was collected is refused", async () => {
    const store = current();
    await intend("s1", 100);
    expect(await store.takeExpiredIntents(TENANT_A, 101, 10)).toHaveLength(1);
    const commit = commitEntries(store, [{}], { segments: [segmentOf("s1")], intents: ["s1"] });
    await expect(commit).rejects.toMatchObject(CONFLICT);
    expect(await store.segment(TENANT_A, "s1")).toBeUndefined();
    expect(await store.head(TENANT_A)).toBeUndefined();
  });

  test("expired intents are taken, oldest first; renewed and dropped ones are not", async () => {
    const store = current();
    await intend("s1", 300);
    await intend("s2", 100);
    await intend("s3", 200);
    await intend("s4", 400);
    await intend("s5", 100);
    await store.dropIntents(TENANT_A, ["s5", "none"]);
    expect(await store.renewIntents(TENANT_A, ["s1"], 1_000)).toBe(true);
    expect(await store.renewIntents(TENANT_A, ["s2", "none"], 1_000)).toBe(false);
    expect(await store.takeExpiredIntents(other, 500, 10)).toEqual([]);
    expect(await store.takeExpiredIntents(TENANT_A, 400, 1)).toEqual([takenOf("s2")]);
    await store.dropIntents(TENANT_A, ["s2"]);
    expect(await store.takeExpiredIntents(TENANT_A, 400, 10)).toEqual([takenOf("s3")]);
    await store.dropIntents(TENANT_A, ["s3"]);
    expect(await store.takeExpiredIntents(TENANT_A, 400, 10)).toEqual([]);
  });

  test("a taken intent is answered until it is dropped, before those that expire later", async () => {
    const store = current();
    await intend("s1", 200);
    expect(await store.takeExpiredIntents(TENANT_A, 201, 10)).toEqual([takenOf("s1")]);
    await intend("s0", 100);
    expect(await store.takeExpiredIntents(TENANT_A, 50, 10)).toEqual([takenOf("s1")]);
    expect(await store.takeExpiredIntents(TENANT_A, 201, 1)).toEqual([takenOf("s1")]);
    expect(await store.takeExpiredIntents(TENANT_A, 201, 10)).toEqual([
      takenOf("s1"),
      takenOf("s0"),
    ]);
    await store.dropIntents(TENANT_A, ["s1"]);
    expect(await store.takeExpiredIntents(TENANT_A, 201, 10)).toEqual([takenOf("s0")]);
  });

  test("a taken intent is not renewed, not put again, and used by no commit or relocation", async () => {
    const store = current();
    await commitEntries(store, [{ lines: hashOf("lines") }]);
    await intend("s1", 5_000);
    await intend("s2", 5_000);
    await store.takeIntents(TENANT_A, ["s1", "none"]);
    expect(await store.renewIntents(TENANT_A, ["s2", "s1"], 9_000)).toBe(false);
    await intend("s1", 9_000);
    const commit = commitEntries(store, [{}], { segments: [segmentOf("s1")], intents: ["s1"] });
    await expect(commit).rejects.toMatchObject(CONFLICT);
    const entries = [{ sequence: 1, from: { kind: "inline" as const }, firstLine: 0 }];
    const moved = store.relocate(TENANT_A, { segment: segmentOf("s1"), entries, dropped: [] });
    await expect(moved).rejects.toMatchObject(CONFLICT);
    expect(await store.segment(TENANT_A, "s1")).toBeUndefined();
    expect(await store.takeExpiredIntents(TENANT_A, 4_000, 10)).toEqual([takenOf("s1")]);
  });

  test("relocated entries lie in the new segment, and nothing else of them changes", async () => {
    const store = current();
    await intend("old", 5_000);
    const location = { kind: "segment" as const, segmentId: "old", firstLine: 0 };
    await commitEntries(store, [{ lines: hashOf("lines") }, { location }], {
      segments: [segmentOf("old")],
      intents: ["old"],
    });
    const before = await store.entries(TENANT_A, { after: 0, limit: 10 });
    const entries = [
      { sequence: 1, from: { kind: "inline" as const }, firstLine: 0 },
      { sequence: 2, from: location, firstLine: 5 },
    ];
    const change = { segment: segmentOf("new"), entries, dropped: ["old"] };
    await expect(store.relocate(TENANT_A, change)).rejects.toMatchObject(CONFLICT);
    await intend("new", 5_000);
    const moved = entries.map((entry) => ({ ...entry, from: { kind: "inline" as const } }));
    const stale = store.relocate(TENANT_A, { ...change, entries: moved });
    await expect(stale).rejects.toMatchObject(CONFLICT);
    expect(await store.entries(TENANT_A, { after: 0, limit: 10 })).toEqual(before);
    await store.relocate(TENANT_A, change);
    expect(await store.entries(TENANT_A, { after: 0, limit: 10 })).toEqual([
      { ...before[0], location: { kind: "segment", segmentId: "new", firstLine: 0 } },
      { ...before[1], location: { kind: "segment", segmentId: "new", firstLine: 5 } },
    ]);
    expect(await store.inlineLines(TENANT_A, 1)).toBeUndefined();
    expect(await store.segments(TENANT_A, undefined, 10)).toEqual([segmentOf("new")]);
    expect(await store.takeExpiredIntents(TENANT_A, 1, 10)).toEqual([takenOf("old")]);
  });

  test("a receipt is found under its kind and key, and is never replaced", async () => {
    const store = current();
    const receipt = { kind: "import" as const, key: "k'\"", receipt: '{"a":1}' };
    await commitEntries(store, [{}], { receipt });
    expect(await store.receipt(TENANT_A, "import", "k'\"")).toBe('{"a":1}');
    expect(await store.receipt(TENANT_A, "idempotency", "k'\"")).toBeUndefined();
    expect(await store.receipt(other, "import", "k'\"")).toBeUndefined();
    const again = commitEntries(store, [{}], { receipt: { ...receipt, receipt: "other" } });
    await expect(again).rejects.toMatchObject(CONFLICT);
    expect((await store.head(TENANT_A))?.sequence).toBe(1);
    const transaction = await store.begin(TENANT_A);
    expect(await transaction.receipt("import", "k'\"")).toBe('{"a":1}');
    expect(await transaction.receipt("import", "none")).toBeUndefined();
    await transaction.rollback();
  });

  test("state is set, replaced, listed by prefix and removed", async () => {
    const store = current();
    for (const name of ["p/b", "p/a", "p", "q/a", "p%a", "P/a"]) {
      await store.putState(TENANT_A, name, `value of ${name}`);
    }
    await store.putState(TENANT_A, "p/a", "new\u0000 ünï");
    await store.putState(other, "p/z", "other");
    expect(await store.state(TENANT_A, "p/a")).toBe("new\u0000 ünï");
    expect(await store.listState(TENANT_A, "p/")).toEqual([
      { name: "p/a", value: "new\u0000 ünï" },
      { name: "p/b", value: "value of p/b" },
    ]);
    expect(await store.listState(TENANT_A, "p%")).toHaveLength(1);
    expect(await store.listState(TENANT_A, "")).toHaveLength(6);
    await store.putState(TENANT_A, "p/a", undefined);
    await store.putState(TENANT_A, "p/a", undefined);
    expect(await store.state(TENANT_A, "p/a")).toBeUndefined();
  });

  test("quarantined records are noted once, listed in order page by page, and dropped", async () => {
    const store = current();
    const row = (role: string, collection: string, id: string): QuarantineRow => ({
      role,
      collection,
      type: "lab/sample",
      id,
      sequence: 3,
      since: 2,
      reason: "too'\"deep",
      at: 1_700_000_000_000,
    });
    const rows = [row("search", "c1", "a"), row("document", "c1", "b"), row("document", "c2", "a")];
    const [first, second, third] = [rows[1], rows[2], rows[0]];
    await store.putQuarantine(TENANT_A, rows);
    await store.putQuarantine(TENANT_A, [{ ...row("search", "c1", "a"), reason: "later" }]);
    await store.putQuarantine(other, [row("document", "c1", "other")]);
    expect(await store.quarantine(TENANT_A, { limit: 10 })).toEqual([
      first,
      second,
      { ...third, reason: "later" },
    ]);
    expect(await store.quarantine(TENANT_A, { role: "document", limit: 10 })).toEqual([
      first,
      second,
    ]);
    expect(
      await store.quarantine(TENANT_A, { role: "document", collection: "c2", limit: 10 }),
    ).toEqual([second]);
    const paged = await store.quarantine(TENANT_A, {
      limit: 1,
      ...(first === undefined ? {} : { after: first }),
    });
    expect(paged).toEqual([second]);
    await store.dropQuarantine(TENANT_A, rows.slice(1));
    expect((await store.quarantine(TENANT_A, { limit: 10 })).map(({ role }) => role)).toEqual([
      "search",
    ]);
  });

  test("what was noted of an earlier version, told late, neither replaces nor drops a later one", async () => {
    const store = current();
    const noted = (sequence: number, reason: string): QuarantineRow => ({
      role: "search",
      collection: "c1",
      type: "lab/sample",
      id: "a",
      sequence,
      since: sequence - 1,
      reason,
      at: 1_700_000_000_000,
    });
    await store.putQuarantine(TENANT_A, [noted(3, "later")]);
    await store.putQuarantine(TENANT_A, [noted(2, "late")]);
    expect(await store.quarantine(TENANT_A, { limit: 10 })).toEqual([noted(3, "later")]);
    await store.dropQuarantine(TENANT_A, [noted(2, "late")]);
    expect(await store.quarantine(TENANT_A, { limit: 10 })).toEqual([noted(3, "later")]);
    await store.putQuarantine(TENANT_A, [noted(4, "latest")]);
    expect(await store.quarantine(TENANT_A, { limit: 10 })).toEqual([noted(4, "latest")]);
    await store.dropQuarantine(TENANT_A, [noted(4, "latest")]);
    expect(await store.quarantine(TENANT_A, { limit: 10 })).toEqual([]);
  });

  test("what a later version has passed is listed only where that is asked for, until one after it is noted", async () => {
    const store = current();
    const noted = (sequence: number): QuarantineRow => ({
      role: "search",
      collection: "c1",
      type: "lab/sample",
      id: "a",
      sequence,
      since: 2,
      reason: "too deep",
      at: 1_700_000_000_000,
    });
    const passed = { limit: 10, withPassed: true };
    await store.putQuarantine(TENANT_A, [noted(3)]);
    await store.passQuarantine(TENANT_A, [{ ...noted(2), passedBy: 5 }]);
    expect(await store.quarantine(TENANT_A, { limit: 10 })).toEqual([noted(3)]);
    await store.passQuarantine(TENANT_A, [{ ...noted(3), passedBy: 5 }]);
    expect(await store.quarantine(TENANT_A, { limit: 10 })).toEqual([]);
    expect(await store.quarantine(TENANT_A, passed)).toEqual([{ ...noted(3), passedBy: 5 }]);
    // A process that was held up notes again what was passed long ago.
    await store.putQuarantine(TENANT_A, [noted(4)]);
    expect(await store.quarantine(TENANT_A, passed)).toEqual([{ ...noted(3), passedBy: 5 }]);
    await store.putQuarantine(TENANT_A, [noted(6)]);
    expect(await store.quarantine(TENANT_A, { limit: 10 })).toEqual([noted(6)]);
    await store.passQuarantine(TENANT_A, [{ ...noted(6), passedBy: 7 }]);
    await store.dropQuarantine(TENANT_A, [noted(6)]);
    expect(await store.quarantine(TENANT_A, passed)).toEqual([]);
  });
}
