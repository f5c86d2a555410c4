import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { runChild } from "./child-run.ts";
import type { ChildRun } from "./child-run.ts";
import { writeEvidence } from "./generate.ts";
import { loadNow, machineFacts } from "./machine-facts.ts";

/** What is to be backed up and restored. */
export interface BackupBenchRequest {
  readonly records: number;
  readonly seed: number;
  readonly rounds: number;
  /** A directory of its own. */
  readonly directory: string;
  readonly say: (text: string) => void;
}

/** What a child answered, and what it took. */
export interface Measured {
  readonly facts: ChildRun["facts"];
  /** Of the process tree, up to the end of the work that the child is named after. */
  readonly peakBytes: number;
  /** To its end, with stores being filled and compared. */
  readonly wholePeakBytes: number;
  /** The load average of the minute in which it ended. */
  readonly load: number;
}

/** One installation filled, backed up and restored, each by a process of its own. */
export interface SizeResult {
  readonly records: number;
  readonly fill: Measured;
  readonly create: Measured;
  readonly restore: Measured;
}

/** What backups cost. */
export interface BackupResult {
  readonly begun: string;
  readonly machine: ReturnType<typeof machineFacts>;
  readonly records: number;
  readonly seed: number;
  readonly rounds: number;
  readonly backup: {
    readonly roundRecords: number;
    readonly ingest: Measured;
    readonly keys: Measured;
    readonly changedRecords: number;
    readonly speed: Measured;
    /** The size asked for, and five times as many records: memory should hardly differ. */
    readonly sizes: readonly SizeResult[];
  };
}

// Seconds long, so that several rounds of shipping fall into a stretch, and few enough for the disk.
const ROUND_RECORDS_MAX = 40_000;
const LARGER = 5;
const PEOPLE = 1_000;

/** Measures backups and restores on embedded engines. */
export async function measureBackup(request: BackupBenchRequest): Promise<BackupResult> {
  const { records, seed, rounds, directory } = request;
  const machine = machineFacts(directory);
  const begun = new Date().toISOString();
  const roundRecords = Math.min(2 * records, ROUND_RECORDS_MAX);
  const changedRecords = Math.max(1, Math.round(records / 100));
  const ingest = await measureIngest(request, roundRecords);
  const keys = await measureKeys(request);
  const size = await measureSize(request, records);
  const speed = await measureSpeed(request, changedRecords);
  const sizes = [size, await measureSize(request, LARGER * records)];
  const backup = { roundRecords, ingest, keys, changedRecords, speed, sizes };
  return { begun, machine, records, seed, rounds, backup };
}

/** Three kinds of stretches a round, behind the records that are there before. */
async function measureIngest(request: BackupBenchRequest, roundRecords: number): Promise<Measured> {
  const directory = emptied(request, "ingest");
  const { records, rounds } = request;
  const all = records + 3 * rounds * roundRecords;
  const input = generated(request, { name: "ingest", records: all, seed: request.seed });
  return run(request, { program: "ingest", directory, input, records, roundRecords });
}

async function measureKeys(request: BackupBenchRequest): Promise<Measured> {
  const directory = emptied(request, "keys");
  return run(request, { program: "keys", directory, input: "", records: PEOPLE });
}

/** Leaves the installation and its backup. */
async function measureSize(request: BackupBenchRequest, records: number): Promise<SizeResult> {
  const directory = emptied(request, "size");
  const input = generated(request, { name: "size", records, seed: request.seed });
  const of = { directory, input, records };
  const fill = await run(request, { program: "fill", ...of });
  const create = await run(request, { program: "create", ...of });
  const restore = await run(request, { program: "restore", ...of });
  rmSync(join(directory, "restored"), { recursive: true });
  return { records, fill, create, restore };
}

/** Of the installation that is there, with as many new records as are to be an incremental backup. */
async function measureSpeed(
  request: BackupBenchRequest,
  changedRecords: number,
): Promise<Measured> {
  const changed = { name: "changed", records: changedRecords, seed: request.seed + 1 };
  const input = generated(request, changed);
  const directory = join(request.directory, "size");
  return run(request, { program: "speed", directory, input, records: request.records });
}

interface Child {
  readonly program: "ingest" | "keys" | "fill" | "create" | "restore" | "speed";
  readonly directory: string;
  readonly input: string;
  readonly records: number;
  readonly roundRecords?: number;
}

async function run(
  { rounds, say }: BackupBenchRequest,
  { program, directory, input, records, roundRecords = 0 }: Child,
): Promise<Measured> {
  say(`${program}, ${records} records`);
  const { facts, usage, wholeUsage } = await runChild(`./backup-${program}-run.ts`, {
    input,
    directory,
    records,
    durability: "durable",
    backup: { rounds, roundRecords, repository: join(directory, "backups") },
  });
  const { peakBytes: wholePeakBytes } = wholeUsage;
  return { facts, peakBytes: usage.peakBytes, wholePeakBytes, load: loadNow() };
}

function generated(
  { directory, say }: BackupBenchRequest,
  of: { readonly name: string; readonly records: number; readonly seed: number },
): string {
  const input = join(directory, `${of.name}.jsonl`);
  say(`generating ${of.records} records (seed ${of.seed})`);
  writeEvidence(input, of);
  return input;
}

function emptied({ directory }: BackupBenchRequest, name: string): string {
  const own = join(directory, name);
  rmSync(own, { recursive: true, force: true });
  mkdirSync(own);
  return own;
}
