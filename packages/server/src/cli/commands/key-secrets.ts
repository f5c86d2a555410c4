import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";

import type { TypedSecret } from "../../key-operations.ts";
import { CommandError, usageError } from "../command-error.ts";
import type { CommandRun } from "../session.ts";

/** What opens a key backup in place of the recovery key, as commands take it. */
export interface SecretArguments {
  readonly passphraseFile?: string;
  /** True for the one of the environment. */
  readonly keyService?: string | true;
}

/** The option that names a file with a passphrase. */
export const OPENING_PASSPHRASE: readonly [string, string] = [
  "--passphrase-file <file>",
  "open the key backup with the passphrase in this file (- is stdin)",
];

/** The option that names a key service. */
export const OPENING_SERVICE: readonly [string, string] = [
  "--key-service [url]",
  "open the key backup with this key service; default CUSTODY_KEY_SERVICE_URL",
];

/** The passphrase or key service that was given; `undefined` where the recovery key is to be asked for. */
export async function givenSecret(
  run: CommandRun,
  { passphraseFile, keyService }: SecretArguments,
): Promise<TypedSecret | undefined> {
  if (passphraseFile !== undefined && keyService !== undefined)
    throw usageError("a passphrase and a key service were given", "give one of them");
  if (keyService !== undefined) return { kind: "key-service", url: keyServiceUrl(run, keyService) };
  const passphrase = await readPassphrase(run, passphraseFile);
  return passphrase === undefined ? undefined : { kind: "passphrase", passphrase };
}

/** The URL of the key service. @throws CommandError `usage` when nothing says which. */
export function keyServiceUrl({ settings }: CommandRun, given: string | true): string {
  const url = given === true ? settings.keyService : given;
  if (url !== undefined) return url;
  throw usageError(
    "nothing says which key service",
    "give --key-service a URL, or set CUSTODY_KEY_SERVICE_URL or CUSTODY_KEY_SERVICE_URL_FILE",
  );
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
