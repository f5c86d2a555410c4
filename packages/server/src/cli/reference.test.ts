import { readFileSync } from "node:fs";

import type { Command } from "commander";
import { expect, test } from "vitest";

import { buildProgram } from "./program.ts";
import { composeWith } from "./testing/custody-double.ts";
import { recordedTerminal } from "./testing/recorded-terminal.ts";

const REFERENCE = readFileSync(
  new URL("../../../../docs/reference/command-line.md", import.meta.url),
  "utf8",
);

const { terminal } = recordedTerminal();
const program = buildProgram({ terminal, compose: composeWith({}), foundWrong: () => undefined });

/** Every command that does something, with its words: `graph paths`. */
function commandsOf(command: Command, before: string): readonly [string, Command][] {
  return command.commands.flatMap((one) => {
    const words = `${before}${one.name()}`;
    return one.commands.length === 0 ? [[words, one] as const] : commandsOf(one, `${words} `);
  }) as [string, Command][];
}

test("the reference has every command", () => {
  const missing = commandsOf(program, "")
    .map(([words]) => words)
    .filter((words) => words !== "help" && !new RegExp(`\`${words}[ \`]`).test(REFERENCE));
  expect(missing).toEqual([]);
});

test("the reference has every option", () => {
  const options = [program, ...commandsOf(program, "").map(([, command]) => command)]
    .flatMap((command) => command.options)
    .map((option) => option.long ?? option.flags);
  expect([...new Set(options)].filter((option) => !REFERENCE.includes(option))).toEqual([]);
});

test("the reference has every error code", () => {
  const sources = [
    "../../../contract/src/errors.ts",
    "../../../contract/src/importer.ts",
    "../../../stores/src/errors.ts",
    "../../../core/src/errors.ts",
    "./command-error.ts",
  ].map((path) => readFileSync(new URL(path, import.meta.url), "utf8"));
  const unions = sources.flatMap((text) => [...text.matchAll(/type \w+ErrorCode =([^;]*);/g)]);
  expect(unions).toHaveLength(5);
  const codes = unions.flatMap(([, union = ""]) =>
    [...union.matchAll(/"([a-z-]+)"/g)].map(([, code = ""]) => code),
  );
  const missing = codes.filter((code) => !REFERENCE.includes(`\`${code}\``));
  // It is never told: whoever would be told has gone.
  expect([...new Set(missing)]).toEqual(["output-closed"]);
});
