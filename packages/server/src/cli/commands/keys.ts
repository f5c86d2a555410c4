import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";

import type { KeysStatus } from "@custody/core/keys/key-backup";
import type { KeyBackupSecret } from "@custody/core/keys/key-backup-head";
import type { KeyBackupCheck } from "@custody/core/keys/key-backup-verify";
import type { KeyBackupReport } from "@custody/core/keys/key-service";
import type { Command } from "commander";

import { backUpKeys, readKeysStatus, restoreKeys, verifyKeys } from "../../key-operations.ts";
import type { KeysOf } from "../../key-operations.ts";
import { placeUrl, withoutSecrets } from "../../open-place.ts";
import { CommandError, usageError } from "../command-error.ts";
import { FaultError, faultOf } from "../fault.ts";
import { given } from "../given.ts";
import { countOf, formatBytes, formatInstant } from "../output/quantity.ts";
import { runCommand } from "../session.ts";
import type { CommandContext, CommandRun, Outcome } from "../session.ts";

interface BackupArguments {
  readonly to?: string;
  readonly passphraseFile?: string;
  readonly full?: boolean;
  readonly replace?: boolean;
}

interface RestoreArguments {
  readonly from?: string;
  readonly passphraseFile?: string;
  readonly copy?: boolean;
}

/** Registers `keys recover`, `keys backup`, `keys status`, `keys verify` and `keys restore`. */
export function addKeyCommands(program: Command, context: CommandContext): void {
  const keys = program.command("keys").description("looks after the key file and all other keys");
  keys
    .command("recover")
    .summary("write a lost key file anew")
    .description(
      "Writes the key file anew from the recovery key, which is read from standard input: an argument could be seen by other users.",
    )
    .action((_options, command: Command) => runCommand(context, command, recover));
  addBackupCommands(keys, context);
  keys
    .command("restore")
    .summary("write the key file and all keys from their backup")
    .description(
      "Writes the key file and all keys from their backup. The recovery key is read from standard input, unless a passphrase is given.",
    )
    .requiredOption("--from <place>", "where the backup is: a directory, file:///… or s3://…")
    .option("--passphrase-file <file>", "open it with the passphrase in this file (- is stdin)")
    .option("--copy", "for a second installation beside the first: never write into the backup")
    .action((options: RestoreArguments, command: Command) =>
      runCommand(context, command, (run) => restore(run, options)),
    );
}

function addBackupCommands(keys: Command, context: CommandContext): void {
  keys
    .command("backup")
    .summary("copy all keys to another place")
    .description(
      "Copies all keys, wrapped, to a place that is neither the data directory nor that of a backup of data. Again, it brings the copy up to date: a key that was destroyed is destroyed there too.",
    )
    .option("--to <place>", "a directory, file:///… or s3://…; default where it was made")
    .option("--passphrase-file <file>", "open it with this passphrase as well (- is stdin)")
    .option("--full", "read every pack, and write damaged ones anew")
    .option("--replace", "take this place for the former one, which is then yours to destroy")
    .action((options: BackupArguments, command: Command) =>
      runCommand(context, command, (run) => backUp(run, options)),
    );
  keys
    .command("status")
    .description("Says which keys there are, where their backup is and whether it is up to date.")
    .action((_options, command: Command) => runCommand(context, command, status));
  keys
    .command("verify")
    .description("Opens every key in the backup and compares it. Exits with 1 when one differs.")
    .action((_options, command: Command) => runCommand(context, command, verify));
}

async function recover(run: CommandRun): Promise<void> {
  const { compose, settings, show } = run;
  const recoveryKey = await readRecoveryKey(run);
  const { dataDirectory, keyFile } = settings;
  await compose.recoverKeyFile({ dataDirectory, keyFile, recoveryKey });
  await show({ keyFile }, () => `key file        ${keyFile} written\n`);
}

async function backUp(run: CommandRun, options: BackupArguments): Promise<void> {
  const { settings, terminal, show } = run;
  const url = options.to ?? settings.keyBackup;
  const place = url === undefined ? {} : { keyBackup: placeUrl(url, terminal.directory) };
  const passphrase = await readPassphrase(run, options.passphraseFile);
  const report = await backUpKeys(
    { ...keysOf(run), ...place },
    {
      ...given({ passphrase }),
      isFull: options.full ?? false,
      isReplacing: options.replace ?? false,
    },
  );
  await show(report, () => renderBackup(report));
}

function renderBackup(report: KeyBackupReport): string {
  const { keys, destroyed, written, bytes, missingHere, damagedHere, destroyedHere } = report;
  const lines = [
    `${countOf(keys, "key")} in the backup, ${destroyed} destroyed`,
    written === 0
      ? "nothing had changed"
      : `${countOf(written, "pack")} written, ${formatBytes(bytes)}`,
  ];
  if (missingHere + damagedHere > 0)
    lines.push(
      `${missingHere} are missing here and ${damagedHere} damaged: \`custody keys restore\` brings back what is missing`,
    );
  if (destroyedHere > 0)
    lines.push(
      `${countOf(destroyedHere, "key")} had come back with an old copy, and were destroyed again`,
    );
  return `${lines.join("\n")}\n`;
}

