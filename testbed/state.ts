import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** What is remembered of an engine between runs of the testbed. */
export interface EngineState {
  /** The version of the program that `run` was made with. */
  readonly version: string;
  /** Kept when the engine is stopped, so that URLs stay. */
  readonly ports: Readonly<Record<string, number>>;
  /** Absent when it is stopped. */
  readonly process?: EngineProcess;
}

export interface EngineProcess {
  readonly pid: number;
  /** When the kernel started it, in its own ticks: tells it from a later process of the same number. */
  readonly startTicks: string;
  /** What the server says of itself. */
  readonly saysVersion: string;
  readonly stopSignal: NodeJS.Signals;
}

const FILE = "state.json";

/** Reads an engine's state; `undefined` when there is none, or none that can be read. */
export async function readState(directory: string): Promise<EngineState | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, FILE), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  return parseState(text);
}

/** Writes an engine's state so that a reader meets the old or the new one, never half. */
export async function writeState(directory: string, state: EngineState): Promise<void> {
  const path = join(directory, FILE);
  await writeFile(`${path}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  await rename(`${path}.new`, path);
}

/** Whether the process of a state still runs. */
export async function isAlive({ pid, startTicks }: EngineProcess): Promise<boolean> {
  return (await startTicksOf(pid)) === startTicks;
}

/** When a process was started, in the kernel's ticks; `undefined` when there is none, or it has ended. */
export async function startTicksOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // man 5 proc: the name in parentheses may hold anything; after it come state (field 3), num_threads
  // (20) and starttime (22).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie that nobody waits for is as good as gone; but while other threads of it are ending, its
  // ports are still taken.
  const hasEnded = fields[0] === "Z" && fields[17] === "1";
  return hasEnded ? undefined : fields[19];
}

function parseState(text: string): EngineState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A broken file is as good as none: the engine is then started on fresh ports.
    return undefined;
  }
  return isState(value) ? value : undefined;
}

function isState(value: unknown): value is EngineState {
  if (typeof value !== "object" || value === null) return false;
  const { version, ports, process } = value as Record<string, unknown>;
  return (
    typeof version === "string" && isPorts(ports) && (process === undefined || isProcess(process))
  );
}

function isPorts(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every((port) => Number.isInteger(port))
  );
}

function isProcess(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { pid, startTicks, stopSignal } = value as Record<string, unknown>;
  return Number.isInteger(pid) && typeof startTicks === "string" && typeof stopSignal === "string";
}
