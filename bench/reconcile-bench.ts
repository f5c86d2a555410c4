import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { runChild } from "./child-run.ts";
import { writeEvidence } from "./generate.ts";
import { machineFacts } from "./machine-facts.ts";
import { printTable } from "./report-table.ts";

/** What is to be compared. */
export interface ReconcileRequest {
  readonly records: number;
  readonly seed: number;
  /** Comparisons besides the first and the repeated one: of `RECONCILE_PARTS`. */
  readonly parts: readonly string[];
  /** A directory of its own. */
  readonly directory: string;
  readonly say: (text: string) => void;
}

/** How long comparisons took. */
export interface ReconcileResult {
  readonly begun: string;
  readonly machine: ReturnType<typeof machineFacts>;
  readonly records: number;
  readonly seed: number;
  readonly reconcile: Readonly<Record<string, unknown>>;
  readonly peakBytes: number;
}

/** Fills the embedded stores and compares them: first, again, role by role, with hidden changes, and deep. */
export async function measureReconcile(request: ReconcileRequest): Promise<ReconcileResult> {
  const { records, seed, parts, directory, say } = request;
  const machine = machineFacts(directory);
  const input = join(directory, "evidence.jsonl");
  say(`generating ${records} records (seed ${seed})`);
  writeEvidence(input, { records, seed });
  const begun = new Date().toISOString();
  const place = join(directory, "reconcile");
  mkdirSync(place);
  const child = {
    input,
    directory: place,
    records,
    durability: "durable",
    reconcile: parts,
  } as const;
  const { facts, wholeUsage } = await runChild("./reconcile-run.ts", child);
  return { begun, machine, records, seed, reconcile: facts, peakBytes: wholeUsage.peakBytes };
}

/** Prints what comparisons took. */
export function printReconcile({ records, reconcile }: ReconcileResult): void {
  // Written by our own child process.
  const { compared } = reconcile as unknown as ReconcileFacts;
  printTable([
    [
      `reconcile, ${records} records`,
      "s",
      "µs a record",
      "CPU s",
      "peak MiB (shared once)",
      "found",
    ],
    ...Object.entries(compared).map(([name, one]) => [
      name,
      one.seconds.toFixed(2),
      ((one.seconds * 1_000_000) / records).toFixed(1),
      one.cpuSeconds.toFixed(2),
      `${mib(one.peakBytes)} (${mib(one.peakSharedOnceBytes)})`,
      String(one.differences),
    ]),
  ]);
}

interface ReconcileFacts {
  readonly compared: Readonly<
    Record<
      string,
      {
        readonly seconds: number;
        readonly cpuSeconds: number;
        readonly peakBytes: number;
        readonly peakSharedOnceBytes: number;
        readonly differences: number;
      }
    >
  >;
}

function mib(bytes: number): string {
  return (bytes / 1_048_576).toFixed(0);
}
