import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { onTestFinished } from "vitest";

import { CHECKOUT } from "./custody-process.ts";

/** What a demonstration said, and how it ended. */
export interface Told {
  readonly exitCode: number | null;
  readonly text: string;
}

/** Runs the demonstration as `npm run demo` does. */
export function runDemo(...args: readonly string[]): Promise<Told> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(CHECKOUT, "tools/demo.mjs"), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    const collect = (chunk: Buffer): void => {
      text += chunk.toString("utf8");
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ exitCode, text }));
  });
}

/** An empty directory that is removed when the test ends. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "custody-demo-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
