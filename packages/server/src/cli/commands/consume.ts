import type { ConsumeReport } from "@custody/core/stream/consume";
import type { Command } from "commander";

import { given } from "../given.ts";
import { countOf, formatDuration } from "../output/quantity.ts";
import { visibleText } from "../output/visible-text.ts";
import { aboutType, withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { parseCount } from "../values/numbers-and-names.ts";

interface ConsumeArguments {
  readonly type: string;
  readonly max?: number;
}

/** Registers `consume`. */
export function addConsumeCommand(program: Command, context: CommandContext): void {
  program
    .command("consume <topic>")
    .summary("read evidence from a topic of Kafka")
    .description(
      "Commits the messages of a topic, each one record of the type as JSON or an array of them, until it is stopped (Ctrl-C). The same command again goes on from there: no record is lost or doubled. What is no record is kept as custody/rejected_inputs.",
    )
    .requiredOption("--type <type>", "the record type of the messages")
    .option("--max <n>", "stop after so many messages", parseCount)
    .action((topic: string, options: ConsumeArguments, command: Command) =>
      withSession(context, command, (session) => consume(session, topic, options)),
    );
}

async function consume(
  session: Session,
  topic: string,
  { type, max }: ConsumeArguments,
): Promise<void> {
  const { custody, scope, terminal, tell, show } = session;
  const startedAt = terminal.clock();
  const stop = new AbortController();
  using _interrupt = terminal.onInterrupt(() => {
    tell("\nstopping; what was read is committed\n");
    stop.abort();
  });
  const report = await aboutType(session, type, () =>
    custody.consume(
      scope,
      { topic, type },
      {
        signal: stop.signal,
        ...given({ maxMessages: max }),
        ...(terminal.progress === undefined
          ? {}
          : { onProgress: (so) => tell(`${soFar(so)} …\u001b[K\r`) }),
      },
    ),
  );
  if (terminal.progress !== undefined) tell("\u001b[K");
  const took = formatDuration(terminal.clock() - startedAt);
  await show(report, () => `${soFar(report)} of ${visibleText(topic)} in ${took}\n`);
}

function soFar({ messages, records, duplicates, rejected, lost }: ConsumeReport): string {
  const parts = [`${countOf(messages, "message")}: ${countOf(records, "record")}`];
  if (duplicates > 0) parts.push(`${countOf(duplicates, "record")} known already`);
  if (rejected > 0) parts.push(`${rejected} rejected`);
  if (lost > 0) parts.push(`${countOf(lost, "message")} deleted before they were read`);
  return parts.join(", ");
}
