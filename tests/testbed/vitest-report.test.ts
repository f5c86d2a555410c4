import { expect, test } from "vitest";

import { readEngineTestReport } from "../../testbed/vitest-report.ts";

const reported = (...files: readonly object[]): string => JSON.stringify({ testResults: files });
const ran = (status: string, ...ancestorTitles: readonly string[]): object => ({
  status,
  ancestorTitles,
  title: "a promise",
});

test("tests count for the server whose block they stand in, however deep", () => {
  const text = reported(
    {
      status: "passed",
      assertionResults: [
        ran("passed", "on redis"),
        ran("passed", "cache", "on redis", "when the network fails"),
        ran("skipped", "on redis"),
        ran("passed", "URLs"),
      ],
    },
    {
      status: "failed",
      assertionResults: [ran("failed", "on kafka"), ran("pending", "on mongodb")],
    },
  );
  const { total, servers } = readEngineTestReport(text, 1);
  expect(total).toEqual({ passed: 3, failed: 1, skipped: 2 });
  expect(Object.fromEntries(servers)).toEqual({
    redis: { passed: 2, failed: 0, skipped: 1 },
    kafka: { passed: 0, failed: 1, skipped: 0 },
    mongodb: { passed: 0, failed: 0, skipped: 1 },
  });
});

test("a file that could not be loaded is a failure, and so is a runner that ended badly", () => {
  const broken = reported({ status: "failed", assertionResults: [] });
  expect(readEngineTestReport(broken, 1).total).toEqual({ passed: 0, failed: 1, skipped: 0 });
  const fine = reported({ status: "passed", assertionResults: [ran("passed", "on redis")] });
  expect(readEngineTestReport(fine, 1).total).toEqual({ passed: 1, failed: 1, skipped: 0 });
  expect(readEngineTestReport(fine, 0).total).toEqual({ passed: 1, failed: 0, skipped: 0 });
});

test("a report of another form is refused", () => {
  expect(() => readEngineTestReport("{}", 0)).toThrow("lists no files");
});
