import type { ChildRun } from "./child-run.ts";
import type { MachineFacts } from "./machine-facts.ts";

/** The sides that write the same records. */
export type Side = "durable" | "relaxed" | "custody";

/** What one side reached, from its middle round. */
export interface SideResult {
  readonly seconds: number;
  readonly recordsPerSecond: number;
  readonly cpuSeconds: number;
  /** Resident memory summed over the process tree at its peak. */
  readonly peakBytes: number;
  /** The same with pages that processes share counted once. */
  readonly peakSharedOnceBytes: number;
  readonly diskBytes: number;
  readonly writtenBytes: number;
  /** Seconds of every round, in order. */
  readonly rounds: readonly number[];
  /** What only this side tells. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A whole run, as it is kept in `results/`. */
export interface BenchResult {
  readonly begun: string;
  readonly machine: MachineFacts;
  readonly records: number;
  readonly seed: number;
  readonly inputBytes: number;
  readonly sides: Readonly<Partial<Record<Side, SideResult>>>;
  /** Custody's records a second divided by the baseline's: 1 is as fast. */
  readonly ratios: Readonly<Record<string, number>>;
  readonly reads: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly commits?: Readonly<Record<string, unknown>> | undefined;
}

type Parts = Omit<BenchResult, "sides" | "ratios"> & {
  readonly runs: Readonly<Record<Side, readonly ChildRun[]>>;
};

/** Makes the result of the runs. */
export function summarise({ runs, ...rest }: Parts): BenchResult {
  const { records } = rest;
  const durable = sideResult(runs.durable, records);
  const relaxed = sideResult(runs.relaxed, records);
  const custody = sideResult(runs.custody, records);
  const ratios: Record<string, number> = {};
  for (const [name, baseline] of Object.entries({ durable, relaxed })) {
    if (custody === undefined || baseline === undefined) continue;
    ratios[name] = rounded(baseline.seconds / custody.seconds);
    ratios[`${name}, CPU`] = rounded(baseline.cpuSeconds / custody.cpuSeconds);
  }
  const sides = {
    ...(durable === undefined ? {} : { durable }),
    ...(relaxed === undefined ? {} : { relaxed }),
    ...(custody === undefined ? {} : { custody }),
  };
  return { ...rest, sides, ratios };
}

function sideResult(runs: readonly ChildRun[], records: number): SideResult | undefined {
  const ordered = runs.toSorted((left, right) => secondsOf(left) - secondsOf(right));
  const middle = ordered[ordered.length >> 1];
  if (middle === undefined) return undefined;
  const seconds = secondsOf(middle);
  const { usage, diskBytes, facts } = middle;
  return {
    seconds: rounded(seconds),
    recordsPerSecond: Math.round(records / seconds),
    cpuSeconds: rounded(usage.cpuSeconds),
    // Memory is a promise: of all rounds and to the end of each, the highest.
    peakBytes: Math.max(...runs.map(({ wholeUsage }) => wholeUsage.peakBytes)),
    peakSharedOnceBytes: Math.max(...runs.map(({ wholeUsage }) => wholeUsage.peakSharedOnceBytes)),
    diskBytes,
    writtenBytes: usage.writtenBytes,
    rounds: runs.map((run) => rounded(secondsOf(run))),
    facts,
  };
}

function secondsOf({ facts }: ChildRun): number {
  return Number(facts["seconds"]);
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
