import fc from "fast-check";
import { expect, test } from "vitest";

import { keepInWords, retain } from "./retention.ts";
import type { AgedBackup, RetentionRule } from "./retention.ts";

const NOW = Date.UTC(2026, 10, 21, 12);
const HOUR_MS = 3_600_000;

/** A backup named after its time. */
function at(text: string, isVerified = false): AgedBackup {
  return { id: text, createdAt: Date.parse(text), isVerified };
}

test("each rule keeps the newest of its periods, and says so", () => {
  const backups = [
    at("2026-11-21T11:40:00Z"),
    at("2026-11-21T11:10:00Z"),
    at("2026-11-21T10:10:00Z"),
    at("2026-11-20T23:59:59Z"),
    at("2026-11-15T23:59:59Z"),
    at("2026-11-15T08:00:00Z"),
    at("2026-10-31T12:00:00Z"),
    at("2025-12-31T12:00:00Z"),
  ];
  const rule = { last: 1, hourly: 2, daily: 3, weekly: 2, monthly: 2, yearly: 2 };
  expect(retain(backups, rule, NOW)).toEqual([
    {
      id: "2026-11-21T11:40:00Z",
      reasons: [
        "the newest",
        "number 1 of the last 1",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "yearly",
      ],
    },
    { id: "2026-11-21T10:10:00Z", reasons: ["hourly"] },
    { id: "2026-11-20T23:59:59Z", reasons: ["daily"] },
    // The Sunday before: the third day that has a backup, and the last of its week.
    { id: "2026-11-15T23:59:59Z", reasons: ["daily", "weekly"] },
    { id: "2026-10-31T12:00:00Z", reasons: ["monthly"] },
    { id: "2025-12-31T12:00:00Z", reasons: ["yearly"] },
  ]);
});

test("a week ends on Sunday at midnight, not before", () => {
  const backups = [at("2026-11-16T00:00:00Z"), at("2026-11-15T23:59:59Z")];
  expect(retain(backups, { weekly: 2 }, NOW).map(({ id }) => id)).toEqual([
    "2026-11-16T00:00:00Z",
    "2026-11-15T23:59:59Z",
  ]);
  expect(retain([at("2026-11-15T00:00:00Z"), ...backups.slice(1)], { weekly: 2 }, NOW)).toEqual([
    { id: "2026-11-15T23:59:59Z", reasons: ["the newest", "weekly"] },
  ]);
});

test("nothing is pruned because backups have stopped", () => {
  const old = [at("2020-01-03T00:00:00Z"), at("2020-01-02T00:00:00Z"), at("2020-01-01T00:00:00Z")];
  expect(retain(old, { daily: 3 }, NOW)).toHaveLength(3);
});

test("the newest verified backup stays, however old it is", () => {
  const backups = [at("2026-11-21T11:00:00Z"), at("2026-11-20T11:00:00Z"), at("2019-01-01", true)];
  expect(retain(backups, { last: 1 }, NOW)).toEqual([
    { id: "2026-11-21T11:00:00Z", reasons: ["the newest", "number 1 of the last 1"] },
    { id: "2019-01-01", reasons: ["the newest verified"] },
  ]);
});

test("a backup from the future is kept", () => {
  const backups = [at("2027-01-02T00:00:00Z"), at("2027-01-01T00:00:00Z"), at("2026-11-21")];
  expect(retain(backups, { last: 1 }, NOW).map(({ id }) => id)).toEqual([
    "2027-01-02T00:00:00Z",
    "2027-01-01T00:00:00Z",
  ]);
});

const count = fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined });
const rules = fc.record(
  { last: count, hourly: count, daily: count, weekly: count, monthly: count, yearly: count },
  { requiredKeys: [] },
) as fc.Arbitrary<RetentionRule>;
const histories = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 24 * 800 }), fc.boolean()), { maxLength: 60 })
  .map((all) =>
    all.map(([hoursAgo, isVerified], index) => ({
      id: `backup-${index}`,
      createdAt: NOW - hoursAgo * HOUR_MS,
      isVerified,
    })),
  );

test("never none is kept, and always the newest and the newest verified", () => {
  fc.assert(
    fc.property(histories, rules, (backups, rule) => {
      const kept = new Set(retain(backups, rule, NOW).map(({ id }) => id));
      const newestAt = Math.max(...backups.map(({ createdAt }) => createdAt));
      const verified = backups.filter(({ isVerified }) => isVerified);
      const verifiedAt = Math.max(...verified.map(({ createdAt }) => createdAt));
      const isKept = (one: AgedBackup): boolean => kept.has(one.id);
      expect(backups.length === 0).toBe(kept.size === 0);
      if (backups.length > 0)
        expect(backups.filter((one) => one.createdAt === newestAt).some(isKept)).toBe(true);
      if (verified.length > 0)
        expect(verified.filter((one) => one.createdAt === verifiedAt).some(isKept)).toBe(true);
    }),
  );
});

test("pruning twice prunes nothing more, and the order of the list does not matter", () => {
  fc.assert(
    fc.property(histories, rules, (backups, rule) => {
      const once = retain(backups, rule, NOW).map(({ id }) => id);
      const left = backups.filter(({ id }) => once.includes(id));
      expect(retain(left, rule, NOW).map(({ id }) => id)).toEqual(once);
      expect(retain(backups.toReversed(), rule, NOW).map(({ id }) => id)).toEqual(once);
    }),
  );
});

test("a rule never keeps more than it says", () => {
  fc.assert(
    fc.property(histories, rules, (backups, rule) => {
      const most = (Object.values(rule) as (number | undefined)[]).reduce<number>(
        (sum, one) => sum + (one ?? 0),
        0,
      );
      // And the newest, and the newest verified.
      expect(retain(backups, rule, NOW).length).toBeLessThanOrEqual(most + 2);
    }),
  );
});

test("a rule is told in words", () => {
  expect(keepInWords({ last: 3, hourly: 48, monthly: 12, yearly: 0 })).toBe(
    "the last 3, 48 hourly, 12 monthly",
  );
});
