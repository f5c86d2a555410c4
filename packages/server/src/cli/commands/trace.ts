import type { Command } from "commander";

import { renderTrace } from "../output/trace-page.ts";
import { aboutType, withSession } from "../session.ts";
import type { CommandContext } from "../session.ts";

/** Registers `trace`. */
export function addTraceCommand(program: Command, context: CommandContext): void {
  program
    .command("trace <type> <id>")
    .summary("show where a record came from, where it is, and what proves it")
    .description(
      "Shows where a record came from, in which stores it is now and what proves that it is unaltered. Exits with 1 when the proof does not hold.",
    )
    .action((type: string, id: string, _options, command: Command) =>
      withSession(context, command, async (session) => {
        const { custody, scope, show, paint, terminal } = session;
        const report = await aboutType(session, type, () => custody.trace(scope, type, id));
        await show(report, () => renderTrace(report, { paint, width: terminal.columns }));
        return report.proof.holds ? "done" : "found-wrong";
      }),
    );
}
