import type { BroughtUp } from "./bring-up.ts";

/** Writes one line of what was asked for. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Writes one line on how it goes, beside what was asked for. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** One line on what became of an engine: name, version, time, or why it does not run. */
export function describeEngine({
  engine,
  givenUrl,
  started,
  failure,
  missing,
  seconds,
}: BroughtUp): string {
  const name = engine.name.padEnd(18);
  if (givenUrl !== undefined) return `${name} given in ${engine.variable}`;
  if (missing !== undefined) return `${name} not started: ${missing}`;
  if (started === undefined) return `${name} failed after ${seconds.toFixed(1)} s: ${failure}`;
  const how = started.wasRunning ? "runs already" : `up after ${seconds.toFixed(1)} s`;
  const note = engine.note === undefined ? "" : `  (${engine.note})`;
  return `${name} ${started.version.padEnd(10)} ${how}${note}`;
}

/** Lines for a shell that hand the variables to the tests. */
export function exportLines(variables: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(variables).map(([name, value]) => `export ${name}='${value}'`);
}
