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

/** Fills the embedded stores and compares them: first, again, role by role, and deep. */
export async function measureReconcile(request: ReconcileRequest): Promise<ReconcileResult> {
  const { records, seed, directory, say } = request;
  const machine = machineFacts(directory);
  const input = join(directory, "evidence.jsonl");
  say(`generating ${records} records (seed ${seed})`);
  writeEvidence(input, { records, seed });
  const begun = new Date().toISOString();
  const place = join(directory, "reconcile");
  mkdirSync(place);
  const child = { input, directory: place, records, durability: "durable" } as const;
  const { facts, wholeUsage } = await runChild("./reconcile-run.ts", child);
  return { begun, machine, records, seed, reconcile: facts, peakBytes: wholeUsage.peakBytes };
}

/** Prints what comparisons took. */
export function printReconcile({ records, reconcile }: ReconcileResult): void {
  // Written by our own child process.
  const { first, again, deep, byRole } = reconcile as unknown as ReconcileFacts;
  const row = (name: string, seconds: number): string[] => [
    name,
    seconds.toFixed(2),
    ((seconds * 1_000_000) / records).toFixed(1),
  ];
  printTable([
    [`reconcile, ${records} records`, "s", "µs a record"],
    row("first", first.seconds),
    row("again, nothing changed", again.seconds),
    ...Object.entries(byRole).map(([role, seconds]) => row(`again, ${role} alone`, seconds)),
    row("deep", deep.seconds),
  ]);
}

interface ReconcileFacts {
  readonly first: { readonly seconds: number };
  readonly again: { readonly seconds: number };
  readonly deep: { readonly seconds: number };
  readonly byRole: Readonly<Record<string, number>>;
}
