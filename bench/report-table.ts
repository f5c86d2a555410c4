import type { BenchResult, SideResult } from "./report.ts";

const MIB = 2 ** 20;
const READS = ["get", "find", "search", "aggregate", "neighbours"] as const;

/** Prints a run for people. */
export function printReport(result: BenchResult): void {
  const { machine, records, inputBytes, sides, ratios } = result;
  print(`${records} records, ${mib(inputBytes)} MiB of JSON, seed ${result.seed}`);
  const load = machine.load.join(" ");
  print(`${machine.cores} × ${machine.cpu}, Node ${machine.node}, load before ${load}`);
  print(
    `fdatasync: ${Object.entries(machine.syncMs)
      .map(([size, ms]) => `${size} ${ms} ms`)
      .join(", ")}`,
  );
  const columns = ["", "s", "records/s", "CPU s", "peak MiB", "(PSS)", "disk MiB", "written MiB"];
  const rows = Object.entries(sides).map(([name, side]) => sideRow(name, side));
  printTable([columns, ...rows]);
  printCustody(sides.custody, records);
  for (const [name, ratio] of Object.entries(ratios)) {
    print(`custody / baseline ${name}: ${ratio.toFixed(2)}`);
  }
  printReads(result);
  if (result.commits !== undefined) print(`commits: ${JSON.stringify(result.commits)}`);
}

function sideRow(name: string, side: SideResult): string[] {
  const { seconds, recordsPerSecond, cpuSeconds, peakBytes, diskBytes, writtenBytes } = side;
  return [
    name === "custody" ? name : `raw, ${name}`,
    seconds.toFixed(2),
    String(recordsPerSecond),
    cpuSeconds.toFixed(1),
    mib(peakBytes),
    mib(side.peakSharedOnceBytes),
    mib(diskBytes),
    mib(writtenBytes),
  ];
}

function printCustody(side: SideResult | undefined, records: number): void {
  if (side === undefined) return;
  const fact = (name: string): number => Number(side.facts[name]);
  const acknowledged = fact("acknowledgedSeconds");
  print(
    `custody: acknowledged ${Math.round(records / acknowledged)} records/s (${acknowledged.toFixed(2)} s); ` +
      `reconciled in ${fact("reconcileSeconds").toFixed(2)} s with ${fact("differences")} differences, ` +
      `verified in ${fact("verifySeconds").toFixed(2)} s: ${String(side.facts["isVerified"])}`,
  );
}

function printReads({ reads }: BenchResult): void {
  const { custody, baseline } = reads;
  if (custody === undefined && baseline === undefined) return;
  const cell = (side: Readonly<Record<string, unknown>> | undefined, name: string): string => {
    // Written by our own child processes as `Latency`.
    const latency = side?.[name] as { readonly p50Ms: number; readonly p99Ms: number } | undefined;
    return latency === undefined ? "" : `${latency.p50Ms} / ${latency.p99Ms}`;
  };
  printTable([
    ["read, p50 / p99 ms", "custody", "raw"],
    ...READS.map((name) => [name, cell(custody, name), cell(baseline, name)]),
  ]);
}

/** Prints rows with their columns aligned, all but the first to the right. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of rows) {
    print(
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  "),
    );
  }
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(0);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
