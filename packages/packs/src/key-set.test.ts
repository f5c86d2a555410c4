import { createHash } from "node:crypto";

import { expect, test } from "vitest";

import { KeySet } from "./key-set.ts";
import { Occurrences } from "./occurrences.ts";

const key = (text: string): string => createHash("sha256").update(text).digest("hex");

test("a set holds what was added, however much it grows, and nothing else", () => {
  const set = new KeySet();
  for (let index = 0; index < 20_000; index += 1) expect(set.add(key(`in ${index}`))).toBe(true);
  for (let index = 0; index < 20_000; index += 1) {
    expect(set.has(key(`in ${index}`))).toBe(true);
    expect(set.has(key(`out ${index}`))).toBe(false);
  }
  expect(set.add(key("in 0"))).toBe(false);
  expect(set.add("0".repeat(64))).toBe(true);
  expect(set.has("0".repeat(64))).toBe(true);
});

test("equal findings are numbered from the second on", () => {
  const occurrences = new Occurrences();
  expect(occurrences.next("a", null)).toBeUndefined();
  expect(occurrences.next("a", "b")).toBeUndefined();
  expect(occurrences.next("a", null)).toBe(2);
  expect(occurrences.next("a", null)).toBe(3);
});
