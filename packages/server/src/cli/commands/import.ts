import type { ImportOptions, ImportReport } from "@custody/core/custody";
import type { Command } from "commander";

import { usageError } from "../command-error.ts";
import { FaultError, faultOf } from "../fault.ts";
import type { Fault } from "../fault.ts";
import { given } from "../given.ts";
import { failedFiles, isOfOneFile } from "../import/failed-files.ts";
import type { FailedFile } from "../import/failed-files.ts";
import { listSources } from "../import/sources.ts";
import type { ImportedSource } from "../import/sources.ts";
import { renderImport } from "../import/render-import.ts";
import { fileProgress } from "../output/progress.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { collect, parseAssignment } from "../values/numbers-and-names.ts";

interface ImportArguments {
  readonly recursive?: boolean;
  readonly format?: string;
  readonly lenient?: boolean;
  readonly label?: readonly string[];
  readonly wait: boolean;
}

/** What became of the files of one `import`. */
export interface ImportOutcome {
  readonly imported: readonly { readonly path: string; readonly report: ImportReport }[];
  /** Files found in a directory that no importer knows. */
  readonly skipped: readonly FailedFile[];
  readonly failed: readonly FailedFile[];
}

/** Registers `import`. */
export function addImportCommand(program: Command, context: CommandContext): void {
  program
    .command("import <files...>")
    .summary("import the output of a tool")
    .description(
      'Imports files whose format it recognises by their content: each wholly, or not at all. "-" reads standard input. The same file again changes nothing.',
    )
    .option(
      "-r, --recursive",
      "import the files of directories; those of no known format are skipped",
    )
    .option("--format <importer>", "read them as this format")
    .option("--lenient", "keep the good rows; the others become custody/rejected_inputs")
    .option("--label <name=value>", "tell something about the source; may be repeated", collect)
    .option("--no-wait", "do not wait until the stores have read it")
    .action((files: readonly string[], options: ImportArguments, command: Command) =>
      withSession(context, command, (session) => importAll(session, files, options)),
    );
}

async function importAll(
  session: Session,
  files: readonly string[],
  options: ImportArguments,
): Promise<void> {
  const { terminal, show, tell } = session;
  if (files.length > 1 && files.includes("-")) {
    throw usageError("standard input is imported alone", 'give "-" without other files');
  }
  const startedAt = terminal.clock();
  const stop = new AbortController();
  using _interrupt = terminal.onInterrupt(() => {
    tell("\nstopping; nothing of the file at hand is kept\n");
    stop.abort();
  });
  await using sources = await listSources(files, terminal, options.recursive ?? false);
  const outcome = await importSources(session, sources.list, {
    ...given({ format: options.format }),
    isLenient: options.lenient ?? false,
    labels: Object.fromEntries((options.label ?? []).map(parseAssignment)),
    signal: stop.signal,
  });
  const lag = options.wait && outcome.imported.length > 0 ? await catchUp(session) : undefined;
  const isWaited = options.wait && lag === undefined;
  await show(importJson(outcome), () =>
    renderImport(session, outcome, { isWaited, tookMs: terminal.clock() - startedAt }),
  );
  if (outcome.failed.length > 0) throw failedFiles(outcome.failed);
  if (lag !== undefined) throw new FaultError(lag);
}

/** Waits for the stores; what kept one of them back is told after what was committed. */
async function catchUp({ custody, scope, terminal, tell }: Session): Promise<Fault | undefined> {
  if (terminal.progress !== undefined) tell("bringing the stores up to date …\r");
  try {
    await custody.catchUp(scope);
    return undefined;
  } catch (error) {
    const fault = faultOf(error);
    return { ...fault, message: `the evidence is committed, but ${fault.message}` };
  } finally {
    if (terminal.progress !== undefined) tell("\u001b[K");
  }
}

type FileOptions = Omit<ImportOptions, "name" | "onProgress">;

/** Imports file by file. A bad file does not stop the others; a bad disk does. */
async function importSources(
  session: Session,
  sources: readonly ImportedSource[],
  options: FileOptions,
): Promise<ImportOutcome> {
  const imported: ImportOutcome["imported"][number][] = [];
  const [skipped, failed]: [FailedFile[], FailedFile[]] = [[], []];
  for (const source of sources) {
    try {
      const report = await importSource(session, source, options);
      imported.push({ path: source.path, report });
    } catch (error) {
      const fault = faultOf(error);
      if (!isOfOneFile(fault)) throw error;
      const isStray = source.isFound && fault.code === "unknown-format";
      (isStray ? skipped : failed).push({ path: source.path, fault });
    }
  }
  return { imported, skipped, failed };
}

async function importSource(
  { custody, scope, terminal }: Session,
  source: ImportedSource,
  options: FileOptions,
): Promise<ImportReport> {
  using progress = fileProgress(terminal, source.path, source.bytes);
  return await custody.import(scope, source.open, {
    ...options,
    name: source.name,
    onProgress: ({ bytesRead, rows }) => progress.update(bytesRead, rows),
  });
}

/** What scripts read; its shape is promised in docs/reference/command-line.md. */
function importJson({ imported, skipped, failed }: ImportOutcome): unknown {
  const files = imported.map(({ path, report }) => {
    const { format, sha256, bytes, types, receipts, isReplay, rejections, tool, toolVersion } =
      report;
    return {
      path,
      format,
      sha256,
      types,
      receipts,
      bytes,
      isReplay,
      rejections,
      ...given({ tool, toolVersion }),
    };
  });
  return {
    files,
    ...(skipped.length === 0 ? {} : { skipped: skipped.map(({ path }) => path) }),
    ...(failed.length === 0
      ? {}
      : { failed: failed.map(({ path, fault }) => ({ ...fault, path })) }),
  };
}
