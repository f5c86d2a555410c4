import type { Command } from "commander";

import { given } from "../given.ts";
import { countOf, formatInstant } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { parseCount } from "../values/numbers-and-names.ts";

interface QuarantineArguments {
  readonly role?: string;
  readonly limit?: number;
}

/** Registers `quarantine list`, `quarantine replay` and `quarantine discard`. */
export function addQuarantineCommands(program: Command, context: CommandContext): void {
  const quarantine = program
    .command("quarantine")
    .description("records that a store refused; they are in the journal, and in every other store");
  quarantine
    .command("list")
    .description("Lists them with the store's reason.")
    .option("--role <role>", "of this store only")
    .option("--limit <n>", "rows at most (100)", parseCount)
    .action((options: QuarantineArguments, command: Command) =>
      withSession(context, command, (session) => list(session, options)),
    );
  quarantine
    .command("replay")
    .description("Tries them again. Exits with 1 when some are refused again.")
    .option("--role <role>", "of this store only")
    .action(({ role }: QuarantineArguments, command: Command) =>
      withSession(context, command, async ({ custody, scope, show }) => {
        const answer = await custody.quarantine.replay(scope, given({ role }));
        await show(
          answer,
          () => `${countOf(answer.replayed, "record")} taken, ${answer.remaining} refused again\n`,
        );
        return answer.remaining === 0 ? "done" : "found-wrong";
      }),
    );
  quarantine
    .command("discard")
    .description("Forgets them: they stay in the journal and out of that store.")
    .option("--role <role>", "of this store only")
    .action(({ role }: QuarantineArguments, command: Command) =>
      withSession(context, command, async ({ custody, scope, show }) => {
        const discarded = await custody.quarantine.discard(scope, given({ role }));
        await show({ discarded }, () => `${countOf(discarded, "row")} forgotten\n`);
      }),
    );
}

const ROWS_DEFAULT = 100;

async function list(session: Session, { role, limit }: QuarantineArguments): Promise<void> {
  const { custody, scope, show, paint, terminal } = session;
  const rows = await custody.quarantine.list(scope, {
    limit: limit ?? ROWS_DEFAULT,
    ...given({ role }),
  });
  await show(rows, () => {
    if (rows.length === 0) return "the quarantine is empty\n";
    return renderTable(
      ["store", "type", "id", "entry", "since", "reason"].map((title) => ({
        title,
        isWhole: title === "id",
      })),
      rows.map((row) => [
        { text: row.role, style: "name" },
        row.type,
        row.id,
        `${row.sequence}`,
        formatInstant(row.at),
        { text: row.reason, style: "warning" },
      ]),
      { paint, width: terminal.columns },
    );
  });
}
