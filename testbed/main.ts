import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import { bringUp, enginesNamed, variablesOf } from "./bring-up.ts";
import { composeDown, composeUp } from "./docker.ts";
import { GIVEN_SERVERS } from "./engines/catalogue.ts";
import { enginesHome } from "./engines-home.ts";
import { logFile, statusOf, stopEngine } from "./supervisor.ts";
import { describeEngine, exportLines, print, tell } from "./report.ts";

const USAGE = `usage: npm run engines -- <command> [names]

  up [--docker] [names]     gets, builds and starts servers; prints their URLs as lines for a shell
  down [--docker] [names]   stops them; data and programs stay
  status [names]            what is installed, what runs, where
  logs [names]              the last lines that servers printed

Without names all are meant. A server of your own is used where its variable
CUSTODY_TEST_<NAME>_URL is set. testbed/README.md tells more.`;

const LOG_LINES = 40;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { docker: { type: "boolean", default: false } },
});
const [command = "", ...names] = positionals;
const home = enginesHome(process.env, process.getuid?.());

// Whoever reads only the first lines (`| head`) wants no more of them.
process.stdout.on("error", () => process.exit(0));

try {
  process.exitCode = await run();
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function run(): Promise<number> {
  switch (command) {
    case "up":
      return values.docker ? await composeUp(names) : await up();
    case "down":
      return values.docker ? await composeDown(names) : await down();
    case "status":
      return await status();
    case "logs":
      return await logs();
    default:
      print(USAGE);
      return 2;
  }
}

async function up(): Promise<number> {
  const results = await bringUp(home, enginesNamed(names), (one) => tell(describeEngine(one)));
  for (const line of exportLines(variablesOf(results))) print(line);
  return results.some(({ failure }) => failure !== undefined) ? 1 : 0;
}

async function down(): Promise<number> {
  // Without names of their own only what is named is stopped, not what it stands on.
  const engines = enginesNamed(names).filter(
    ({ name }) => names.length === 0 || names.includes(name),
  );
  for (const engine of engines.toReversed()) {
    const wasRunning = await stopEngine(home, engine);
    if (wasRunning) print(`${engine.name.padEnd(18)} stopped`);
  }
  return 0;
}

async function status(): Promise<number> {
  print(`in ${home}`);
  for (const engine of enginesNamed(names)) {
    const { isInstalled, process: running, site, residentMegabytes } = await statusOf(home, engine);
    const what =
      running === undefined
        ? `${isInstalled ? "stopped" : "not installed"}`
        : `${running.saysVersion}  pid ${running.pid}  port ${site?.ports["main"]}  ${residentMegabytes} MB`;
    print(`${engine.name.padEnd(18)} ${what}  (${engine.pin.from})`);
    if (engine.note !== undefined) print(`${" ".repeat(19)}${engine.note}`);
  }
  if (names.length === 0) {
    for (const { name, why, variable } of GIVEN_SERVERS) {
      print(`${name.padEnd(18)} ${why}; set ${variable}`);
    }
  }
  return 0;
}

async function logs(): Promise<number> {
  for (const engine of enginesNamed(names)) {
    const { site } = await statusOf(home, engine);
    if (site === undefined) continue;
    const text = await readFile(logFile(site), "utf8").catch(() => "");
    print(`== ${engine.name}: ${logFile(site)}`);
    print(text.trimEnd().split("\n").slice(-LOG_LINES).join("\n"));
  }
  return 0;
}
