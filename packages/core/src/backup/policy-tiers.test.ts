import { expect, test } from "vitest";

import { tierOfBlob } from "./policy-tiers.ts";
import type { TierRules } from "./policy-tiers.ts";

const RULES: TierRules = {
  critical: { blobs: ["users/ana/"] },
  important: { blobs: ["datasets/gold/"] },
  "per-user": { blobs: ["users/"] },
  replaceable: { blobs: ["datasets/", "users/guest/"] },
};

test("the longest beginning of a key decides a blob's tier", () => {
  expect(tierOfBlob(RULES, "datasets/prompts.csv")).toBe("replaceable");
  expect(tierOfBlob(RULES, "datasets/gold/prompts.csv")).toBe("important");
  expect(tierOfBlob(RULES, "originals/0a1b")).toBe("important");
});

test("how important a user is can be said for each", () => {
  expect(tierOfBlob(RULES, "users/ben/notes")).toBe("per-user");
  expect(tierOfBlob(RULES, "users/ana/notes")).toBe("critical");
  expect(tierOfBlob(RULES, "users/guest/notes")).toBe("replaceable");
});

test("of two tiers that name the same the more important one has it", () => {
  const rules: TierRules = { critical: { blobs: ["a/"] }, replaceable: { blobs: ["a/"] } };
  expect(tierOfBlob(rules, "a/b")).toBe("critical");
});
