import { access, chown, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { findCommand } from "./command.ts";
import type { Engine, Launch, Site } from "./engine.ts";
import { choosePorts } from "./ports.ts";
import { makeOpenDirectory, serviceUser } from "./service-user.ts";
import { isAlive, readState, startTicksOf, writeState } from "./state.ts";
import type { EngineProcess, EngineState } from "./state.ts";
import { whileLocked } from "./turns.ts";

/** What bringing an engine up came to. */
export interface Started {
  /** What the server says of itself. */
  readonly version: string;
  readonly site: Site;
  /** True when it ran already. */
  readonly wasRunning: boolean;
}

/** How an engine is: what is installed of it, what runs. */
export interface EngineStatus {
  readonly isInstalled: boolean;
  readonly process: EngineProcess | undefined;
  readonly site: Site | undefined;
  readonly residentMegabytes: number | undefined;
}

// A JVM on a machine that is busy with others needs its time.
const READY_MS = 180_000;
const STOP_MS = 30_000;

/** Installs an engine unless its program is there already; a half installation is begun anew. */
export async function installEngine(home: string, engine: Engine): Promise<void> {
  const directory = join(home, engine.distOf ?? engine.name);
  await makeOpenDirectory(directory);
  await whileLocked(directory, async () => {
    const version = await versionOf(engine);
    const dist = join(directory, `dist-${version}`);
    if (await isThere(join(dist, "complete"))) return;
    const missing: string[] = [];
    for (const name of engine.needs) {
      if ((await findCommand(name)) === undefined) missing.push(name);
    }
    if (missing.length > 0) throw new Error(`needs ${missing.join(" and ")} on the PATH`);
    await rm(dist, { recursive: true, force: true });
    // Programs know the place they were built for, so the directory has its name from the start.
    await makeOpenDirectory(dist);
    await engine.install(dist, version);
    await writeFile(join(dist, "complete"), "");
  });
}

/** Starts an engine unless it runs already, and waits until it answers. */
export async function startEngine(
  home: string,
  engine: Engine,
  others: Readonly<Record<string, Site>>,
): Promise<Started> {
  const directory = join(home, engine.name);
  await makeOpenDirectory(directory);
  return await whileLocked(`${directory}/start`, async () => {
    const version = await versionOf(engine);
    const state = await readState(directory);
    const user = engine.isRootRefused === true ? await serviceUser() : undefined;
    const siteOf = (ports: Site["ports"]): Site => ({
      home,
      dist: join(home, engine.distOf ?? engine.name, `dist-${version}`),
      run: join(directory, `run-${version}`),
      ports,
      others,
      user,
    });
    const running = state?.process;
    if (state !== undefined && running !== undefined && (await isAlive(running))) {
      if (state.version === version) {
        return { version: running.saysVersion, site: siteOf(state.ports), wasRunning: true };
      }
      await stopProcess(running);
    }
    const site = siteOf(await choosePorts(engine.ports, state?.ports ?? {}));
    await mkdir(site.run, { recursive: true });
    if (user !== undefined) await chown(site.run, user.uid, user.gid);
    const launch = await engine.launch(site);
    const process = await runLaunch(engine, site, launch, async (process) => {
      await writeState(directory, { version, ports: site.ports, process });
    });
    return { version: process.saysVersion, site, wasRunning: false };
  });
}

/** Stops an engine; its ports and data are kept. Answers whether it was running. */
export async function stopEngine(home: string, engine: Engine): Promise<boolean> {
  const directory = join(home, engine.name);
  const state = await readState(directory);
  if (state?.process === undefined) return false;
  const wasRunning = await isAlive(state.process);
  if (wasRunning) await stopProcess(state.process);
  await writeState(directory, { version: state.version, ports: state.ports });
  return wasRunning;
}

/** How an engine is, without starting anything. */
export async function statusOf(home: string, engine: Engine): Promise<EngineStatus> {
  const version = await versionOf(engine).catch(() => engine.pin.version);
  const dist = join(home, engine.distOf ?? engine.name, `dist-${version}`);
  const state = await readState(join(home, engine.name));
  const process =
    state?.process !== undefined && (await isAlive(state.process)) ? state.process : undefined;
  return {
    isInstalled: await isThere(join(dist, "complete")),
    process,
    site: state === undefined ? undefined : storedSite(home, engine, state),
    residentMegabytes: process === undefined ? undefined : await residentMegabytes(process.pid),
  };
}

/** The file that takes what a server prints. */
export function logFile({ run }: Site): string {
  return join(run, "server.log");
}

function storedSite(home: string, engine: Engine, { version, ports }: EngineState): Site {
  return {
    home,
    dist: join(home, engine.distOf ?? engine.name, `dist-${version}`),
    run: join(home, engine.name, `run-${version}`),
    ports,
    others: {},
    user: undefined,
  };
}

async function runLaunch(
  engine: Engine,
  site: Site,
  launch: Launch,
  remember: (process: EngineProcess) => Promise<void>,
): Promise<EngineProcess> {
  const { program, args, environment = {}, stopSignal = "SIGTERM" } = launch;
  await rename(logFile(site), `${logFile(site)}.old`).catch(() => undefined);
  const log = await open(logFile(site), "a");
  const child = spawn(program, args, {
    cwd: site.run,
    // The settings of whoever started the testbed are not those of a server.
    env: { ...serverEnvironment(), ...environment },
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
    ...(site.user === undefined ? {} : site.user),
  });
  let failure: string | undefined;
  child.once("error", (error) => (failure = error.message));
  child.once("exit", (code, signal) => (failure ??= `it ended (${code ?? signal})`));
  await new Promise((resolve) => {
    child.once("spawn", resolve);
    child.once("error", resolve);
  });
  child.unref();
  await log.close();
  const pid = child.pid ?? 0;
  const found = {
    pid,
    startTicks: (await startTicksOf(pid)) ?? "",
    saysVersion: "?",
    stopSignal,
  } as const;
  await remember(found);
  try {
    const saysVersion = await untilReady(launch, () => failure);
    await launch.furnish?.();
    const process = { ...found, saysVersion };
    await remember(process);
    return process;
  } catch (cause) {
    if (failure === undefined) await stopProcess(found);
    throw new Error(`${engine.name} did not start; see ${logFile(site)}`, { cause });
  }
}

function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];
  return Object.fromEntries(kept.map((name) => [name, process.env[name]]));
}

async function untilReady(launch: Launch, failure: () => string | undefined): Promise<string> {
  const until = performance.now() + READY_MS;
  for (;;) {
    try {
      return await launch.probe();
    } catch (cause) {
      const ended = failure();
      if (ended !== undefined) throw new Error(ended, { cause });
      if (performance.now() > until) throw new Error("it does not answer", { cause });
    }
    await pause(100);
  }
}

async function stopProcess(running: EngineProcess): Promise<void> {
  const until = performance.now() + STOP_MS;
  signal(running.pid, running.stopSignal);
  while (await isAlive(running)) {
    // The whole session, so that no worker of the server outlives it.
    if (performance.now() > until) signal(-running.pid, "SIGKILL");
    await pause(50);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // It ended by itself in the meantime.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function versionOf(engine: Engine): Promise<string> {
  return (await engine.version?.()) ?? engine.pin.version;
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function residentMegabytes(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(text)?.[1];
  return kilobytes === undefined ? undefined : Math.round(Number(kilobytes) / 1024);
}
