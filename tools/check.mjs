// `npm test`: types, lint, format, dead code and tests, in the order of what is quickest to mend.
// Stops at the first failing step. The last line is the count of tests, read from vitest's own report.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = await mkdtemp(join(tmpdir(), "custody-check-"));
const report = join(folder, "vitest.json");

const steps = [
  { name: "types", command: ["npm", "run", "--silent", "typecheck"] },
  { name: "lint", command: ["npm", "run", "--silent", "lint"] },
  { name: "format", command: ["npm", "run", "--silent", "format:check"] },
  { name: "dead code", command: ["npm", "run", "--silent", "deadcode"] },
  {
    name: "tests",
    command: [
      "npx",
      "vitest",
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
    ],
  },
];

/** Runs one command with our own output; answers its exit code, 1 when a signal ended it. */
function run([program, ...args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

/** The counts of the report. A file that could not be loaded, or an error outside a test, is a failure too. */
async function countTests(exitCode) {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    await readFile(report, "utf8"),
  );
  const brokenFiles = testResults.filter(
    ({ status, assertionResults }) =>
      status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  ).length;
  const failed = numFailedTests + brokenFiles;
  return {
    passed: numPassedTests,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: numPendingTests + numTodoTests,
  };
}

const times = [];
let failedStep;
let exitCode = 0;
for (const { name, command } of steps) {
  console.log(`\n== ${name}`);
  const startedAtMs = performance.now();
  exitCode = await run(command);
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
  times.push(`${name} ${seconds} s`);
  console.log(`== ${name}: ${exitCode === 0 ? "passed" : "FAILED"} in ${seconds} s`);
  if (exitCode !== 0) {
    failedStep = name;
    break;
  }
}

console.log(`\n${times.join(", ")}`);
if (failedStep !== undefined) console.log(`failed at: ${failedStep}`);
if (failedStep === undefined || failedStep === "tests") {
  const { passed, failed, skipped } = await countTests(exitCode);
  if (passed + failed === 0) exitCode = 1;
  if (failed > 0) exitCode = 1;
  console.log(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
} else {
  console.log(`no test was run`);
}
await rm(folder, { recursive: true, force: true });
process.exitCode = exitCode;
