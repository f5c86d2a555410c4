import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";

import type { StoreRole } from "@custody/contract/placement";

import { bringUp, enginesNamed, variablesOf } from "./bring-up.ts";
import type { BroughtUp } from "./bring-up.ts";
import { dropInstallation } from "./drop-installation.ts";
import { ENGINES } from "./engines/catalogue.ts";
import { enginesHome } from "./engines-home.ts";
import { describeEngine, print } from "./report.ts";
import {
  chosenUrls,
  installationUrl,
  ROLE_SERVERS,
  ROLES,
  roleUrls,
  roleVariables,
} from "./role-urls.ts";
import type { InstallationUrls } from "./role-urls.ts";
import { stopEngine } from "./supervisor.ts";

const DEMO = fileURLToPath(new URL("../packages/server/src/demo/main.ts", import.meta.url));

/**
 * Tells the demonstration with a server for every role: those of `CUSTODY_<ROLE>_URL` and
 * `CUSTODY_TEST_<NAME>_URL` where they are set, else the testbed's. On each it uses an installation of its
 * own, which is dropped in the end, as the servers that were started for it are stopped; with `--keep`
 * both stay. Answers the exit code.
 */
export async function demoOnServers(args: readonly string[]): Promise<number> {
  const isKept = args.includes("--keep");
  const home = enginesHome(process.env, process.getuid?.());
  // The demonstration hears a terminal's interrupt by itself; what was started is stopped after it.
  process.on("SIGINT", () => undefined);
  const results = await bringUp(home, enginesNamed(neededEngines()), (one) =>
    print(describeEngine(one)),
  );
  try {
    const failed = results.filter(({ started, givenUrl }) => (started ?? givenUrl) === undefined);
    if (failed.length > 0) return 1;
    return await tell(args, variablesOf(results), isKept);
  } finally {
    if (!isKept) await stopStarted(home, results);
  }
}

/** The testbed's engines for the roles that no server is given for. */
function neededEngines(): readonly string[] {
  const candidates = roleUrls(process.env, "custody");
  const open = ROLES.filter(
    (role) => givenUrl(role) === undefined && candidates[role].length === 0,
  );
  const names = open.flatMap(
    (role) => ROLE_SERVERS[role].find((name) => ENGINES.some((one) => one.name === name)) ?? [],
  );
  // Without names all engines would be meant; toxiproxy is the least of them.
  return names.length === 0 ? ["toxiproxy"] : [...new Set(names)];
}

function givenUrl(role: StoreRole): string | undefined {
  const url = process.env[`CUSTODY_${role.toUpperCase()}_URL`];
  return url === "" ? undefined : url;
}

async function tell(
  args: readonly string[],
  started: Readonly<Record<string, string>>,
  isKept: boolean,
): Promise<number> {
  const name = `demo${randomBytes(4).toString("hex")}`;
  const urls = urlsOf(started, name);
  // What is lost is replaced by stores that nobody has used; the relational one keeps the journal as well.
  const { relational: _, ...replacements } = urlsOf(started, `${name}new`);
  try {
    return await run(args, {
      ...started,
      ...roleVariables(urls),
      CUSTODY_DEMO_REPLACEMENTS: JSON.stringify(replacements),
    });
  } finally {
    if (!isKept) {
      await dropInstallation(urls);
      await dropInstallation(replacements);
    }
  }
}

function urlsOf(started: Readonly<Record<string, string>>, name: string): InstallationUrls {
  const given = ROLES.flatMap((role) => {
    const url = givenUrl(role);
    return url === undefined ? [] : [[role, installationUrl(url, name)] as const];
  });
  const chosen = chosenUrls(roleUrls({ ...process.env, ...started }, name));
  return { ...chosen, ...Object.fromEntries(given) };
}

function run(
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, DEMO, ...args], {
    env: { ...process.env, ...variables },
    stdio: "inherit",
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

async function stopStarted(home: string, results: readonly BroughtUp[]): Promise<void> {
  for (const { engine, started } of results.toReversed()) {
    if (started?.wasRunning === false) await stopEngine(home, engine);
  }
}