async function status(run: CommandRun): Promise<Outcome> {
  const { settings, show } = run;
  const answer = await readKeysStatus(keysOf(run));
  await show({ keyFile: settings.keyFile, ...answer }, () => renderStatus(answer, run));
  return answer.backup?.isCurrent === true ? "done" : "found-wrong";
}

function renderStatus({ rootKey, keys, backup }: KeysStatus, { settings }: CommandRun): string {
  const lines = [
    `key file   ${settings.keyFile}`,
    `root key   ${rootKey}`,
    `keys       ${keys}`,
    `backup     ${backup?.url ?? "none: `custody keys backup --to PLACE` makes one"}`,
  ];
  if (backup !== undefined) {
    const at = backup.syncedAt === undefined ? "never finished" : formatInstant(backup.syncedAt);
    const state = backup.isCurrent
      ? "up to date"
      : "behind: run `custody keys backup`, which copies what is new and destroys what is to go";
    lines.push(`           ${state}; last written ${at}`);
    lines.push(`           opened by ${backup.wrappings.map((kind) => NAMES[kind]).join(" or ")}`);
  }
  return `${lines.join("\n")}\n`;
}

async function verify(run: CommandRun): Promise<Outcome> {
  const check = await verifyKeys(keysOf(run));
  await run.show(check, () => renderCheck(check));
  return check.ok ? "done" : "found-wrong";
}

function renderCheck({ ok, keys, destroyed, faults, faultCount }: KeyBackupCheck): string {
  const counted = `${countOf(keys, "key")} in the backup, ${destroyed} destroyed`;
  if (ok) return `${counted}: all as they are here\n`;
  const told = faults.map(({ at, kind }) => `${FAULTS[kind]}: ${at}`);
  const rest = faultCount > faults.length ? [`and ${faultCount - faults.length} more`] : [];
  return `${[counted, ...told, ...rest].join("\n")}\n`;
}

async function restore(run: CommandRun, options: RestoreArguments): Promise<void> {
  const { settings, terminal, show } = run;
  const url = placeUrl(options.from ?? "", terminal.directory);
  const passphrase = await readPassphrase(run, options.passphraseFile);
  const secret: KeyBackupSecret =
    passphrase === undefined
      ? { kind: "recovery", typed: await readRecoveryKey(run) }
      : { kind: "passphrase", passphrase };
  const { dataDirectory, keyFile } = settings;
  const done = await restoreKeys(
    { dataDirectory, keyFile },
    { url, secret, isCopy: options.copy ?? false },
  ).catch((error: unknown) => {
    throw NEXT_AFTER_RESTORE.has(faultOf(error).code)
      ? new FaultError({
          ...faultOf(error),
          next: "no key was written; try another copy of the key backup, or its other secret",
        })
      : error;
  });
  await show({ keyFile, ...done }, () =>
    [
      `key file   ${keyFile}`,
      `root key   ${done.rootKey}`,
      `keys       ${done.keys} written from ${withoutSecrets(url)}, ${done.destroyed} of them destroyed`,
      "",
    ].join("\n"),
  );
}

/** Where the usual advice, to recover the key file or to restore, leads in a circle. */
const NEXT_AFTER_RESTORE: ReadonlySet<string> = new Set(["no-key", "damaged"]);

const NAMES = { recovery: "the recovery key", passphrase: "the passphrase" } as const;

const FAULTS: Readonly<Record<KeyBackupCheck["faults"][number]["kind"], string>> = {
  missing: "not in the backup yet",
  "missing-here": "in the backup, and lost here",
  different: "another key in the backup",
  unreadable: "does not open in the backup",
  "unreadable-here": "does not open here",
  "not-destroyed": "destroyed here, and still in the backup",
  "not-destroyed-here": "destroyed in the backup, and still here",
  "damaged-pack": "an altered pack",
};

function keysOf({ settings, terminal }: CommandRun): KeysOf {
  const { dataDirectory, keyFile, keyBackup } = settings;
  const place =
    keyBackup === undefined ? {} : { keyBackup: placeUrl(keyBackup, terminal.directory) };
  return { dataDirectory, keyFile, ...place };
}

/** The recovery key, from standard input. @throws CommandError `usage` when none is given. */
export async function readRecoveryKey({ terminal, tell }: CommandRun): Promise<string> {
  if (terminal.isInputInteractive) tell("recovery key, then Enter and Ctrl-D: ");
  const recoveryKey = (await text(terminal.input())).trim();
  if (recoveryKey === "")
    throw usageError("no recovery key was given", "write it to standard input");
  return recoveryKey;
}

/** The passphrase in a file, `-` for standard input; `undefined` without a file. */
export async function readPassphrase(
  { terminal, tell }: CommandRun,
  file: string | undefined,
): Promise<string | undefined> {
  if (file === undefined) return undefined;
  if (file === "-") {
    if (terminal.isInputInteractive) tell("passphrase, then Enter and Ctrl-D: ");
    return text(terminal.input());
  }
  try {
    return await readFile(resolve(terminal.directory, file), "utf8");
  } catch (cause) {
    throw new CommandError("unreadable-file", "the passphrase cannot be read", {
      cause,
      path: file,
    });
  }
}
