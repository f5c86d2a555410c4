import { hash } from "node:crypto";

import { describe, expect, test } from "vitest";

import type { ObjectRef } from "./backup-manifest.ts";
import { LocationCursor, LocationWriter } from "./line-locations.ts";
import type { LocationRun } from "./line-locations.ts";
import { PageWriter, STATE_ROWS } from "./object-pages.ts";

/** Keeps what is put, by its hash. */
function memory() {
  const objects = new Map<string, string>();
  const put = async (bytes: Uint8Array): Promise<ObjectRef> => {
    const sha256 = hash("sha256", bytes, "hex");
    objects.set(sha256, Buffer.from(bytes).toString());
    return { object: sha256, sha256, bytes: bytes.byteLength, codec: "zstd" };
  };
  return { objects, put };
}

async function pagesOf(names: readonly string[], put: (bytes: Uint8Array) => Promise<ObjectRef>) {
  const writer = new PageWriter(STATE_ROWS, put);
  for (const name of names) await writer.add({ name, value: "v" });
  return await writer.finish();
}

const names = Array.from({ length: 20_000 }, (_, index) => String(index).padStart(6, "0"));

describe("pages of rows", () => {
  test("a row that comes or goes changes its own page, not those behind it", async () => {
    const { put } = memory();
    const all = await pagesOf(names, put);
    expect(all.length).toBeGreaterThan(20);
    expect(all.length).toBeLessThan(80);
    const known = new Set(all.map(({ object }) => object));
    for (const changed of [names.toSpliced(5, 1), names.toSpliced(9_000, 0, "008999a")]) {
      const pages = await pagesOf(changed, put);
      const fresh = pages.filter(({ object }) => !known.has(object));
      expect(fresh.length).toBeGreaterThan(0);
      expect(fresh.length).toBeLessThanOrEqual(2);
    }
    expect(await pagesOf([], put)).toEqual([]);
  });

  test("a page is closed at 4 MiB, however few its rows", async () => {
    const { objects, put } = memory();
    const writer = new PageWriter(STATE_ROWS, put);
    for (const name of ["a", "b", "c"])
      await writer.add({ name, value: "v".repeat(3 * 1024 * 1024) });
    expect(await writer.finish()).toHaveLength(2);
    expect([...objects.values()].map((text) => text.split("\n").length - 1)).toEqual([2, 1]);
  });
});

async function* given(runs: readonly LocationRun[]): AsyncGenerator<LocationRun> {
  yield* runs;
}
const inline = { kind: "inline" } as const;
const inSegment = (segmentId: string, firstLine: number) =>
  ({ kind: "segment", segmentId, firstLine }) as const;

describe("where lines lie", () => {
  test("entries that follow one another in one place are one run", async () => {
    const { objects, put } = memory();
    const segments: string[] = [];
    const writer = new LocationWriter(put, (id) => void segments.push(id));
    const entries: readonly (readonly [LocationRun["location"], number])[] = [
      [inline, 2],
      [inline, 3],
      [inSegment("s", 0), 5],
      [inSegment("s", 5), 1],
      [inSegment("s", 7), 1],
      [inSegment("t", 8), 1],
      [inline, 1],
    ];
    for (const [index, [location, lines]] of entries.entries())
      await writer.add({ from: index + 1, to: index + 1, location, lines });
    expect(await writer.finish()).toHaveLength(1);
    expect(segments).toEqual(["s", "s", "t"]);
    expect([...objects.values()]).toEqual([
      `[1,2,5]\n[3,4,6,"s",0]\n[5,5,1,"s",7]\n[6,6,1,"t",8]\n[7,7,1]\n`,
    ]);
  });

  const runs: readonly LocationRun[] = [
    { from: 1, to: 2, location: inline, lines: 5 },
    { from: 3, to: 4, location: inSegment("s", 10), lines: 6 },
  ];

  test("each entry's place is counted from the first of its run", async () => {
    const cursor = await LocationCursor.behind(given(runs), 0);
    const counts = [2, 3, 4, 2];
    const found: unknown[] = [];
    for (const [index, count] of counts.entries())
      found.push(await cursor.take({ sequence: index + 1, count }));
    expect(found).toEqual([inline, inline, inSegment("s", 10), inSegment("s", 14)]);
    await cursor.end();
    expect((await LocationCursor.behind(given(runs), 3)).next).toBe(3);
    expect((await LocationCursor.behind(given(runs), 1)).next).toBe(2);
  });

  test("a gap, an end too early or too late, and too many lines are found", async () => {
    const gap = await LocationCursor.behind(given(runs.slice(1)), 0);
    await expect(gap.take({ sequence: 1, count: 1 })).rejects.toThrow(/where entry 1 lies/);
    const short = await LocationCursor.behind(given(runs.slice(0, 1)), 0);
    await short.take({ sequence: 1, count: 1 });
    await expect(short.take({ sequence: 2, count: 5 })).rejects.toThrow(/entry 2 has more lines/);
    const early = await LocationCursor.behind(given(runs), 0);
    await early.take({ sequence: 1, count: 2 });
    await expect(early.end()).rejects.toThrow(/not in the backup/);
    const inside = await LocationCursor.behind(given(runs.slice(0, 1)), 0);
    await inside.take({ sequence: 1, count: 2 });
    await expect(inside.end()).rejects.toThrow(/not in the backup/);
    const late = await LocationCursor.behind(given(runs.slice(0, 1)), 0);
    await late.take({ sequence: 1, count: 2 });
    await late.take({ sequence: 2, count: 3 });
    await late.end();
    await expect(late.take({ sequence: 3, count: 1 })).rejects.toThrow(/where entry 3 lies/);
  });
});
