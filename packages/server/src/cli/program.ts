import { Command, Option } from "commander";

import { packageVersion } from "../package-version.ts";
import { addAnalysisCommands } from "./commands/aggregate.ts";
import { addRestoreCommands } from "./commands/backup-restore.ts";
import { addBackupCommands } from "./commands/backup.ts";
import { addBlobCommands } from "./commands/blob.ts";
import { addConsumeCommand } from "./commands/consume.ts";
import { addEventCommands } from "./commands/events.ts";
import { addGraphCommands } from "./commands/graph.ts";
import { addImportCommand } from "./commands/import.ts";
import { addInitCommand } from "./commands/init.ts";
import { addKeyCommands } from "./commands/keys.ts";
import { addMaintenanceCommands } from "./commands/maintain.ts";
import { addProofCommands } from "./commands/proof.ts";
import { addQuarantineCommands } from "./commands/quarantine.ts";
import { addQueueCommands } from "./commands/queue.ts";
import { addReadCommands } from "./commands/read.ts";
import { addReplicateCommands } from "./commands/replicate.ts";
import { addPolicyCommands } from "./commands/scheduler-policy.ts";
import { addSchedulerCommands } from "./commands/scheduler.ts";
import { addSearchCommand } from "./commands/search.ts";
import { addSeriesCommand } from "./commands/series.ts";
import { addEngineCommands } from "./commands/engines.ts";
import { addStatusCommands } from "./commands/status.ts";
import { addTraceCommand } from "./commands/trace.ts";
import type { CommandContext } from "./session.ts";

/** Builds the whole command line: every command, and the options they all take. */
export function buildProgram(context: CommandContext): Command {
  const program = new Command("custody")
    .description(
      "Keeps security and compliance evidence: one write, ten kinds of store, a proof for every record.",
    )
    .version(packageVersion(), "--version", "print the version")
    .helpOption("-h, --help", "explain a command")
    .helpCommand("help [command]", "explain a command")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.terminal.write(text),
      // What commander has to say arrives as an error, and is told once, by the caller.
      writeErr: () => undefined,
      outputError: () => undefined,
      getOutHelpWidth: () => Math.min(100, context.terminal.columns),
    });
  for (const option of globalOptions()) program.addOption(option);
  program.addHelpText("after", EPILOGUE);

  program.commandsGroup("Begin:");
  addInitCommand(program, context);
  addKeyCommands(program, context);
  addImportCommand(program, context);
  addConsumeCommand(program, context);
  program.commandsGroup("Ask:");
  addReadCommands(program, context);
  addSearchCommand(program, context);
  addSeriesCommand(program, context);
  addAnalysisCommands(program, context);
  addGraphCommands(program, context);
  addBlobCommands(program, context);
  program.commandsGroup("Prove:");
  addTraceCommand(program, context);
  addProofCommands(program, context);
  program.commandsGroup("Look after:");
  addStatusCommands(program, context);
  addEngineCommands(program, context);
  addMaintenanceCommands(program, context);
  addQuarantineCommands(program, context);
  addEventCommands(program, context);
  addQueueCommands(program, context);
  program.commandsGroup("Back up:");
  const backup = addBackupCommands(program, context);
  addRestoreCommands(program, backup, context);
  addReplicateCommands(program, context);
  addPolicyCommands(program, context);
  addSchedulerCommands(program, context);
  return program;
}

function globalOptions(): readonly Option[] {
  return [
    new Option("--tenant <name>", "whose evidence; CUSTODY_TENANT, default: default"),
    new Option("--owner <name>", "whose own files, for what is kept per owner; CUSTODY_OWNER"),
    new Option("--data <directory>", "the data directory; CUSTODY_DATA, default: ./custody-data"),
    new Option("--key-file <file>", "the key file, outside of it; CUSTODY_KEY_FILE"),
    new Option("--key-backup <place>", "where the keys' backup is; CUSTODY_KEY_BACKUP_URL"),
    new Option(
      "--after <receipt|sequence>",
      "answer once this has been reached: a number, JSON, or @file",
    ),
    new Option("--json", "print JSON; errors are JSON on standard error"),
    new Option("--no-color", "print without colours"),
  ].map((option) => option.helpGroup("Everywhere:"));
}

const EPILOGUE = `
Exit codes: 0 done, 1 failed or found wrong, 2 the command line is wrong.
Reference:  docs/reference/command-line.md`;
