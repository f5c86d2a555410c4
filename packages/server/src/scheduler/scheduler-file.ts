import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { lockDirectory } from "@custody/stores/drivers/directory-lock";

import type { JobRun, JobState } from "./scheduler.ts";

/** What a scheduler remembers between its starts, beside the records of its runs. */
export interface SchedulerMemory {
  readonly states: Map<string, JobState>;
  /** Runs that could not be written to the journal when they ended, oldest first. */
  readonly unrecorded: JobRun[];
}

/** The scheduler's directory, held by this process until it is disposed. */
export interface SchedulerFile extends Disposable {
  readonly memory: SchedulerMemory;
  /** Writes the memory, whole or not at all. */
  readonly save: () => void;
}

// A journal that cannot be opened for days would else make the file grow without end.
const UNRECORDED_MAX = 200;

/**
 * Takes the scheduler's place in a data directory: one process schedules an installation.
 *
 * @throws StoreError `unavailable` naming the process that does already.
 */
export function openSchedulerFile(
  dataDirectory: string,
  owner: { readonly pid: number; readonly since: number; readonly command: string },
): SchedulerFile {
  const directory = schedulerDirectory(dataDirectory);
  mkdirSync(directory, { recursive: true });
  const lock = lockDirectory(directory, owner);
  const memory = readSchedulerMemory(dataDirectory);
  return {
    memory,
    save: () => {
      const { states, unrecorded } = memory;
      unrecorded.splice(0, Math.max(0, unrecorded.length - UNRECORDED_MAX));
      const remembered: Remembered = {
        version: VERSION,
        jobs: Object.fromEntries(states),
        unrecorded,
      };
      const text = JSON.stringify(remembered);
      const path = memoryFile(dataDirectory);
      writeFileSync(`${path}.new`, `${text}\n`, { flush: true });
      renameSync(`${path}.new`, path);
    },
    [Symbol.dispose]: () => lock[Symbol.dispose](),
  };
}

/** What the scheduler of a data directory remembers; nothing where none has run. Takes no lock. */
export function readSchedulerMemory(dataDirectory: string): SchedulerMemory {
  const known = readOwn(memoryFile(dataDirectory));
  // A memory that is lost or damaged costs no more than one run of each job.
  if (known === undefined) return { states: new Map(), unrecorded: [] };
  return { states: new Map(Object.entries(known.jobs)), unrecorded: [...known.unrecorded] };
}

const VERSION = 1;

interface Remembered {
  readonly version: typeof VERSION;
  readonly jobs: Readonly<Record<string, JobState>>;
  readonly unrecorded: readonly JobRun[];
}

/** What this program wrote itself, whole, under this version. */
function readOwn(path: string): Remembered | undefined {
  try {
    const value = JSON.parse(readFileSync(path, "utf8")) as Remembered;
    return value.version === VERSION ? value : undefined;
  } catch {
    return undefined;
  }
}

function schedulerDirectory(dataDirectory: string): string {
  return join(dataDirectory, "scheduler");
}

function memoryFile(dataDirectory: string): string {
  return join(schedulerDirectory(dataDirectory), "runs.json");
}
