import { makeBatch } from "@custody/stores/record-batch";
import { describe, expect, test } from "vitest";

import type { EntryRecords } from "./entry-records.ts";
import { RecentEntries } from "./recent-entries.ts";

// 880 bytes of text and 120 for the record: 1,000 as they are counted.
function entry(sequence: number): EntryRecords {
  const text = JSON.stringify({ fill: "x".repeat(869) });
  const batch = makeBatch("pack/thing", [{ id: `r${sequence}`, sequence, text }]);
  return { type: "pack/thing", sequence, batch };
}

/** Which of the entries are kept: the others are asked for. */
async function missing(
  recent: RecentEntries,
  sequences: readonly number[],
  tenant = "a",
): Promise<readonly number[]> {
  const read: number[] = [];
  for (const sequence of sequences) {
    await recent
      .get(tenant, sequence, () => {
        read.push(sequence);
        return Promise.reject(new Error("not kept"));
      })
      .catch(() => undefined);
  }
  return read;
}

describe("recent entries", () => {
  test("what was put is given back without being read", async () => {
    const recent = new RecentEntries(10_000);
    recent.put("a", entry(1));
    expect(await missing(recent, [1, 2])).toEqual([2]);
  });

  test("at the limit all are kept; one more, and the entry wanted last goes", async () => {
    const recent = new RecentEntries(3_000);
    for (const sequence of [1, 2, 3]) recent.put("a", entry(sequence));
    expect(await missing(recent, [1, 2, 3])).toEqual([]);
    recent.put("a", entry(4));
    expect(await missing(recent, [1, 2, 3, 4])).toEqual([4]);
  });

  test("what all have passed makes room", async () => {
    const recent = new RecentEntries(3_000);
    for (const sequence of [1, 2, 3]) recent.put("a", entry(sequence));
    recent.release("a", 2);
    for (const sequence of [4, 5]) recent.put("a", entry(sequence));
    expect(await missing(recent, [1, 2, 3, 4, 5])).toEqual([1, 2]);
  });

  test("a tenant's entries are never another's", async () => {
    const recent = new RecentEntries(10_000);
    recent.put("a", entry(1));
    recent.release("b", 1);
    expect(await missing(recent, [1], "b")).toEqual([1]);
    expect(await missing(recent, [1], "a")).toEqual([]);
  });

  test("readers that ask together read once, and a failed read is tried again", async () => {
    const recent = new RecentEntries(10_000);
    let reads = 0;
    const read = async (): Promise<EntryRecords> => {
      reads += 1;
      if (reads === 1) throw new Error("gone");
      return entry(7);
    };
    await expect(recent.get("a", 7, read)).rejects.toThrow("gone");
    const [one, two] = await Promise.all([recent.get("a", 7, read), recent.get("a", 7, read)]);
    expect(reads).toBe(2);
    expect(one).toBe(two);
  });
});
