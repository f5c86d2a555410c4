import { expect, test } from "vitest";

import { ObjectNames } from "./object-names.ts";

test("an object is never taken for another whose name begins alike", () => {
  const names = new ObjectNames();
  const begin = "0123456789abcdef".repeat(2);
  names.add(`${begin.slice(0, 31)}0${"0".repeat(32)}`, 5);
  expect(names.get(`${begin.slice(0, 31)}0${"0".repeat(32)}`)).toBe(5);
  expect(names.has(`${begin.slice(0, 31)}1${"0".repeat(32)}`)).toBe(false);
  expect(names.has(`${begin.slice(0, 12)}${"f".repeat(52)}`)).toBe(false);
});
