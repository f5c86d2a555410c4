import { fork } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { TreeSampler } from "./process-tree.ts";
import type { TreeUsage } from "./process-tree.ts";
import type { RunRequest } from "./run-request.ts";

/** What a child answered, and what it and its descendants took. */
export interface ChildRun {
  readonly facts: Readonly<Record<string, unknown>>;
  /** Up to the end of the measured work, as far as the child tells when that was. */
  readonly usage: TreeUsage;
  /** Including checks and closing. */
  readonly wholeUsage: TreeUsage;
  readonly diskBytes: number;
}

// Custody is started as docs/explanation/performance.md advises where memory is short: a young generation
// of 24 MB in the main thread, and two allocator arenas instead of eight a core. Neither changes its speed
// by more than runs differ.
const CUSTODY_FLAGS = ["--max-semi-space-size=8"];
const CUSTODY_ENVIRONMENT = { MALLOC_ARENA_MAX: "2" };

/** Runs a program of this benchmark in a fresh process, so that memory and warm-up are its own. */
export async function runChild(program: string, request: RunRequest): Promise<ChildRun> {
  const isBaseline = /\/(?:baseline|servers)\//.test(program);
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
  const child = fork(new URL(program, import.meta.url), [JSON.stringify(request)], {
    execArgv: isBaseline ? flags : [...flags, ...CUSTODY_FLAGS],
    env: isBaseline ? process.env : { ...process.env, ...CUSTODY_ENVIRONMENT },
  });
  const sampler = new TreeSampler(child.pid ?? process.pid);
  let facts: Readonly<Record<string, unknown>> | undefined;
  let measured: TreeUsage | undefined;
  child.on("message", (message: Readonly<Record<string, unknown>>) => {
    if ("phase" in message) {
      // Of several phases the last is the end of the measured work; what follows it checks the result.
      measured = sampler.usage();
      process.stderr.write(`${JSON.stringify({ ...message, ...measured })}\n`);
    } else {
      facts = message;
      sampler.stop();
    }
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  sampler.stop();
  if (facts === undefined) throw new Error(`${program} ended with ${code} and no answer`);
  const wholeUsage = sampler.usage();
  const diskBytes = bytesBelow(request.directory);
  return { facts, usage: measured ?? wholeUsage, wholeUsage, diskBytes };
}

function bytesBelow(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return bytes;
}
