import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { access, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { onTestFinished } from "vitest";

/** The root of the checkout. */
export const CHECKOUT: string = fileURLToPath(new URL("../../", import.meta.url));

const MAIN = join(CHECKOUT, "packages/server/src/cli/main.ts");
const FLAGS = ["--conditions=source", "--disable-warning=ExperimentalWarning"];

/** How a run of the command line ended. */
export interface Ended {
  readonly exitCode: number | null;
  readonly output: string;
  readonly errors: string;
}

/** A data directory of its own, on embedded engines or on servers, and the command line on it. */
export interface Installation extends Damages {
  readonly directory: string;
  readonly data: string;
  readonly keyFile: string;
  /** Runs one command to its end. */
  readonly run: (words: readonly string[], options?: RunOptions) => Promise<Ended>;
  /** Runs one command with `--json` that must succeed, and answers what it printed. */
  readonly ask: (...words: readonly string[]) => Promise<unknown>;
  /** Starts one command and answers at once. */
  readonly start: (
    words: readonly string[],
    options?: RunOptions,
  ) => { child: ChildProcess; ended: Promise<Ended> };
}

/** What an installation suffers past Custody, where its evidence and its stores lie. */
export interface Damages {
  /** Alters a byte of the first segment; answers the segment's name. */
  readonly alterSegment: (at: number) => Promise<string>;
  /** Takes the document store away, with all it holds. */
  readonly loseDocuments: () => Promise<void>;
  /** Waits until an import that was started writes to the blob store. */
  readonly untilImporting: () => Promise<void>;
}

export interface RunOptions {
  readonly input?: string;
  /** The program to run in place of the command line. */
  readonly program?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** An example of the evidence that comes with the repository. */
export function example(name: string): string {
  return join(CHECKOUT, "examples/evidence", name);
}

/** Calls what is given when the test ends, or the file's tests when it is made in `beforeAll`. */
export type OnEnd = (end: () => Promise<void>, timeoutMs?: number) => void;

/** Makes an installation on embedded engines. */
export async function makeInstallation(
  onEnd: OnEnd = onTestFinished,
  variables: Readonly<Record<string, string>> = {},
): Promise<Installation> {
  const program = await makeProgram(onEnd, variables);
  return { ...program, ...damagesToFiles(program.data) };
}

/** Makes a directory that is removed in the end, and runs the command line with these variables. */
export async function makeProgram(
  onEnd: OnEnd,
  variables: Readonly<Record<string, string>>,
): Promise<Omit<Installation, keyof Damages>> {
  const directory = await mkdtemp(join(tmpdir(), "custody-e2e-"));
  onEnd(() => rm(directory, { recursive: true, force: true }));
  const data = join(directory, "data");
  const keyFile = join(directory, "custody.key");
  const environment = {
    PATH: process.env["PATH"] ?? "",
    HOME: directory,
    NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? "",
    CUSTODY_DATA: data,
    CUSTODY_KEY_FILE: keyFile,
    ...variables,
  };
  const start = (
    words: readonly string[],
    options: RunOptions = {},
  ): { child: ChildProcess; ended: Promise<Ended> } => {
    const child = spawn(process.execPath, [...FLAGS, options.program ?? MAIN, ...words], {
      cwd: directory,
      env: { ...environment, ...options.environment },
      stdio: "pipe",
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
    return { child, ended: ending(child) };
  };
  const run = (words: readonly string[], options?: RunOptions): Promise<Ended> =>
    start(words, options).ended;
  return {
    directory,
    data,
    keyFile,
    start,
    run,
    ask: async (...words) => {
      const { exitCode, output, errors } = await run([...words, "--json"]);
      if (exitCode !== 0) throw new Error(`custody ${words.join(" ")}: ${exitCode} ${errors}`);
      return JSON.parse(output) as unknown;
    },
  };
}

function ending(child: ChildProcess): Promise<Ended> {
  const [output, errors]: [Buffer[], Buffer[]] = [[], []];
  child.stdout?.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => errors.push(chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode) =>
      resolve({
        exitCode,
        output: Buffer.concat(output).toString("utf8"),
        errors: Buffer.concat(errors).toString("utf8"),
      }),
    );
  });
}

function damagesToFiles(data: string): Damages {
  return {
    alterSegment: async (at) => {
      const names = await readdir(data, { recursive: true });
      const segment = names.find((name) => name.endsWith(".segment")) ?? "no segment";
      const bytes = await readFile(join(data, segment));
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      await writeFile(join(data, segment), bytes);
      return segment;
    },
    loseDocuments: () => rm(join(data, "tenants/default/document.sqlite")),
    // The original is sealed into the blob store while it is read.
    untilImporting: () => untilExists(join(data, "tenants/default/blobs")),
  };
}

/** Waits until a file is there. */
async function untilExists(path: string): Promise<void> {
  await until(path, async () => {
    await access(path);
    return true;
  });
}

const WAIT_MS = 20_000;
const LOOK_MS = 5;

/** Looks until something is so; a look that fails is as good as one that finds nothing. */
export async function until(
  what: string,
  isSo: () => Promise<boolean>,
  waitMs: number = WAIT_MS,
): Promise<void> {
  const end = Date.now() + waitMs;
  while (Date.now() < end) {
    if (await isSo().catch(() => false)) return;
    await pause(LOOK_MS);
  }
  throw new Error(`waited ${waitMs} ms for ${what}`);
}
