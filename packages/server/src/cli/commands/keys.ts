import type { KeysStatus } from "@custody/core/keys/key-backup";
import type { KeyBackupCheck } from "@custody/core/keys/key-backup-verify";
import type { KeyBackupReport } from "@custody/core/keys/key-service";
import type { Command } from "commander";

import {
  backUpKeys,
  readKeysStatus,
  recoverKeys,
  restoreKeys,
  verifyKeys,
} from "../../key-operations.ts";
import type { KeysOf } from "../../key-operations.ts";
import { placeUrl, withoutSecrets } from "../../open-place.ts";
import { FaultError, faultOf } from "../fault.ts";
import { given } from "../given.ts";
import { countOf, formatBytes, formatInstant } from "../output/quantity.ts";
import { runCommand } from "../session.ts";
import type { CommandContext, CommandRun, Outcome } from "../session.ts";
import {
  givenSecret,
  keyServiceUrl,
  OPENING_PASSPHRASE,
  OPENING_SERVICE,
  readPassphrase,
  readRecoveryKey,
} from "./key-secrets.ts";
import type { SecretArguments } from "./key-secrets.ts";

interface BackupArguments {
  readonly to?: string;
  readonly passphraseFile?: string;
  readonly keyService?: string | boolean;
  readonly full?: boolean;
  readonly replace?: boolean;
}

interface RestoreArguments extends SecretArguments {
  readonly from?: string;
  readonly copy?: boolean;
}

interface ServiceArguments {
  readonly keyService?: string;
}

const KEPT_SERVICE = "the key service that is to open it; default CUSTODY_KEY_SERVICE_URL";

/** Registers `keys recover`, `keys backup`, `keys status`, `keys verify` and `keys restore`. */
export function addKeyCommands(program: Command, context: CommandContext): void {
  const keys = program.command("keys").description("looks after the key file and all other keys");
  keys
    .command("recover")
    .summary("write a lost key file anew")
    .description(
      "Writes the key file anew from the recovery key, which is read from standard input: an argument could be seen by other users. With a passphrase or a key service the keys' backup is asked.",
    )
    .option(...OPENING_PASSPHRASE)
    .option(...OPENING_SERVICE)
    .action((options: SecretArguments, command: Command) =>
      runCommand(context, command, (run) => recover(run, options)),
    );
  addBackupCommands(keys, context);
  keys
    .command("restore")
    .summary("write the key file and all keys from their backup")
    .description(
      "Writes the key file and all keys from their backup. The recovery key is read from standard input, unless a passphrase or a key service is given.",
    )
    .requiredOption("--from <place>", "where the backup is: a directory, file:///… or s3://…")
    .option(...OPENING_PASSPHRASE)
    .option(...OPENING_SERVICE)
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
    .option(
      "--key-service [url]",
      "have this key service wrap the root key, anew where it has: aws-kms://… or vault://…; default CUSTODY_KEY_SERVICE_URL",
    )
    .option("--no-key-service", "give up what a key service has wrapped")
    .option("--full", "read every pack, and write damaged ones anew")
    .option("--replace", "take this place for the former one, which is then yours to destroy")
    .action((options: BackupArguments, command: Command) =>
      runCommand(context, command, (run) => backUp(run, options)),
    );
  keys
    .command("status")
    .description("Says which keys there are, where their backup is and whether it is up to date.")
    .option("--key-service <url>", KEPT_SERVICE)
    .action((options: ServiceArguments, command: Command) =>
      runCommand(context, command, (run) => status(run, options)),
    );
  keys
    .command("verify")
    .description(
      "Opens every key in the backup and compares it, and has the key service open it. Exits with 1 when one differs.",
    )
    .option("--key-service <url>", KEPT_SERVICE)
    .action((options: ServiceArguments, command: Command) =>
      runCommand(context, command, (run) => verify(run, options)),
    );
}

async function recover(run: CommandRun, options: SecretArguments): Promise<void> {
  const { compose, settings, show } = run;
  const secret = await givenSecret(run, options);
  if (secret !== undefined) {
    await recoverKeys(keysOf(run), secret);
    await show({ keyFile: settings.keyFile }, () => renderRecovered(settings.keyFile));
    return;
  }
  const recoveryKey = await readRecoveryKey(run);
  const { dataDirectory, keyFile } = settings;
  await compose.recoverKeyFile({ dataDirectory, keyFile, recoveryKey });
  await show({ keyFile }, () => renderRecovered(keyFile));
}

