import type { TestCount } from "./proof.ts";

/** What vitest's JSON report says, as far as it is of use here. */
export interface EngineTestReport {
  readonly total: TestCount;
  /** By the name of the server in `describe("on <server>")`. */
  readonly servers: ReadonlyMap<string, TestCount>;
}

interface ReportedTest {
  readonly status: string;
  readonly ancestorTitles: readonly string[];
}

interface ReportedFile {
  readonly status: string;
  readonly assertionResults: readonly ReportedTest[];
}

const NONE: TestCount = { passed: 0, failed: 0, skipped: 0 };

/**
 * Counts tests, in all and by server. A file that could not be loaded, or a runner that ended badly
 * without a failed test, counts as one failure.
 */
export function readEngineTestReport(text: string, exitCode: number): EngineTestReport {
  const files = filesOf(JSON.parse(text));
  const servers = new Map<string, TestCount>();
  let total = NONE;
  for (const { status, assertionResults } of files) {
    const isBroken =
      status === "failed" && !assertionResults.some((test) => test.status === "failed");
    if (isBroken) total = { ...total, failed: total.failed + 1 };
    for (const test of assertionResults) {
      total = add(total, test.status);
      const server = serverOf(test);
      if (server !== undefined) servers.set(server, add(servers.get(server) ?? NONE, test.status));
    }
  }
  if (exitCode !== 0 && total.failed === 0) total = { ...total, failed: 1 };
  return { total, servers };
}

function serverOf({ ancestorTitles }: ReportedTest): string | undefined {
  for (const title of ancestorTitles) {
    const name = /^on (\S+)$/.exec(title)?.[1];
    if (name !== undefined) return name;
  }
  return undefined;
}

function add({ passed, failed, skipped }: TestCount, status: string): TestCount {
  if (status === "passed") return { passed: passed + 1, failed, skipped };
  if (status === "failed") return { passed, failed: failed + 1, skipped };
  return { passed, failed, skipped: skipped + 1 };
}

function filesOf(report: unknown): readonly ReportedFile[] {
  const files = (report as { testResults?: unknown }).testResults;
  if (!Array.isArray(files)) throw new Error("vitest's report lists no files");
  return files as readonly ReportedFile[];
}
