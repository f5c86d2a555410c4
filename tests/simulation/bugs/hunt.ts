import { spawn } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { parseTable } from "./table.ts";
import type { PlantedBug } from "./table.ts";

const BUGS = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Plants each bug of the table into a copy of the sources, and runs seeds until it is found. */
export async function huntBugs(
  names: readonly string[],
  say: (line: string) => void,
): Promise<boolean> {
  const bugs = parseTable(readFileSync(join(BUGS, "bugs.tsv"), "utf8"));
  const wanted = names.length === 0 ? bugs : bugs.filter(({ name }) => names.includes(name));
  let isWell = true;
  for (const bug of wanted) {
    const found = await hunt(bug);
    const isFound = found !== undefined && found.seeds <= bug.seedsMax;
    const how =
      found === undefined ? "not found" : `${found.seeds} seeds: ${found.reason.slice(0, 120)}`;
    say(`${isFound ? "found" : "MISSED"} ${bug.name} within ${bug.seedsMax}: ${how}`);
    isWell &&= isFound;
  }
  return isWell;
}

interface Found {
  /** How many were run, the one that failed included. */
  readonly seeds: number;
  readonly reason: string;
}

async function hunt(bug: PlantedBug): Promise<Found | undefined> {
  const copy = mkdtempSync(join(tmpdir(), "custody-bug-"));
  try {
    copySources(copy);
    await run(
      "patch",
      ["--strip=1", "--silent", `--input=${join(BUGS, `${bug.name}.patch`)}`],
      copy,
    );
    const script = `
      import { drawPlan } from "./tests/simulation/plan.ts";
      import { simulate } from "./tests/simulation/simulation.ts";
      for (let seed = 1; seed <= ${bug.seedsMax}; seed += 1) {
        const { failure } = await simulate(drawPlan(seed));
        if (!${JSON.stringify(bug.invariants)}.includes(failure?.invariant)) continue;
        console.log(JSON.stringify({ seeds: seed, reason: failure.message }));
        break;
      }`;
    const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
    const eval_ = ["--input-type=module", "--eval", script];
    const said = await run(process.execPath, [...flags, ...eval_], copy);
    return said === "" ? undefined : (JSON.parse(said) as Found);
  } finally {
    rmSync(copy, { recursive: true, force: true });
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

function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "inherit"] });
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
