/** How many tests of one server ran, and how they ended. */
export interface TestCount {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** What is known of one server when the tests have run. */
export interface ServerRun {
  readonly name: string;
  /** What the server says of itself; absent where it did not run or was given. */
  readonly version?: string | undefined;
  /** Why it does not run, where it should. */
  readonly failure?: string | undefined;
  /** Why no package registry has it, where nobody gave one. */
  readonly missing?: string | undefined;
  /** False for what only serves the tests of others. */
  readonly isProven: boolean;
  readonly count: TestCount | undefined;
}

/** What may be said of a server after a run. */
export interface Verdict {
  readonly name: string;
  readonly version: string;
  readonly verdict: "proven" | "failed" | "not proven" | "ran";
  readonly detail: string;
}

/** Decides what may be said of a server: it is proven only by tests that ran on it and passed. */
export function judge({ name, version, failure, missing, isProven, count }: ServerRun): Verdict {
  const say = (verdict: Verdict["verdict"], detail: string): Verdict => ({
    name,
    version: version ?? "-",
    verdict,
    detail,
  });
  if (failure !== undefined) return say("failed", `did not start: ${failure}`);
  if (missing !== undefined) return say("not proven", missing);
  const { passed, failed } = count ?? { passed: 0, failed: 0 };
  if (failed > 0) return say("failed", `${failed} of ${passed + failed} tests`);
  if (passed > 0) return say("proven", `${passed} tests`);
  if (!isProven) return say("ran", "no tests of its own");
  return say("not proven", "no test ran on it");
}

/**
 * Whether a server makes the whole run fail. What failed does; where every server is demanded, so does
 * one that could be had and was not proven.
 */
export function isRunSpoilt(
  { verdict }: Verdict,
  { missing }: Pick<ServerRun, "missing">,
  isAllDemanded: boolean,
): boolean {
  if (verdict === "failed") return true;
  return isAllDemanded && verdict === "not proven" && missing === undefined;
}

/** One line for people: name, version, verdict and why. */
export function describeVerdict({ name, version, verdict, detail }: Verdict): string {
  const separator = verdict === "proven" ? "  " : ": ";
  return `${name.padEnd(18)}  ${version.padEnd(9)}  ${verdict}${separator}${detail}`;
}
