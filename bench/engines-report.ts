import type { ChildRun } from "./child-run.ts";
import type { MachineFacts } from "./machine-facts.ts";
import { printTable } from "./report-table.ts";

/** Raw clients; one store behind its port; Custody with its journal. */
export type WrittenSide = "raw" | "store" | "custody";

/** What one side reached: the middle of its rounds. */
export interface TargetSide {
  readonly seconds: number;
  readonly recordsPerSecond: number;
  /** Of our process, without the servers'. */
  readonly cpuSeconds: number;
  readonly rounds: readonly number[];
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A store, or all of them, from all sides. */
export interface TargetResult {
  readonly records: number;
  readonly sides: Readonly<Partial<Record<WrittenSide, TargetSide>>>;
  /** Records a second divided by the raw client's, the middle of the rounds' own ratios: 1 is as fast. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Processes that ran or wanted to, when each run began: others' work disturbs figures. */
  readonly load: readonly number[];
}

/** A whole run on servers, as it is kept in `results/`. */
export interface EnginesResult {
  readonly begun: string;
  readonly machine: MachineFacts;
  readonly seed: number;
  readonly roles: Readonly<Record<string, TargetResult>>;
  readonly together?: TargetResult;
  readonly operations?: Readonly<Record<string, Operation>> | undefined;
  readonly reads?: Readonly<Record<"raw" | "custody", Readonly<Record<string, unknown>>>>;
}

/** A kind of call, so many a second. */
export interface Operation {
  readonly raw: number;
  readonly store: number;
  readonly ratio: number;
  readonly unit: string;
}

/** Makes the result of runs that took turns. */
export function targetResult(
  runs: Readonly<Record<WrittenSide, readonly ChildRun[]>>,
  of: { readonly records: number; readonly target: string; readonly load: readonly number[] },
): TargetResult {
  const { records, target, load } = of;
  // The journal's work is done with the receipt.
  const fact = target === "journal" ? "acknowledgedSeconds" : "seconds";
  const secondsOf = ({ facts }: ChildRun): number => Number(facts[fact] ?? facts["seconds"]);
  const ratios: Record<string, number> = {};
  const ratio = (name: string, side: WrittenSide, seconds: (run: ChildRun) => number): void => {
    const each = runs[side].map((run, round) => {
      const raw = runs.raw[round];
      return raw === undefined ? Number.NaN : secondsOf(raw) / seconds(run);
    });
    if (each.length > 0) ratios[name] = rounded(middle(each));
  };
  ratio("store", "store", secondsOf);
  ratio("custody", "custody", secondsOf);
  ratio("acknowledged", "custody", ({ facts }) => Number(facts["acknowledgedSeconds"]));
  const sides: Partial<Record<WrittenSide, TargetSide>> = {};
  for (const side of ["raw", "store", "custody"] as const) {
    const made = sideOf(runs[side], records, secondsOf);
    if (made !== undefined) sides[side] = made;
  }
  return { records, sides, ratios, load };
}

function sideOf(
  runs: readonly ChildRun[],
  records: number,
  secondsOf: (run: ChildRun) => number,
): TargetSide | undefined {
  const ordered = runs.toSorted((left, right) => secondsOf(left) - secondsOf(right));
  const of = ordered[ordered.length >> 1];
  if (of === undefined) return undefined;
  return {
    seconds: rounded(secondsOf(of)),
    recordsPerSecond: Math.round(records / secondsOf(of)),
    cpuSeconds: rounded(of.usage.cpuSeconds),
    rounds: runs.map((run) => rounded(secondsOf(run))),
    facts: of.facts,
  };
}

const READS = [
  ["get", "MongoDB, by _id"],
  ["find", "MongoDB, by session_id"],
  ["search", "OpenSearch, total and highlights"],
  ["aggregate", "ClickHouse, two measures by model"],
  ["neighbours", "Neo4j, of a probe"],
  ["series", "PostgreSQL, hourly means by model"],
  ["table", "PostgreSQL, sessions and their counts"],
] as const;

/** Prints a run for people. */
export function printEngines(result: EnginesResult): void {
  const { machine, roles, together, operations, reads } = result;
  print(`${machine.cores} × ${machine.cpu}, Node ${machine.node}, load ${machine.load.join(" ")}`);
  const rows = Object.entries(roles).map(([name, one]) => targetRow(name, one));
  if (together !== undefined) rows.push(targetRow("all together", together));
  if (rows.length > 0) {
    print("records a second; behind each, of the raw client's; CPU seconds of our processes");
    printTable([
      [
        "",
        "records",
        "raw",
        "store",
        "",
        "acknowledged",
        "",
        "caught up",
        "",
        "CPU raw/store/custody",
      ],
      ...rows,
    ]);
  }
  if (operations !== undefined) {
    printTable([
      ["operation", "raw", "store", "ratio", ""],
      ...Object.entries(operations).map(([name, { raw, store, ratio, unit }]) => [
        name,
        String(raw),
        String(store),
        ratio.toFixed(2),
        unit,
      ]),
    ]);
  }
  if (reads !== undefined) {
    printTable([
      ["read, p50 / p95 ms", "custody", "raw", "raw client asks"],
      ...READS.map(([name, asks]) => [
        name,
        latencyText(reads.custody[name]),
        latencyText(reads.raw[name]),
        asks,
      ]),
    ]);
  }
}

function targetRow(name: string, { records, sides, ratios }: TargetResult): string[] {
  const { raw, store, custody } = sides;
  const acknowledged = Number(custody?.facts["acknowledgedSeconds"]);
  const isJournal = name === "journal";
  const ratio = (of: string): string => ratios[of]?.toFixed(2) ?? "";
  return [
    name,
    String(records),
    String(raw?.recordsPerSecond ?? ""),
    String(store?.recordsPerSecond ?? ""),
    ratio("store"),
    custody === undefined ? "" : String(Math.round(records / acknowledged)),
    ratio("acknowledged"),
    isJournal || custody === undefined ? "" : String(custody.recordsPerSecond),
    isJournal ? "" : ratio("custody"),
    [raw, store, custody].map((side) => side?.cpuSeconds.toFixed(1) ?? "–").join(" / "),
  ];
}

function latencyText(value: unknown): string {
  if (value === undefined) return "";
  // Written by our own child processes as `Latency`.
  const { p50Ms, p95Ms } = value as { readonly p50Ms: number; readonly p95Ms: number };
  return `${p50Ms} / ${p95Ms}`;
}

/** The middle one; of two the lower, so that a ratio is never flattered. */
function middle(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[(values.length - 1) >> 1] ?? 0;
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
