import { spawn } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { writeFileWhole } from "../cli/whole-file.ts";

/** A file of evidence. */
export interface EvidenceFile {
  readonly name: string;
  readonly path: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly open: () => AsyncIterable<Uint8Array>;
}

/** The checkout that this file lies in, four directories up from `demo/`. */
export const CHECKOUT: string = fileURLToPath(new URL("../../../../", import.meta.url));

const EXAMPLES = join(CHECKOUT, "examples", "evidence");
// What the tools looked at, and the scripts that ran them, are no evidence.
const NO_EVIDENCE: ReadonlySet<string> = new Set(["make", "sample-app", "README.md"]);

/** The example evidence, in a stable order. @throws Error when there is none. */
export async function exampleFiles(): Promise<readonly EvidenceFile[]> {
  if (!existsSync(EXAMPLES)) {
    throw new Error("the examples are not here: run the demonstration in a checkout of Custody");
  }
  return filesBelow(EXAMPLES);
}

async function filesBelow(directory: string): Promise<readonly EvidenceFile[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const found: EvidenceFile[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(directory, entry.name);
    if (directory === EXAMPLES && NO_EVIDENCE.has(entry.name)) continue;
    if (entry.isDirectory()) found.push(...(await filesBelow(path)));
    else found.push(evidenceFile(path, relative(EXAMPLES, path)));
  }
  return found;
}

function evidenceFile(
  path: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): EvidenceFile {
  return { name, path, labels, open: () => createReadStream(path) as AsyncIterable<Uint8Array> };
}

/** An example by its name below `examples/evidence`. */
export function examplePath(name: string): string {
  return join(EXAMPLES, name);
}

// The form that the importer `git` reads; see examples/evidence/README.md.
const FIELDS = ["H", "T", "P", "an", "ae", "aI", "cn", "ce", "cI", "D", "s", "b"];
const LOG = [
  "log --all --topo-order --reverse -z --numstat --find-renames --date=iso-strict --encoding=UTF-8",
  "--no-show-signature --no-mailmap",
]
  .join(" ")
  .split(" ");

/** Writes the history of this checkout to a file; `undefined` when there is no git or no history. */
export async function historyFile(path: string): Promise<EvidenceFile | undefined> {
  const format = `--pretty=tformat:${FIELDS.map((field) => `%${field}`).join("%x00")}`;
  const git = spawn("git", ["-C", CHECKOUT, ...LOG, format], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = new Promise<boolean>((resolve) => {
    git.once("error", () => resolve(false));
    git.once("close", (code) => resolve(code === 0));
  });
  const bytes = await writeFileWhole(path, git.stdout as AsyncIterable<Uint8Array>);
  if (!(await ended) || bytes === 0) return undefined;
  return evidenceFile(path, "this-repository.gitlog", { repository: "custody" });
}
