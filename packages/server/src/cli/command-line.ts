import { stringifyJson } from "@custody/contract/json";
import { CommanderError } from "commander";

import { EXIT, exitCodeOf, faultOf } from "./fault.ts";
import type { ExitCode, Fault } from "./fault.ts";
import { createPaint } from "./output/paint.ts";
import { visibleLines } from "./output/visible-text.ts";
import { buildProgram } from "./program.ts";
import type { Composition } from "./session.ts";
import type { Terminal } from "./terminal.ts";

/** Runs one command line and answers its exit code; every failure has been told by then. */
export async function runCommandLine(
  words: readonly string[],
  terminal: Terminal,
  compose: Composition,
): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const foundWrong = (): void => {
    exitCode = EXIT.failed;
  };
  const program = buildProgram({ terminal, compose, foundWrong });
  try {
    if (words.length === 0) {
      await terminal.write(program.helpInformation());
      return EXIT.usage;
    }
    await program.parseAsync([...words], { from: "user" });
    return exitCode;
  } catch (error) {
    if (isAnswered(error)) return EXIT.done;
    const fault = faultOf(error);
    if (fault.code === "output-closed") return exitCode;
    terminal.note(faultText(fault, words, terminal));
    if (terminal.environment["CUSTODY_DEBUG"] === "1" && error instanceof Error) {
      terminal.note(`${error.stack ?? ""}\n`);
    }
    return exitCodeOf(fault);
  }
}

/** Commander throws after it has printed help or the version, too. */
function isAnswered(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0;
}

function faultText(fault: Fault, words: readonly string[], terminal: Terminal): string {
  // The words themselves are asked, as a command line that is wrong has not been parsed.
  if (words.includes("--json")) return `${stringifyJson(fault)}\n`;
  const hasColor = terminal.progress !== undefined && !words.includes("--no-color");
  const paint = createPaint(hasColor && !terminal.environment["NO_COLOR"]);
  const isPlaced = fault.at !== undefined && !fault.message.includes(fault.at);
  const place = isPlaced ? ` (at ${fault.at})` : "";
  const isNamed = fault.path === undefined || fault.message.includes(fault.path);
  const path = isNamed ? "" : `${fault.path}: `;
  const next =
    fault.next === undefined ? "" : `${paint("faint", `  ${visibleLines(fault.next)}`)}\n`;
  return `${paint("bad", "custody:")} ${visibleLines(`${path}${fault.message}${place}`)}\n${next}`;
}