function renderRecovered(keyFile: string): string {
  return `key file        ${keyFile} written\n`;
}

async function backUp(run: CommandRun, options: BackupArguments): Promise<void> {
  const { settings, terminal, show } = run;
  const url = options.to ?? settings.keyBackup;
  const place = url === undefined ? {} : { keyBackup: placeUrl(url, terminal.directory) };
  const passphrase = await readPassphrase(run, options.passphraseFile);
  const { keyService: wished } = options;
  const isWished = wished !== undefined && wished !== false;
  const service = isWished ? { keyService: keyServiceUrl(run, wished) } : {};
  const report = await backUpKeys(
    { ...keysOf(run), ...place, ...service },
    {
      ...given({ passphrase }),
      ...(wished === undefined ? {} : { keyService: isWished ? "anew" : "none" }),
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

async function status(run: CommandRun, { keyService }: ServiceArguments): Promise<Outcome> {
  const { settings, show } = run;
  const answer = await readKeysStatus({ ...keysOf(run), ...given({ keyService }) });
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
      : "behind: run `custody keys backup`, which copies what is new, destroys what is to go, and asks the key service";
    lines.push(`           ${state}; last written ${at}`);
    lines.push(`           opened by ${backup.wrappings.map((kind) => NAMES[kind]).join(" or ")}`);
    if (backup.keyService !== undefined) lines.push(`           key service ${backup.keyService}`);
  }
  return `${lines.join("\n")}\n`;
}

async function verify(run: CommandRun, { keyService }: ServiceArguments): Promise<Outcome> {
  const check = await verifyKeys({ ...keysOf(run), ...given({ keyService }) });
  await run.show(check, () => renderCheck(check));
  return check.ok ? "done" : "found-wrong";
}

function renderCheck(check: KeyBackupCheck): string {
  const { ok, keys, destroyed, faults, faultCount } = check;
  const counted = `${countOf(keys, "key")} in the backup, ${destroyed} destroyed`;
  if (ok) return `${counted}: all as they are here\n${renderService(check)}`;
  const told = faults.map(({ at, kind }) => `${FAULTS[kind]}: ${at}`);
  const rest = faultCount > faults.length ? [`and ${faultCount - faults.length} more`] : [];
  return `${[counted, ...told, ...rest].join("\n")}\n`;
}

function renderService({ keyService }: KeyBackupCheck): string {
  if (keyService === undefined) return "";
  const { name, isChecked } = keyService;
  return isChecked
    ? `the key service opens it: ${name}\n`
    : `the key service ${name} was not asked: give --key-service or CUSTODY_KEY_SERVICE_URL\n`;
}

async function restore(run: CommandRun, options: RestoreArguments): Promise<void> {
  const { settings, terminal, show } = run;
  const url = placeUrl(options.from ?? "", terminal.directory);
  const secret = (await givenSecret(run, options)) ?? {
    kind: "recovery" as const,
    typed: await readRecoveryKey(run),
  };
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

const NAMES = {
  recovery: "the recovery key",
  passphrase: "the passphrase",
  "key-service": "the key service",
} as const;

const FAULTS: Readonly<Record<KeyBackupCheck["faults"][number]["kind"], string>> = {
  missing: "not in the backup yet",
  "missing-here": "in the backup, and lost here",
  different: "another key in the backup",
  unreadable: "does not open in the backup",
  "unreadable-here": "does not open here",
  "not-destroyed": "destroyed here, and still in the backup",
  "not-destroyed-here": "destroyed in the backup, and still here",
  "damaged-pack": "an altered pack",
  "not-opened-by-service":
    "not opened by the key service (`custody keys backup --key-service` wraps the root key)",
};

function keysOf({ settings, terminal }: CommandRun): KeysOf {
  const { dataDirectory, keyFile, keyBackup, keyService } = settings;
  const place =
    keyBackup === undefined ? {} : { keyBackup: placeUrl(keyBackup, terminal.directory) };
  return { dataDirectory, keyFile, ...place, ...given({ keyService }) };
}
