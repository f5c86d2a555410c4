import { expect, test } from "vitest";

import { FoundDifferences } from "./found-differences.ts";

test("a row that is extra in one place and missing in another is one stale row", () => {
  const found = new FoundDifferences();
  found.add({ kind: "extra", id: "r1", sequence: 3 });
  found.add({ kind: "missing", id: "r1", sequence: 9 });
  expect(found.list()).toEqual([{ kind: "stale", id: "r1", sequence: 3 }]);
});

test("as many differences as may be held are all told; one more is not, and it is said", () => {
  const found = new FoundDifferences(2);
  found.add({ kind: "missing", id: "r1", sequence: 1 });
  found.add({ kind: "missing", id: "r2", sequence: 1 });
  expect([found.size, found.isCut]).toEqual([2, false]);
  found.add({ kind: "missing", id: "r3", sequence: 1 });
  expect([found.size, found.isCut]).toEqual([2, true]);
});
