import { existsSync, rmSync } from "node:fs";

/** Removes what a file that is gone has left beside it, lest its successor takes it for its own. */
export function removeLeftBeside(path: string, endings: readonly string[]): void {
  if (existsSync(path)) return;
  for (const ending of endings) rmSync(`${path}${ending}`, { force: true });
}
