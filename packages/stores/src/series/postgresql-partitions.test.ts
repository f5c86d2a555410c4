import { expect, test } from "vitest";

import { partitionOf } from "./postgresql-partitions.ts";

test("within a century a partition is a month, which the first instant is in and the last is not", () => {
  expect(partitionOf(Date.UTC(2024, 1, 29))).toEqual({
    key: "202402",
    from: "1706745600000",
    to: "1709251200000",
  });
  expect(partitionOf(1_709_251_199_999).key).toBe("202402");
  expect(partitionOf(1_709_251_200_000).key).toBe("202403");
});

test("what lies before and after the century shares one partition each", () => {
  expect(partitionOf(946_684_799_999)).toEqual({
    key: "before",
    from: "MINVALUE",
    to: "946684800000",
  });
  expect(partitionOf(946_684_800_000).key).toBe("200001");
  expect(partitionOf(4_102_444_799_999).key).toBe("209912");
  expect(partitionOf(4_102_444_800_000)).toEqual({
    key: "after",
    from: "4102444800000",
    to: "MAXVALUE",
  });
  expect([partitionOf(-8.64e15).key, partitionOf(8.64e15).key]).toEqual(["before", "after"]);
});
