import type { DeadLetter, QueueDepth } from "@custody/stores/queue/port";
import type { Command } from "commander";

import { CommandError } from "../command-error.ts";
import { given } from "../given.ts";
import { countOf, formatInstant, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { parseCount } from "../values/numbers-and-names.ts";

interface DeadArguments {
  readonly from?: string;
  readonly limit?: number;
}

const LETTERS_DEFAULT = 100;
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Registers `queue depth`, `queue dead`, `queue revive` and `queue tick`. */
export function addQueueCommands(program: Command, context: CommandContext): void {
  const queue = program.command("queue").description("tasks that wait for workers");
  queue
    .command("depth <queue>")
    .description("Counts the tasks that are due, due later, being done, and dead.")
    .action((name: string, _options, command: Command) =>
      withSession(context, command, async (session) => {
        const { custody, scope, show } = session;
        const depth = await (await custody.queue()).depth(scope, name);
        await show(depth, () => renderDepth(session, depth));
      }),
    );
  queue
    .command("dead <queue>")
    .description("Lists the tasks whose last attempt failed, with the reason, oldest first.")
    .option("--from <id>", "go on after this task")
    .option("--limit <n>", "tasks at most (100)", parseCount)
    .action((name: string, options: DeadArguments, command: Command) =>
      withSession(context, command, (session) => showDead(session, name, options)),
    );
  queue
    .command("revive <queue> <id>")
    .description("Makes a dead task due again, its attempts counted anew.")
    .action((name: string, id: string, _options, command: Command) =>
      withSession(context, command, async ({ custody, scope, show }) => {
        const isRevived = await (await custody.queue()).revive(scope, name, id);
        if (!isRevived) {
          const message = `${JSON.stringify(id)} is no dead task of ${JSON.stringify(name)}`;
          throw new CommandError("not-found", message, { next: "`custody queue dead` lists them" });
        }
        await show({ queue: name, id }, () => `${visibleText(id)} is due again\n`);
      }),
    );
  queue
    .command("tick")
    .description("Adds the tasks of schedules that have become due.")
    .action((_options, command: Command) =>
      withSession(context, command, async ({ custody, scope, show }) => {
        const added = await (await custody.queue()).tick(scope);
        await show({ added }, () => `${countOf(added, "task")} added\n`);
      }),
    );
}

function renderDepth({ paint, terminal }: Session, depth: QueueDepth): string {
  const rows = [
    ["due", depth.due],
    ["due later", depth.later],
    ["being done", depth.claimed],
    ["dead", depth.dead],
  ] as const;
  return renderTable(
    [{ title: "" }, { title: "tasks", align: "right" }],
    rows.map(([text, count]) => [{ text, style: "name" }, formatNumber(count)]),
    { paint, width: terminal.columns, indent: 0 },
  );
}

async function showDead(
  session: Session,
  name: string,
  { from, limit = LETTERS_DEFAULT }: DeadArguments,
): Promise<void> {
  const { custody, scope, show, paint, terminal } = session;
  const queue = await custody.queue();
  const letters = await queue.deadLetters(scope, name, { limit, ...given({ after: from }) });
  await show(letters.map(letterJson), () => {
    if (letters.length === 0) return "no task is dead\n";
    return renderTable(
      ["task", "since", "attempts", "reason"].map((title) => ({
        title,
        isWhole: title === "task",
      })),
      letters.map((letter) => [
        { text: visibleText(letter.id), style: "name" },
        formatInstant(letter.diedAt),
        formatNumber(letter.attempts),
        { text: visibleText(letter.reason), style: "warning" },
      ]),
      { paint, width: terminal.columns, indent: 0 },
    );
  });
}

/** A payload that is no text is printed in base64. */
function letterJson({ payload, ...letter }: DeadLetter): Readonly<Record<string, unknown>> {
  try {
    return { ...letter, payload: UTF8.decode(payload) };
  } catch {
    return { ...letter, payloadBase64: Buffer.from(payload).toString("base64") };
  }
}
