import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/**
 * Runs module source in a child process until it has printed `lines` lines, kills it with SIGKILL in
 * the midst of its work, and answers every whole line it printed: what it says was acknowledged.
 *
 * The child resolves workspace packages from their sources, as the tests do.
 */
export async function runUntilKilled(source: string, lines: number): Promise<readonly string[]> {
  const child = spawn(
    process.execPath,
    [
      "--conditions=source",
      "--disable-warning=ExperimentalWarning",
      "--input-type=module",
      "--eval",
      source,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const printed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (printed.length === lines) child.kill("SIGKILL");
  }
  await ended;
  if (child.signalCode !== "SIGKILL") {
    throw new Error(`the child ended by itself (${child.exitCode}) after ${printed.length} lines`);
  }
  return printed;
}
