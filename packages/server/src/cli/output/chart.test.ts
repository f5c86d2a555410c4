import { expect, test } from "vitest";

import { bar, sparkline } from "./chart.ts";

test("the least value is the lowest step and the most the highest", () => {
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 20)).toBe("▁▂▃▄▅▆▇█");
});

test("a gap is a dot, and equal values are a line in the middle", () => {
  expect(sparkline([5, null, 5], 20)).toBe("▄·▄");
  expect(sparkline([null, null], 20)).toBe("··");
});

test("more values than columns are averaged", () => {
  expect(sparkline([0, 2, 10, 12], 2)).toBe("▁█");
});

test("a bar is as long as its share of the largest", () => {
  expect(bar(10, 10, 4)).toBe("████");
  expect(bar(5, 10, 4)).toBe("██");
  expect(bar(1, 1_000_000, 4)).toBe("▏");
  expect(bar(0, 10, 4)).toBe("");
  expect(bar(3, 0, 4)).toBe("");
});
