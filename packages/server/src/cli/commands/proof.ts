import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text as readText } from "node:stream/consumers";

import { parseJson } from "@custody/contract/json";
import type { VerifyReport } from "@custody/core/reports";
import { verifyBundle } from "@custody/core/verify/standalone";
import type { Verdict } from "@custody/core/verify/standalone";
import type { Command } from "commander";

import { usageError } from "../command-error.ts";
import { given } from "../given.ts";
import { progressLine } from "../output/progress.ts";
import { countOf, formatBytes, formatDuration } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { aboutType, runCommand, withSession } from "../session.ts";
import type { CommandContext, CommandRun, Outcome, Session } from "../session.ts";
import { writeFileWhole } from "../whole-file.ts";

interface ProofArguments {
  readonly output?: string;
  readonly verify?: string;
}

interface TrustArguments {
  readonly keyId?: string;
  readonly head?: string;
}

/** Registers `proof`, `verify-proof` and `verify`. */
export function addProofCommands(program: Command, context: CommandContext): void {
  program
    .command("proof [type] [id]")
    .summary("write the proof of one record")
    .description(
      "Writes what proves, offline and to anyone, that a record is in the journal unaltered. `custody verify-proof` checks it.",
    )
    .option("-o, --output <file>", "write it to this file")
    .option("--verify <file>", "check a proof instead, as verify-proof does")
    .action(
      (
        type: string | undefined,
        id: string | undefined,
        options: ProofArguments,
        command: Command,
      ) => {
        const { verify } = options;
        if (verify !== undefined) {
          return runCommand(context, command, (run) => checkProof(run, verify, {}));
        }
        if (type === undefined || id === undefined) {
          throw usageError("proof needs a type and an id", "custody proof TYPE ID -o proof.json");
        }
        return withSession(context, command, (session) =>
          writeProof(session, [type, id], options.output),
        );
      },
    );

  program
    .command("verify-proof <file>")
    .summary("check a proof, without any data directory")
    .description('Checks a proof with the stand-alone verifier; "-" reads it from standard input.')
    .option("--key-id <hex>", "the custodian's key that you trust")
    .option(
      "--head <file>",
      "a signed tree head that you kept: a receipt's, or one of another proof",
    )
    .action((file: string, options: TrustArguments, command: Command) =>
      runCommand(context, command, (run) => checkProof(run, file, options)),
    );

  program
    .command("verify")
    .summary("check every entry, segment and tree head")
    .description(
      "Reads the whole journal and checks every hash and signature; names the first thing wrong.",
    )
    .option("--all-tenants", "every tenant's journal")
    .action((options: { readonly allTenants?: boolean }, command: Command) =>
      withSession(context, command, (session) =>
        verifyJournal(session, options.allTenants ?? false),
      ),
    );
}

async function writeProof(
  session: Session,
  [type, id]: readonly [string, string],
  output: string | undefined,
): Promise<void> {
  const { custody, scope, terminal, settings, tell } = session;
  const bundle = await aboutType(session, type, () => custody.proof(scope, type, id));
  const json =
    settings.isJson && output === undefined
      ? JSON.stringify(bundle)
      : JSON.stringify(bundle, null, 2);
  if (output === undefined) return terminal.write(`${json}\n`);
  const path = resolve(terminal.directory, output);
  await writeFileWhole(path, [Buffer.from(`${json}\n`)]);
  if (settings.isJson) return terminal.write(`${JSON.stringify({ path })}\n`);
  tell(`${path}: check it with \`custody verify-proof ${output}\`, or with the verifier alone\n`);
}

async function checkProof(
  run: CommandRun,
  file: string,
  { keyId, head }: TrustArguments,
): Promise<Outcome> {
  const { terminal, show } = run;
  const bundle = await readJsonFile(run, file);
  const kept = head === undefined ? undefined : headOf(await readJsonFile(run, head));
  const verdict = verifyBundle(bundle, given({ keyId, head: kept }));
  await show(verdict, () => renderVerdict(run, verdict, terminal.columns));
  return verdict.ok ? "done" : "found-wrong";
}

async function readJsonFile({ terminal }: CommandRun, file: string): Promise<unknown> {
  const json =
    file === "-"
      ? await readText(terminal.input())
      : await readFile(resolve(terminal.directory, file), "utf8");
  return parseJson(json);
}

/** The head itself, or the one in a receipt or another proof. */
function headOf(kept: unknown): unknown {
  if (typeof kept !== "object" || kept === null) return kept;
  const members = kept as Readonly<Record<string, unknown>>;
  return members["head"] ?? members["treeHead"] ?? kept;
}

function renderVerdict({ paint }: CommandRun, verdict: Verdict, width: number): string {
  const table = renderTable(
    [{ title: "" }, { title: "" }, { title: "" }],
    verdict.checks.map(({ name, ok, detail }) => [
      { text: ok ? "✓" : "✗", style: ok ? "good" : "bad" },
      name,
      { text: detail, style: ok ? "faint" : "bad" },
    ]),
    { paint, width, isBare: true },
  );
  const sentence = verdict.ok
    ? paint("good", "the proof holds")
    : paint("bad", `the proof does not hold: ${visibleText(verdict.fault ?? "")}`);
  return `${table}${sentence}\n`;
}

async function verifyJournal(session: Session, allTenants: boolean): Promise<Outcome> {
  const { custody, scope, terminal, show, paint } = session;
  const startedAt = terminal.clock();
  let report: VerifyReport;
  {
    using line = progressLine(terminal, "checking");
    report = await custody.verify(scope, {
      allTenants,
      onProgress: (done, of) => line.update(done, of),
    });
  }
  await show(report, () => {
    const { checked, fault } = report;
    const what = [
      allTenants ? countOf(checked.tenants, "tenant") : undefined,
      countOf(checked.entries, "entry", "entries"),
      countOf(checked.records, "record"),
      countOf(checked.segments, "segment"),
      countOf(checked.treeHeads, "tree head"),
      formatBytes(checked.bytes),
    ];
    const took = formatDuration(terminal.clock() - startedAt);
    const summary = `checked ${what.filter((part) => part !== undefined).join(", ")} in ${took}`;
    if (report.ok) return `${paint("good", "nothing is altered")}\n${paint("faint", summary)}\n`;
    const place =
      fault === undefined ? "" : `${fault.at} of tenant ${fault.tenant}: ${fault.reason}`;
    return `${paint("bad", "found wrong:")} ${visibleText(place)}\n${paint("faint", summary)}\n`;
  });
  return report.ok ? "done" : "found-wrong";
}
