import type { EngineReport } from "@custody/core/reports";
import type { Command } from "commander";

import { formatDuration } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Outcome, Session } from "../session.ts";

/** Registers `engines` and `slow`. */
export function addEngineCommands(program: Command, context: CommandContext): void {
  program
    .command("engines")
    .summary("show what plays each role, and whether the servers answer")
    .description(
      "Shows the engine of each role, and asks every server for its version. Exits with 1 when one does not answer.",
    )
    .action((_options, command: Command) => withSession(context, command, showEngines));

  program
    .command("slow")
    .summary("list the reads that took long")
    .description(
      "Lists the newest reads of stores that took half a second and more (CUSTODY_SLOW_MS), with what was asked and without the values.",
    )
    .action((_options, command: Command) => withSession(context, command, showSlow));
}

async function showEngines({ custody, show, paint, terminal }: Session): Promise<Outcome> {
  const engines = await custody.engines();
  await show(engines, () =>
    renderTable(
      [
        { title: "role" },
        { title: "engine" },
        { title: "version" },
        { title: "answered in", align: "right" },
        { title: "state" },
      ],
      engines.map((one) => [
        { text: one.role, style: "name" },
        visibleText(one.product),
        visibleText(one.version ?? ""),
        one.tookMs === undefined ? "" : formatDuration(one.tookMs),
        stateOf(one),
      ]),
      { paint, width: terminal.columns, indent: 0 },
    ),
  );
  return engines.some(({ trouble }) => trouble !== undefined) ? "found-wrong" : "done";
}

function stateOf({ version, trouble, breakers }: EngineReport): {
  readonly text: string;
  readonly style: "good" | "bad" | "faint";
} {
  if (trouble !== undefined) return { text: visibleText(trouble), style: "bad" };
  const [open] = breakers ?? [];
  if (open !== undefined) {
    const since = new Date(open.since).toISOString();
    return { text: visibleText(`answers; calls were refused since ${since}`), style: "bad" };
  }
  return version === undefined
    ? { text: "embedded", style: "faint" }
    : { text: "answers", style: "good" };
}

async function showSlow({ custody, scope, show, paint, terminal }: Session): Promise<void> {
  const calls = await custody.slowCalls(scope);
  await show(calls, () => {
    if (calls.length === 0) return "no read took long\n";
    return renderTable(
      [
        { title: "at" },
        { title: "took", align: "right" },
        { title: "role" },
        { title: "asked" },
        { title: "of" },
        { title: "what" },
      ],
      calls.map((call) => [
        new Date(call.at).toISOString(),
        formatDuration(call.tookMs),
        { text: call.role, style: "name" },
        call.failed === undefined ? call.operation : `${call.operation} (${call.failed})`,
        visibleText(call.collection ?? ""),
        { text: visibleText(call.shape), style: "faint" },
      ]),
      { paint, width: terminal.columns, indent: 0 },
    );
  });
}
