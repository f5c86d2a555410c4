import { spawn } from "node:child_process";
import { constants, createWriteStream } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { pipeline } from "node:stream/promises";

import type { ServiceUser } from "./engine.ts";

export interface CommandOptions {
  readonly cwd: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly user?: ServiceUser | undefined;
  /** File that takes the command's output; it is named when the command fails. */
  readonly log: string;
}

/** Runs a command to its end, its output in a log. Throws with the log's name when it fails. */
export async function runCommand(
  program: string,
  args: readonly string[],
  { cwd, environment = {}, user, log }: CommandOptions,
): Promise<void> {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    ...(user === undefined ? {} : user),
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [code] = await Promise.all([
    ended,
    pipeline(child.stdout, createWriteStream(log, { flags: "a" })),
    pipeline(child.stderr, createWriteStream(log, { flags: "a" })),
  ]);
  if (code !== 0) throw new Error(`${program} ${args[0] ?? ""} failed (${code}); see ${log}`);
}

/** Runs a command and answers what it prints. */
export async function readCommand(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const texts: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => texts.push(text));
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} failed (${code})`);
  return texts.join("");
}

/** Where a command lies on the PATH; `undefined` when it does not. */
export async function findCommand(name: string): Promise<string | undefined> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, name);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}
