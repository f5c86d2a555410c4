import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { runChild } from "./child-run.ts";
import type { MachineFacts } from "./machine-facts.ts";
import type { StoppedStore } from "./run-request.ts";

/** One way in which a store was stopped, or none, and what came of it. */
export interface IndependenceRow {
  readonly stopped: string;
  /** Acknowledged records a second while it was stopped. */
  readonly recordsPerSecond: number;
  /** Of the speed with every store up, in the run just before. */
  readonly ofNormal: number;
  /** Records a second that the store took once it was back, after its first delivery. */
  readonly catchUpPerSecond: number;
  readonly catchUpOfIngest: number;
  readonly waitedSeconds: number;
  readonly callsWhileStopped: number;
  readonly peakBytes: number;
  readonly isReconciled: boolean;
}

/** What a run with stopped stores came to. */
export interface IndependenceResult {
  readonly begun: string;
  readonly machine: MachineFacts;
  readonly records: number;
  readonly rounds: number;
  readonly independence: readonly IndependenceRow[];
}

export interface IndependenceOptions {
  readonly input: string;
  readonly records: number;
  readonly rounds: number;
  readonly directory: string;
  readonly say: (text: string) => void;
}

const STOPPED: readonly StoppedStore[] = [
  { role: "document", how: "refusing" },
  { role: "search", how: "refusing" },
  { role: "relational", how: "refusing" },
  { role: "series", how: "refusing" },
  { role: "analytics", how: "refusing" },
  { role: "graph", how: "refusing" },
  { role: "search", how: "silent" },
];

type Facts = Readonly<Record<string, unknown>>;
interface Run {
  readonly facts: Facts;
  readonly peakBytes: number;
}

/** A run with a store stopped, and the one with every store up that came just before it. */
interface Pair {
  readonly normal: Run;
  readonly stopped: Run;
}

/**
 * Commits the same evidence with every store up and with one stopped, in pairs, so that whatever else
 * the machine does disturbs both alike.
 */
export async function measureIndependence(
  options: IndependenceOptions,
): Promise<readonly IndependenceRow[]> {
  const pairs = STOPPED.map((): Pair[] => []);
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const [index, stopped] of STOPPED.entries()) {
      options.say(`${nameOf(stopped)}, round ${round} of ${options.rounds}`);
      const normal = await runOnce(options, undefined);
      pairs[index]?.push({ normal, stopped: await runOnce(options, stopped) });
    }
  }
  return STOPPED.map((stopped, index) => rowOf(nameOf(stopped), pairs[index] ?? []));
}

async function runOnce(
  { input, records, directory }: IndependenceOptions,
  stopped: StoppedStore | undefined,
): Promise<Run> {
  const own = join(directory, "independence");
  rmSync(own, { recursive: true, force: true });
  mkdirSync(own);
  const { facts, usage } = await runChild("./independence-run.ts", {
    input,
    directory: own,
    records,
    durability: "durable",
    ...(stopped === undefined ? {} : { stopped }),
  });
  return { facts, peakBytes: usage.peakBytes };
}

/** Prints the rows for people. */
export function printIndependence({ records, rounds, independence }: IndependenceResult): void {
  print(`${records} records, ${rounds} rounds, the middle one of each`);
  for (const row of independence) {
    print(
      `${row.stopped}: acknowledged ${row.recordsPerSecond} records/s, ${row.ofNormal.toFixed(2)} of normal; ` +
        `caught up at ${row.catchUpPerSecond} records/s, ${row.catchUpOfIngest.toFixed(1)} times ingest, ` +
        `after ${row.waitedSeconds.toFixed(1)} s; ${row.callsWhileStopped} calls while stopped; ` +
        `peak ${Math.round(row.peakBytes / 2 ** 20)} MiB; reconciled: ${row.isReconciled}`,
    );
  }
}

function rowOf(stopped: string, pairs: readonly Pair[]): IndependenceRow {
  const middle = (value: (pair: Pair) => number): number => median(pairs.map(value));
  const ofStopped = (name: string): number =>
    middle(({ stopped: { facts } }) => Number(facts[name]));
  return {
    stopped,
    recordsPerSecond: Math.round(middle((pair) => perSecond(pair.stopped))),
    ofNormal: middle((pair) => perSecond(pair.stopped) / perSecond(pair.normal)),
    catchUpPerSecond: Math.round(middle((pair) => catchUpPerSecond(pair.stopped))),
    catchUpOfIngest: middle((pair) => catchUpPerSecond(pair.stopped) / perSecond(pair.normal)),
    waitedSeconds: ofStopped("waitedSeconds"),
    callsWhileStopped: ofStopped("callsWhileStopped"),
    peakBytes: Math.max(...pairs.map((pair) => pair.stopped.peakBytes)),
    isReconciled: pairs.every((pair) => pair.stopped.facts["isReconciled"] === true),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function perSecond({ facts }: Run): number {
  return Number(facts["records"]) / Number(facts["acknowledgedSeconds"]);
}

function catchUpPerSecond({ facts }: Run): number {
  const seconds = Number(facts["caughtUpSeconds"]);
  return seconds === 0 ? 0 : Number(facts["caughtUpRecords"]) / seconds;
}

function nameOf({ role, how }: StoppedStore): string {
  return `${role} ${how}`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
