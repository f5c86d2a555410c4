import { expect, test } from "vitest";

import { tierOfBlob, tierOfRecord } from "./policy-tiers.ts";
import type { TierRules } from "./policy-tiers.ts";

const RULES: TierRules = {
  critical: { types: ["custody/*"], owners: ["ana"] },
  important: { types: ["custody/jobs"], blobs: ["datasets/gold/"] },
  replaceable: { types: ["redteam/datasets"], blobs: ["datasets/"], owners: ["guest"] },
};

test("the longest pattern that fits a type decides its tier", () => {
  expect(tierOfRecord(RULES, { type: "custody/audit_logs" })).toBe("critical");
  expect(tierOfRecord(RULES, { type: "custody/jobs" })).toBe("important");
  expect(tierOfRecord(RULES, { type: "redteam/datasets" })).toBe("replaceable");
});

test("what nothing names is important, or per user where it is somebody's own", () => {
  expect(tierOfRecord(RULES, { type: "redteam/hits" })).toBe("important");
  expect(tierOfRecord(RULES, { type: "redteam/hits", owner: "ben" })).toBe("per-user");
});

test("how important a user is comes before what the records are", () => {
  expect(tierOfRecord(RULES, { type: "redteam/datasets", owner: "ana" })).toBe("critical");
  expect(tierOfRecord(RULES, { type: "custody/jobs", owner: "guest" })).toBe("replaceable");
});

test("a pattern of a pack is not one of a pack whose name begins with it", () => {
  const rules: TierRules = { critical: { types: ["audit/*"] } };
  expect(tierOfRecord(rules, { type: "auditing/notes" })).toBe("important");
});

test("the longest beginning of a key decides a blob's tier", () => {
  expect(tierOfBlob(RULES, "datasets/prompts.csv")).toBe("replaceable");
  expect(tierOfBlob(RULES, "datasets/gold/prompts.csv")).toBe("important");
  expect(tierOfBlob(RULES, "originals/0a1b")).toBe("important");
});
