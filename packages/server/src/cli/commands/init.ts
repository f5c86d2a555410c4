import type { Command } from "commander";

import { runCommand } from "../session.ts";
import type { CommandContext, CommandRun } from "../session.ts";

/** Registers `init`. */
export function addInitCommand(program: Command, context: CommandContext): void {
  program
    .command("init")
    .summary("make a data directory and its key")
    .description(
      "Makes the data directory and its key file, and prints the recovery key: the one thing to write down, as it is kept nowhere.",
    )
    .action((_options, command: Command) => runCommand(context, command, initialise));
}

async function initialise({ compose, settings, show, paint }: CommandRun): Promise<void> {
  const { dataDirectory, keyFile } = settings;
  const { recoveryKey } = await compose.initCustody({ dataDirectory, keyFile });
  await show({ dataDirectory, keyFile, recoveryKey }, () =>
    [
      `data directory  ${dataDirectory}`,
      `key file        ${keyFile}`,
      `recovery key    ${paint("title", recoveryKey)}`,
      "",
      "Write the recovery key down and keep it elsewhere: without it and without the key file nobody",
      "can read what Custody keeps. It is shown this once.",
      "",
      "Next: `custody keys backup --to PLACE` copies the keys to another disk or a bucket.",
      "",
    ].join("\n"),
  );
}
