import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/** A data directory of its own, and the command line on it. */
export interface Installation {
  readonly directory: string;
  readonly data: string;
  readonly keyFile: string;
  /** Runs one command to its end. */
  readonly run: (words: readonly string[], options?: RunOptions) => Promise<Ended>;
  /** Runs one command with `--json` that must succeed, and answers what it printed. */
  readonly ask: (...words: readonly string[]) => Promise<unknown>;
  /** Starts one command and answers at once. */
  readonly start: (words: readonly string[]) => { child: ChildProcess; ended: Promise<Ended> };
}

export interface RunOptions {
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** An example of the evidence that comes with the repository. */
export function example(name: string): string {
  return join(CHECKOUT, "examples/evidence", name);
}

/** Makes a directory that is removed after the test (or, asked for in `beforeAll`, after the file's tests). */
export async function makeInstallation(
  onEnd: (remove: () => Promise<void>) => void = onTestFinished,
): Promise<Installation> {
  const directory = await mkdtemp(join(tmpdir(), "custody-e2e-"));
  onEnd(() => rm(directory, { recursive: true, force: true }));
  const data = join(directory, "data");
  const keyFile = join(directory, "custody.key");
  const environment = {
    PATH: process.env["PATH"] ?? "",
    HOME: directory,
    CUSTODY_DATA: data,
    CUSTODY_KEY_FILE: keyFile,
  };
  const start = (
    words: readonly string[],
    options: RunOptions = {},
  ): { child: ChildProcess; ended: Promise<Ended> } => {
    const child = spawn(process.execPath, [...FLAGS, MAIN, ...words], {
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
