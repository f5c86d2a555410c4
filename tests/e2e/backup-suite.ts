import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect } from "vitest";

import { example } from "./custody-process.ts";
import type { Ended, Installation, RunOptions } from "./custody-process.ts";

const EVIDENCE = "redteam/session_evidence";

/** Files that between them reach every store. */
export const REPORT: string = example("garak/helpdesk-release-2.report.jsonl");
export const HITS: string = example("garak/helpdesk-release-2.hitlog.jsonl");

/** A question of each kind, as the demonstration asks them. */
const QUESTIONS: readonly (readonly string[])[] = [
  ["find", EVIDENCE],
  ["find", EVIDENCE, "--count", "--where", "scores.is_hit=true"],
  ["find", "custody/source_files"],
  ["search", EVIDENCE, "ignore instructions", "--facet", "probe"],
  ["aggregate", EVIDENCE, "--measure", "n=count", "--group-by", "probe", "--sort", "probe"],
  ["table", "redteam/session_summaries"],
  ["sql", "SELECT count(*)::INT AS n FROM redteam.session_evidence"],
  [
    "series",
    "redteam/evaluations",
    "evaluations",
    "--field",
    "total_evaluated",
    "--fn",
    "sum",
    "--bucket",
    "1d",
  ],
  [
    "graph",
    "paths",
    "Model:function helpdesk#release_2",
    "Vulnerability:garak:web_injection.TaskXSS",
    "--direction",
    "both",
    "--shortest",
  ],
  ["find", "redteam/hits"],
];

/** Runs one command on an installation. */
export type Run = (words: readonly string[], options?: RunOptions) => Promise<Ended>;

/** What an installation answers to every question, but for how far its journal goes. */
export async function answersOf(run: Run): Promise<readonly string[]> {
  const { answers } = await askAll(run, []);
  return answers;
}

/** Asks every question, and then runs further commands in the same process; answers what those printed. */
async function askAll(
  run: Run,
  further: readonly (readonly string[])[],
): Promise<{ readonly answers: readonly string[]; readonly printed: readonly string[] }> {
  const commands = [...QUESTIONS, ...further];
  const input = JSON.stringify(commands.map((command) => [...command, "--json"]));
  const asked = await run([], { program: QUESTIONS_PROGRAM, input });
  expect(asked).toMatchObject({ exitCode: 0, errors: "" });
  const ended = JSON.parse(asked.output) as readonly Ended[];
  const printed = commands.map((command, index) => {
    const { exitCode, output = "", errors } = ended[index] ?? {};
    expect({ command, exitCode, errors }).toEqual({ command, exitCode: 0, errors: "" });
    return command[0] === "search" ? foundBy(output) : sameOnAll(output);
  });
  return {
    answers: printed.slice(0, QUESTIONS.length),
    printed: printed.slice(QUESTIONS.length),
  };
}

const QUESTIONS_PROGRAM = fileURLToPath(new URL("./questions-program.ts", import.meta.url));

/** An answer without how far the store had read, and without an engine's own names of SQL types. */
function sameOnAll(output: string): string {
  return output
    .replaceAll(/"checkpoint":\d+/g, '"checkpoint":0')
    .replaceAll(/"type":"(?:INTEGER|Int32)"/g, '"type":"integer"');
}

/** What a search found, without its order, scores and marks: each engine has its own. */
function foundBy(output: string): string {
  const { total, facets, hits } = JSON.parse(output) as {
    readonly total: number;
    readonly facets: unknown;
    readonly hits: readonly { readonly _id: string }[];
  };
  const ids = hits.map(({ _id }) => _id).toSorted((a, b) => (a < b ? -1 : 1));
  return JSON.stringify({ total, facets, ids });
}

/** The name of the original file that was imported, among the answers to all questions. */
function originalIn(answers: readonly string[]): string {
  const asked = QUESTIONS.findIndex(([, type]) => type === "custody/source_files");
  const files = (answers[asked] ?? "").trimEnd().split("\n");
  const blobs = files.map((line) => JSON.parse(line) as { blob: string; bytes: number });
  return blobs.find(({ bytes }) => bytes > 500_000)?.blob ?? "no file of the report";
}

/** Where a test restores to, beside the installation it has. */
export interface Restored {
  readonly data: string;
  readonly keyFile: string;
  readonly run: Run;
  /** Restores with these words, and answers the report. */
  readonly restore: (...words: readonly string[]) => Promise<unknown>;
}

/**
 * A new place beside an installation.
 *
 * @param engines the variables of its servers, `CUSTODY_<ROLE>_URL`; those of the installation do not count.
 */
export function besides(
  custody: Installation,
  name: string,
  engines: Readonly<Record<string, string>> = {},
): Restored {
  const data = join(custody.directory, name);
  const keyFile = join(custody.directory, `${name}.key`);
  const roles = ["RELATIONAL", "DOCUMENT", "SERIES", "SEARCH", "ANALYTICS", "GRAPH", "BLOB"];
  const unset = [...roles, "CACHE", "QUEUE", "STREAM"].map((role) => [`CUSTODY_${role}_URL`, ""]);
  const environment = {
    ...(Object.fromEntries(unset) as Record<string, string>),
    ...engines,
    CUSTODY_DATA: data,
    CUSTODY_KEY_FILE: keyFile,
  };
  const forRestore = Object.fromEntries(
    Object.entries(engines).map(([variable, url]) => [
      variable.replace("CUSTODY_", "CUSTODY_RESTORE_"),
      url,
    ]),
  );
  return {
    data,
    keyFile,
    run: (words, options = {}) => custody.run(words, { ...options, environment }),
    restore: async (...words) => {
      const place = ["--into", data, "--into-key-file", keyFile, "--json"];
      const { exitCode, output, errors } = await custody.run(
        ["backup", "restore", ...words, ...place],
        { environment: forRestore },
      );
      if (exitCode !== 0) throw new Error(`restore ${words.join(" ")}: ${exitCode} ${errors}`);
      return JSON.parse(output) as unknown;
    },
  };
}

/**
 * Expects a restored place to answer every question as the installation did that was backed up, and to be
 * whole: its journal, its stores, and the original file.
 */
export async function expectWhole(
  { run, data }: Restored,
  expected: readonly string[],
): Promise<void> {
  const file = `${data}-original.jsonl`;
  const { answers, printed } = await askAll(run, [
    ["verify", "--all-tenants"],
    ["reconcile"],
    ["blob", "get", originalIn(expected), "-o", file],
  ]);
  expect(answers).toEqual(expected);
  const [verified = "", reconciled = ""] = printed;
  expect(JSON.parse(verified)).toMatchObject({ ok: true });
  expect(JSON.parse(reconciled)).toMatchObject({ ok: true });
  expect(await readFile(file)).toEqual(await readFile(REPORT));
}
