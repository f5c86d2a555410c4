import { expect, test } from "vitest";

import { cronProblem, readCron } from "./cron.ts";

const at = (text: string): number => Date.parse(text);

test("the next instant lies after, the previous one at or before", () => {
  const hourly = readCron("7 * * * *", "UTC");
  expect(hourly.next(at("2026-11-21T12:07:00Z"))).toBe(at("2026-11-21T13:07:00Z"));
  expect(hourly.next(at("2026-11-21T12:06:59Z"))).toBe(at("2026-11-21T12:07:00Z"));
  expect(hourly.previous(at("2026-11-21T12:07:00Z"))).toBe(at("2026-11-21T12:07:00Z"));
  expect(hourly.previous(at("2026-11-21T12:06:59Z"))).toBe(at("2026-11-21T11:07:00Z"));
  expect(hourly.previous(at("2026-11-21T12:07:00.500Z"))).toBe(at("2026-11-21T12:07:00Z"));
});

test("a time of day is that of the time zone", () => {
  const daily = readCron("30 1 * * *", "Europe/Vienna");
  expect(daily.next(at("2026-11-21T12:00:00Z"))).toBe(at("2026-11-22T00:30:00Z"));
});

test("what is no time is told with an example of one", () => {
  expect(cronProblem("7 * * * *", "UTC")).toBeUndefined();
  expect(cronProblem("61 * * * *", "UTC")).toMatch(/^is no time: .*write five parts/s);
  expect(cronProblem("hourly", "UTC")).toMatch(/^is no time: /);
  expect(cronProblem("* * * * *", "Mars/Phobos")).toMatch(/^is no time: /);
  expect(cronProblem("* * * * * *", "UTC")).toMatch(/^is no time: /);
});

test("a day that never comes is refused", () => {
  expect(cronProblem("0 0 30 2 *", "UTC")).toMatch(/^never comes: 0 0 30 2 \*/);
});
