import { text } from "node:stream/consumers";

import type { Command } from "commander";

import { usageError } from "../command-error.ts";
import { runCommand } from "../session.ts";
import type { CommandContext, CommandRun } from "../session.ts";

/** Registers `init` and `keys recover`. */
export function addInitCommands(program: Command, context: CommandContext): void {
  program
    .command("init")
    .summary("make a data directory and its key")
    .description(
      "Makes the data directory and its key file, and prints the recovery key: the one thing to write down, as it is kept nowhere.",
    )
    .action((_options, command: Command) => runCommand(context, command, initialise));

  const keys = program.command("keys").description("looks after the key file");
  keys
    .command("recover")
    .summary("write a lost key file anew")
    .description(
      "Writes the key file anew from the recovery key, which is read from standard input: an argument could be seen by other users.",
    )
    .action((_options, command: Command) => runCommand(context, command, recover));
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
    ].join("\n"),
  );
}

async function recover({ compose, settings, show, terminal, tell }: CommandRun): Promise<void> {
  if (terminal.isInputInteractive) tell("recovery key, then Enter and Ctrl-D: ");
  const recoveryKey = (await text(terminal.input())).trim();
  if (recoveryKey === "") {
    throw usageError("no recovery key was given", "write it to standard input");
  }
  const { dataDirectory, keyFile } = settings;
  await compose.recoverKeyFile({ dataDirectory, keyFile, recoveryKey });
  await show({ keyFile }, () => `key file        ${keyFile} written\n`);
}
