// npm run bench: Custody against hand-tuned raw drivers on the same records, in one run; with
// --engines, Custody on servers against their own clients.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { measureBackup } from "./backup-bench.ts";
import type { BackupResult } from "./backup-bench.ts";
import { printBackup } from "./backup-report.ts";
import { runChild } from "./child-run.ts";
import type { ChildRun } from "./child-run.ts";
import { measureEngines, TARGETS } from "./engines-bench.ts";
import { printEngines } from "./engines-report.ts";
import type { EnginesResult } from "./engines-report.ts";
import { writeEvidence } from "./generate.ts";
import { measureIndependence, printIndependence } from "./independence-bench.ts";
import type { IndependenceResult } from "./independence-bench.ts";
import { machineFacts } from "./machine-facts.ts";
import { measureReconcile, printReconcile } from "./reconcile-bench.ts";
import type { ReconcileResult } from "./reconcile-bench.ts";
import { summarise } from "./report.ts";
import type { BenchResult, Side } from "./report.ts";
import { printReport } from "./report-table.ts";
import { RECONCILE_PARTS } from "./run-request.ts";

const PARTS = ["durable", "relaxed", "custody", "commits", "reads"] as const;
type Part = (typeof PARTS)[number];
/** Of a run on servers. */
const ENGINE_PARTS: readonly string[] = ["roles", "together", "operations", "reads"];

const { values: options } = parseArgs({
  options: {
    records: { type: "string", default: "20000" },
    seed: { type: "string", default: "1" },
    /** Parts to run, with commas; default all. */
    only: { type: "string" },
    /** Repetitions of the writing parts, one after another; the middle one counts. */
    rounds: { type: "string" },
    out: { type: "string" },
    /** Where the stores are made; default the system's directory for temporary files. */
    directory: { type: "string", default: tmpdir() },
    /** Measures the servers of the variables CUSTODY_TEST_…_URL instead of embedded engines. */
    engines: { type: "boolean", default: false },
    /** Measures what a stopped store costs the others, on embedded engines. */
    independence: { type: "boolean", default: false },
    /** Measures how long comparing the embedded stores with the journal takes. */
    reconcile: { type: "boolean", default: false },
    /** Measures backups and restores, and what they cost those who write. */
    backup: { type: "boolean", default: false },
    /** Prints the result as JSON in place of tables. */
    json: { type: "boolean", default: false },
    /** With --engines: stores to measure, with commas; default all. */
    roles: { type: "string", default: TARGETS.join(",") },
    /** With --engines: records for each store on its own; --records is for all of them together. */
    "role-records": { type: "string" },
  },
});

const records = Number(options.records);
const seed = Number(options.seed);
const rounds = Number(options.rounds ?? (records <= 20_000 ? 3 : 1));
const wanted = options.only?.split(",") ?? (options.engines ? ENGINE_PARTS : PARTS);
const isWanted = (part: Part): boolean => wanted.includes(part);
const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

const root = mkdtempSync(join(options.directory, "custody-bench-"));
try {
  const result = await measured();
  if (options.json) process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  else if ("roles" in result) printEngines(result);
  else if ("independence" in result) printIndependence(result);
  else if ("reconcile" in result) printReconcile(result);
  else if ("backup" in result) printBackup(result);
  else printReport(result);
  const out = options.out ?? defaultOut();
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, `${JSON.stringify(result, undefined, 2)}\n`);
  say(`written to ${out}`);
} finally {
  rmSync(root, { recursive: true, force: true });
}

type AnyResult = BenchResult | EnginesResult | IndependenceResult | ReconcileResult | BackupResult;

function measured(): Promise<AnyResult> {
  if (options.backup) return measureBackup({ records, seed, rounds, directory: root, say });
  if (options.reconcile) {
    const parts = options.only?.split(",") ?? RECONCILE_PARTS;
    return measureReconcile({ records, seed, parts, directory: root, say });
  }
  if (options.independence) return measureStopped();
  return options.engines ? measureServers() : measure();
}

async function measureStopped(): Promise<IndependenceResult> {
  const machine = machineFacts(root);
  const input = join(root, "evidence.jsonl");
  say(`generating ${records} records (seed ${seed})`);
  writeEvidence(input, { records, seed });
  const begun = new Date().toISOString();
  const asked = { input, records, rounds, directory: root, say };
  return { begun, machine, records, rounds, independence: await measureIndependence(asked) };
}

async function measure(): Promise<BenchResult> {
  const machine = machineFacts(root);
  const input = join(root, "evidence.jsonl");
  say(`generating ${records} records (seed ${seed})`);
  const inputBytes = writeEvidence(input, { records, seed });
  const runs: Record<Side, ChildRun[]> = { durable: [], relaxed: [], custody: [] };
  const run = async (side: Side, program: string): Promise<void> => {
    if (!isWanted(side)) return;
    const directory = join(root, side);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
    say(`${side}, round ${runs[side].length + 1} of ${rounds}`);
    const durability = side === "relaxed" ? "relaxed" : "durable";
    runs[side].push(await runChild(program, { input, directory, records, durability }));
  };
  // Turn by turn, so that whatever else the machine does disturbs all sides alike.
  for (let round = 0; round < rounds; round += 1) {
    await run("durable", "./baseline/baseline-run.ts");
    await run("custody", "./custody-run.ts");
    await run("relaxed", "./baseline/baseline-run.ts");
  }
  const further = async (program: string, side: string): Promise<ChildRun["facts"]> => {
    say(program.replace(/^.*\/|\.ts$/g, ""));
    const directory = join(root, side);
    mkdirSync(directory, { recursive: true });
    const { facts } = await runChild(program, { input, directory, records, durability: "durable" });
    return facts;
  };
  const reads: Record<string, ChildRun["facts"]> = {};
  if (isWanted("reads") && isWanted("durable")) {
    reads["baseline"] = await further("./baseline/baseline-reads.ts", "durable");
  }
  if (isWanted("reads") && isWanted("custody")) {
    reads["custody"] = await further("./custody-reads.ts", "custody");
  }
  const commits = isWanted("commits") ? await further("./commit-run.ts", "commits") : undefined;
  const begun = new Date().toISOString();
  return summarise({ begun, machine, records, seed, inputBytes, runs, reads, commits });
}

async function measureServers(): Promise<EnginesResult> {
  const machine = machineFacts(root);
  const generated = (name: string, count: number): { input: string; records: number } => {
    say(`generating ${count} records (seed ${seed})`);
    const input = join(root, `${name}.jsonl`);
    writeEvidence(input, { records: count, seed });
    return { input, records: count };
  };
  const partRecords = Number(options["role-records"] ?? Math.min(records, 20_000));
  const begun = new Date().toISOString();
  const measured = await measureEngines({
    whole: generated("whole", records),
    part: generated("part", partRecords),
    rounds,
    targets: TARGETS.filter((target) => options.roles.split(",").includes(target)),
    parts: wanted,
    directory: root,
    say,
  });
  return { begun, machine, seed, ...measured };
}

function defaultOut(): string {
  const day = new Date().toISOString().slice(0, 10);
  const kinds = ["engines", "independence", "reconcile", "backup"] as const;
  const kind = kinds.find((one) => options[one]);
  const name = `${day}-${kind === undefined ? "" : `${kind}-`}${records}.json`;
  return join(dirname(fileURLToPath(import.meta.url)), "results", name);
}
