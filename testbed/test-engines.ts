import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { bringUp, enginesNamed, variablesOf, type BroughtUp } from "./bring-up.ts";
import { ENGINES, GIVEN_SERVERS } from "./engines/catalogue.ts";
import { enginesHome } from "./engines-home.ts";
import { describeVerdict, isRunSpoilt, judge, type ServerRun } from "./proof.ts";
import { describeEngine, print } from "./report.ts";
import { stopEngine } from "./supervisor.ts";
import { readEngineTestReport, type EngineTestReport } from "./vitest-report.ts";

// `npm run test:engines [-- names]`: the suites of the server engines, against real servers. Without
// names, or with ENGINES=all, on every server that can be had here; ENGINES=all fails for any that
// was not proven.
const { positionals: names } = parseArgs({ allowPositionals: true });
const isAllDemanded = process.env["ENGINES"] === "all";
const home = enginesHome(process.env, process.getuid?.());

// Whoever ends the tests early wants the servers stopped that were started for them. A terminal's
// interrupt reaches the runner by itself, an orchestrator's signal does not.
let runner: ChildProcess | undefined;
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => runner?.kill("SIGTERM"));

const isEveryAsked = isAllDemanded || names.length === 0;
const given = GIVEN_SERVERS.filter(({ name }) => isEveryAsked || names.includes(name));
const started = names.filter((name) => !given.some((server) => server.name === name));
const engines = enginesNamed(isEveryAsked ? [] : [...started, ...companions(started), "toxiproxy"]);
const results = await bringUp(home, engines, (one) => print(describeEngine(one)));
try {
  const report = await runTests(variablesOf(results));
  process.exitCode = summarise(report);
} finally {
  for (const { engine, started } of results.toReversed()) {
    if (started?.wasRunning === false) await stopEngine(home, engine);
  }
}

/** What the suites of these servers use besides: a replica, the same server with TLS. */
function companions(of: readonly string[]): readonly string[] {
  return ENGINES.filter(
    ({ isProven, after = [] }) => !isProven && after.some((name) => of.includes(name)),
  ).map(({ name }) => name);
}

async function runTests(variables: Readonly<Record<string, string>>): Promise<EngineTestReport> {
  const folder = await mkdtemp(join(tmpdir(), "custody-engine-tests-"));
  const file = join(folder, "vitest.json");
  try {
    const child = spawn(
      process.execPath,
      [
        fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url)),
        "run",
        ".engine.test",
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${file}`,
      ],
      { stdio: "inherit", env: { ...process.env, ...variables, CUSTODY_ENGINES: "1" } },
    );
    runner = child;
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 1));
    });
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text !== undefined) return readEngineTestReport(text, exitCode);
    print("\nthe test runner ended without a report");
    return { total: { passed: 0, failed: 1, skipped: 0 }, servers: new Map() };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function summarise({ total, servers }: EngineTestReport): number {
  const runs: readonly ServerRun[] = [
    ...results.map((result) => serverRun(result, servers)),
    ...given.map(({ name, variable, why }) => {
      const isGiven = (process.env[variable] ?? "") !== "";
      return {
        name,
        ...(isGiven ? { version: "given" } : { missing: `${why}; set ${variable}` }),
        isProven: true,
        count: servers.get(name),
      };
    }),
  ];
  let isSpoilt = total.failed > 0 || total.passed === 0;
  print("");
  for (const run of runs) {
    const verdict = judge(run);
    if (isRunSpoilt(verdict, run, isAllDemanded)) isSpoilt = true;
    print(describeVerdict(verdict));
  }
  const skipped = total.skipped === 0 ? "" : `, ${total.skipped} skipped`;
  print(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
  return isSpoilt ? 1 : 0;
}

function serverRun(
  { engine, givenUrl, started, failure, missing }: BroughtUp,
  servers: EngineTestReport["servers"],
): ServerRun {
  return {
    name: engine.name,
    version: givenUrl === undefined ? started?.version : "given",
    failure,
    missing,
    isProven: engine.isProven,
    count: servers.get(serverNameOf(engine.variable)),
  };
}

/** The name by which tests know a server: CUSTODY_TEST_<NAME>_URL. */
function serverNameOf(variable: string): string {
  return variable.replace(/^CUSTODY_TEST_|_URL$/g, "").toLowerCase();
}
