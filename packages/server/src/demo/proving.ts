import { spawn } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { renderTrace } from "../cli/output/trace-page.ts";
import { shownPath } from "./demo-directory.ts";
import type { DemoDirectory } from "./demo-directory.ts";
import { CHECKOUT } from "./evidence-files.ts";
import type { Demo } from "./import-evidence.ts";

/** The record that the demonstration follows. */
export interface ShownRecord {
  readonly type: string;
  readonly id: string;
}

/** Picks a prompt that broke the help desk. */
export async function pickRecord({ custody, scope }: Demo): Promise<ShownRecord> {
  const type = "redteam/session_evidence";
  const { records } = await custody.find(scope, type, {
    filter: { model: "function helpdesk#release_2", "scores.is_hit": true },
    sort: [{ path: "probe", direction: "asc" }],
    limit: 1,
  });
  const id = records[0]?.id;
  if (id === undefined) throw new Error("no prompt broke the help desk");
  return { type, id };
}

/** Shows where the record came from, where it is, and what proves it. */
export async function showTrace(
  { custody, scope, narrator }: Demo,
  { type, id }: ShownRecord,
): Promise<void> {
  const report = await custody.trace(scope, type, id);
  const page = renderTrace(report, narrator);
  await narrator.say(page.trimEnd().replaceAll(/^(?=.)/gm, "  "));
  await narrator.check("its proof holds", report.proof.holds);
}

const VERIFIER = join("docs", "reference", "verify.mjs");

/** Writes the record's proof, and has the stand-alone verifier check it, and a forged one. */
export async function proveRecord(
  { custody, scope, narrator }: Demo,
  { type, id }: ShownRecord,
  directory: DemoDirectory,
): Promise<void> {
  const bundle = await custody.proof(scope, type, id);
  await writeFile(directory.proof, `${JSON.stringify(bundle, null, 2)}\n`);
  await narrator.say(
    `  ${shownPath(directory.proof)}, checked by ${VERIFIER}, one file that needs nothing else:`,
  );
  const verdict = await runVerifier(directory.proof);
  await narrator.say(verdict.output.trimEnd().replaceAll(/^/gm, "    "));
  await narrator.check("the verifier accepts the proof", verdict.exitCode === 0);
  const forged = `${directory.proof}.forged`;
  const line = Buffer.from(bundle.line, "base64").toString("utf8");
  const other = line.replace("release_2", "release_3");
  const text = await readFile(directory.proof, "utf8");
  await writeFile(forged, text.replace(bundle.line, Buffer.from(other).toString("base64")));
  const refusal = await runVerifier(forged);
  await rm(forged);
  await narrator.check(
    "it refuses the same proof once the record says release_3",
    other !== line && refusal.exitCode === 1,
  );
}

interface Ended {
  readonly exitCode: number;
  readonly output: string;
}

function runVerifier(file: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(CHECKOUT, VERIFIER), file], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const collect = (chunk: Buffer): void => {
      output += chunk.toString("utf8");
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.once("error", reject);
    child.once("close", (code) => resolve({ exitCode: code ?? 1, output }));
  });
}
