import { spawn } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Found } from "./find-bug.ts";
import { applyPatch, parsePatch } from "./patch.ts";
import { parseTable, withSeed } from "./table.ts";
import type { PlantedBug } from "./table.ts";

const BUGS = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const TABLE = join(BUGS, "bugs.tsv");

/** Which bugs are planted, and how they are looked for. */
export interface HuntOptions {
  /** All, when there are none. */
  readonly names: readonly string[];
  /** Leaves out those that may take more seeds. */
  readonly seedsMax: number;
  readonly jobs: number;
  /** Tries the seed that found a bug the last time before all others. */
  readonly isByKnownSeed: boolean;
  /** Writes into the table which seed found each bug. */
  readonly isNoted: boolean;
  readonly say: (line: string) => void;
}

/** What a hunt came to. */
export interface HuntReport {
  readonly found: number;
  readonly missed: number;
}

/** Plants each bug into a copy of the sources, and runs seeds until it is found. */
export async function huntBugs(options: HuntOptions): Promise<HuntReport> {
  const { names, jobs, seedsMax, isByKnownSeed, isNoted, say } = options;
  const bugs = parseTable(readFileSync(TABLE, "utf8"));
  const unknown = names.filter((wanted) => !bugs.some(({ name }) => name === wanted));
  if (unknown.length > 0) throw new Error(`there is no planted bug ${unknown.join(", ")}`);
  const left = bugs.filter(
    (bug) => bug.seedsMax <= seedsMax && (names.length === 0 || names.includes(bug.name)),
  );
  let [found, missed] = [0, 0];
  const work = async (): Promise<void> => {
    for (let bug = left.shift(); bug !== undefined; bug = left.shift()) {
      const startedAt = performance.now();
      const result = await hunt(bug, isByKnownSeed);
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      if (result === undefined) missed += 1;
      else found += 1;
      say(`${told(bug, result)} (${seconds} s)`);
      if (isNoted && result !== undefined)
        writeFileSync(TABLE, withSeed(readFileSync(TABLE, "utf8"), bug.name, result.seed));
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return { found, missed };
}

function told({ name, seedsMax, knownSeed }: PlantedBug, found: Found | undefined): string {
  if (found === undefined) return `MISSED ${name}: not within ${seedsMax} seeds`;
  const isKnown = found.seed === knownSeed ? "" : `, no more by seed ${knownSeed}`;
  return `found ${name} by seed ${found.seed}${isKnown}: ${found.reason.slice(0, 120)}`;
}

async function hunt(bug: PlantedBug, isByKnownSeed: boolean): Promise<Found | undefined> {
  const copy = mkdtempSync(join(tmpdir(), "custody-bug-"));
  try {
    copySources(copy);
    plant(bug.name, copy);
    const { knownSeed, seedsMax } = bug;
    const known = isByKnownSeed ? await find(bug, copy, [knownSeed, knownSeed + 1]) : undefined;
    // Whatever changes the core changes what a seed does: another one then finds the bug.
    return known ?? (await find(bug, copy, [1, seedsMax + 1]));
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

async function find(
  { invariants }: PlantedBug,
  copy: string,
  seeds: readonly [number, number],
): Promise<Found | undefined> {
  const script = join(copy, "tests/simulation/bugs/find-bug.ts");
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
  const said = await run(process.execPath, [...flags, script, ...seeds.map(String), ...invariants]);
  return said === "" ? undefined : (JSON.parse(said) as Found);
}

function plant(name: string, copy: string): void {
  for (const file of parsePatch(readFileSync(join(BUGS, `${name}.patch`), "utf8"))) {
    const path = join(copy, file.path);
    writeFileSync(path, applyPatch(readFileSync(path, "utf8"), file));
  }
}

/** The sources that patches touch are copied; everything else is the installation's own. */
function copySources(copy: string): void {
  for (const part of ["packages/core/src", "tests/simulation"])
    cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  cpSync(join(ROOT, "packages/core/package.json"), join(copy, "packages/core/package.json"));
  cpSync(join(ROOT, "package.json"), join(copy, "package.json"));
  const modules = join(copy, "node_modules");
  mkdirSync(join(modules, "@custody"), { recursive: true });
  for (const name of readdirSync(join(ROOT, "node_modules"))) {
    if (name.startsWith(".") || name === "@custody") continue;
    symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  }
  for (const name of readdirSync(join(ROOT, "packages"))) {
    const target = name === "core" ? join(copy, "packages/core") : join(ROOT, "packages", name);
    symlinkSync(target, join(modules, "@custody", name));
  }
}

function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(said.trim());
      else reject(new Error(`${command} ended with ${code ?? signal}`));
    });
  });
}
