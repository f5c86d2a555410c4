import { mkdir, readFile } from "node:fs/promises";
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
  const input = JSON.stringify(QUESTIONS.map((question) => [...question, "--json"]));
  const asked = await run([], { program: QUESTIONS_PROGRAM, input });
  expect(asked).toMatchObject({ exitCode: 0, errors: "" });
  const answers = JSON.parse(asked.output) as readonly Ended[];
  return QUESTIONS.map((question, index) => {
    const { exitCode, output = "", errors } = answers[index] ?? {};
    expect({ question, exitCode, errors }).toEqual({ question, exitCode: 0, errors: "" });
    return question[0] === "search" ? foundBy(output) : sameOnAll(output);
  });
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

/** The original file that was imported, as the blob store has it. */
async function originalOf(run: Run, directory: string): Promise<Buffer> {
  const { output } = await run([
    "find",
    "custody/source_files",
    "--json",
    "--where",
    "bytes>500000",
  ]);
  const { blob } = JSON.parse(output) as { blob: string };
  await mkdir(directory, { recursive: true });
  const file = join(directory, "original.jsonl");
  await run(["blob", "get", blob, "-o", file]);
  return readFile(file);
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

/** Expects a restored place to be whole: its journal, its stores, and the original file. */
export async function expectWhole({ run, data }: Restored): Promise<void> {
  const verified = await run(["verify", "--all-tenants", "--json"]);
  expect(JSON.parse(verified.output)).toMatchObject({ ok: true });
  const reconciled = await run(["reconcile", "--json"]);
  expect(JSON.parse(reconciled.output)).toMatchObject({ ok: true });
  expect(await originalOf(run, `${data}-files`)).toEqual(await readFile(REPORT));
}
