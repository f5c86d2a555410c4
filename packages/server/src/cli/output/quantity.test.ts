import { expect, test } from "vitest";

import { countOf, formatBytes, formatDuration, formatInstant, formatNumber } from "./quantity.ts";

test("numbers have separators, also beyond 2^53", () => {
  expect(formatNumber(1234567)).toBe("1,234,567");
  expect(formatNumber(9007199254740993n)).toBe("9,007,199,254,740,993");
  expect(formatNumber(0.123456)).toBe("0.1235");
});

test("bytes come in the unit in which they have one to three digits", () => {
  expect([0, 999, 1_000, 3_100, 99_400, 999_499, 999_500, 2_100_000_000].map(formatBytes)).toEqual([
    "0 bytes",
    "999 bytes",
    "1.0 kB",
    "3.1 kB",
    "99.4 kB",
    "999 kB",
    "1.0 MB",
    "2.1 GB",
  ]);
});

test("durations are told in the two units that matter", () => {
  expect(
    [0, 340, 999.6, 2_140, 59_949, 59_951, 185_000, 7_800_000, 345_600_000].map(formatDuration),
  ).toEqual([
    "0 ms",
    "340 ms",
    "1.0 s",
    "2.1 s",
    "59.9 s",
    "1 min",
    "3 min 5 s",
    "2 h 10 min",
    "4 d",
  ]);
});

test("instants are UTC, and one that no calendar has is given as it is", () => {
  expect(formatInstant(1795247728000)).toBe("2026-11-21 07:55:28 UTC");
  expect(formatInstant(9e15)).toBe("9000000000000000 ms");
});

test("a count of one has the noun in the singular", () => {
  expect(countOf(1, "entry", "entries")).toBe("1 entry");
  expect(countOf(1200, "entry", "entries")).toBe("1,200 entries");
  expect(countOf(0, "record")).toBe("0 records");
});
