import { ImportError } from "@custody/contract/importer";
import type { Custody, ImportReport } from "@custody/core/custody";
import type { Scope } from "@custody/stores/scope";

import { countOf, formatDuration, formatNumber } from "../cli/output/quantity.ts";
import { exampleFiles, historyFile } from "./evidence-files.ts";
import type { EvidenceFile } from "./evidence-files.ts";
import { numbers } from "./narrator.ts";
import type { Narrator } from "./narrator.ts";

/** A Custody that the demonstration works with. */
export interface Demo {
  readonly custody: Custody;
  readonly scope: Scope;
  readonly narrator: Narrator;
}

/** Imports the examples and this repository's own history, and checks that once is enough. */
export async function importEvidence(demo: Demo, gitLog: string): Promise<void> {
  const { custody, scope, narrator } = demo;
  const startedAt = performance.now();
  const history = await historyFile(gitLog);
  const files = [...(await exampleFiles()), ...(history === undefined ? [] : [history])];
  const reports: ImportReport[] = [];
  const unknown: string[] = [];
  let first: EvidenceFile | undefined;
  for (const file of files) {
    const report = await importOne(demo, file);
    if (report === undefined) unknown.push(file.name);
    else reports.push(report);
    if (report !== undefined) first ??= file;
  }
  await showReports(demo, reports);
  if (history === undefined)
    await narrator.say("  (Without git or a history here, the log of the example stands alone.)");
  await narrator.say(
    `  ${countOf(unknown.length, "file")} of formats that no importer knows yet were refused, by name, and nothing of them was kept.`,
  );
  await custody.catchUp(scope);
  const accepted = reports
    .flatMap(({ types }) => Object.values(types))
    .reduce((sum, one) => sum + one.accepted, 0);
  await narrator.say(
    `  ${countOf(accepted, "record")} committed and read into every store in ${formatDuration(performance.now() - startedAt)}.`,
  );
  const again = first === undefined ? undefined : await importOne(demo, first);
  await narrator.check(
    `importing ${first?.name ?? "the first file"} again changes nothing: it is answered with the first receipt`,
    again?.isReplay === true,
  );
}

// A bundle of git is no text, and PyRIT's memory is a database.
const NOT_READ: ReadonlySet<string> = new Set(["unknown-format", "encoding"]);

async function importOne(
  { custody, scope }: Demo,
  { name, open, labels }: EvidenceFile,
): Promise<ImportReport | undefined> {
  try {
    return await custody.import(scope, open, { name: name.split("/").at(-1) ?? name, labels });
  } catch (error) {
    // The examples hold formats of tools whose importers are yet to come.
    if (error instanceof ImportError && NOT_READ.has(error.code)) return undefined;
    throw error;
  }
}

async function showReports({ narrator }: Demo, reports: readonly ImportReport[]): Promise<void> {
  const byFormat = Map.groupBy(reports, ({ format }) => format);
  const rows = [...byFormat].map(([format, ofFormat]) => {
    const types = ofFormat.flatMap((report) => Object.entries(report.types));
    const sum = (of: "accepted" | "duplicates"): string =>
      formatNumber(types.reduce((total, [, counts]) => total + counts[of], 0));
    const names = [...new Set(types.map(([name]) => name.split("/")[1] ?? name))];
    return [
      { text: format, style: "name" as const },
      formatNumber(ofFormat.length),
      sum("accepted"),
      sum("duplicates"),
      { text: names.join(", "), style: "faint" as const },
    ];
  });
  await narrator.table(
    ["tool", numbers("files"), numbers("records"), numbers("known already"), "record types"],
    rows,
  );
}
