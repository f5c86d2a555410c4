import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, isAbsolute, join, relative, resolve } from "node:path";

import { checkTenant } from "@custody/contract/ids";
import { STORE_ROLES } from "@custody/contract/placement";
import type { StoreRole } from "@custody/contract/placement";
import { isOwnerName } from "@custody/core/projection/owner-scope";

import type { EngineUrls } from "../open-stores.ts";
import { usageError } from "./command-error.ts";
import type { Terminal } from "./terminal.ts";

/** The options every command takes, as commander gives them. */
export interface GlobalOptions {
  readonly tenant?: string;
  readonly owner?: string;
  readonly json?: boolean;
  readonly after?: string;
  readonly data?: string;
  readonly keyFile?: string;
  readonly keyBackup?: string;
  readonly color?: boolean;
}

/** What a command works on. */
export interface Settings {
  readonly dataDirectory: string;
  readonly keyFile: string;
  readonly tenant: string;
  /** Whose own files are meant, for what is kept per owner. */
  readonly owner?: string;
  /** Servers that play roles. */
  readonly engines: EngineUrls;
  /** Where the backup of the keys is, when it is not where it was made. */
  readonly keyBackup?: string;
  /** The key service that wraps the root key in that backup as well. */
  readonly keyService?: string;
  /** From how many milliseconds on a read is remembered as slow. */
  readonly slowMs?: number;
  readonly isJson: boolean;
  readonly hasColor: boolean;
}

/**
 * Decides the settings: an option comes before an environment variable, and that before the default.
 *
 * @throws CommandError `usage` when the key file would lie inside the data directory.
 */
export function resolveSettings(options: GlobalOptions, terminal: Terminal): Settings {
  const { environment, directory } = terminal;
  const dataDirectory = resolve(
    directory,
    options.data ?? given(environment["CUSTODY_DATA"]) ?? "custody-data",
  );
  const keyFile = resolve(
    directory,
    options.keyFile ??
      given(environment["CUSTODY_KEY_FILE"]) ??
      defaultKeyFile(dataDirectory, environment),
  );
  if (isInside(dataDirectory, keyFile)) {
    throw usageError(
      `the key file ${keyFile} lies in the data directory ${dataDirectory}: who copies one would have both`,
      "choose another place with --key-file or CUSTODY_KEY_FILE",
    );
  }
  const owner = options.owner ?? given(environment["CUSTODY_OWNER"]);
  return {
    dataDirectory,
    keyFile,
    ...(owner === undefined ? {} : { owner: checkOwner(owner) }),
    tenant: checkTenant(options.tenant ?? given(environment["CUSTODY_TENANT"]) ?? "default"),
    engines: engineUrls(environment),
    ...keyBackupUrl(options, environment),
    ...keyServiceUrl(environment),
    ...slowness(given(environment["CUSTODY_SLOW_MS"])),
    isJson: options.json ?? false,
    hasColor: wantsColor(options, terminal),
  };
}

/**
 * Where the key of a data directory lies unless told otherwise:
 * `~/.config/custody/<name>-<first 8 hex digits of SHA-256 of its path>.key`.
 */
function defaultKeyFile(dataDirectory: string, environment: Terminal["environment"]): string {
  const configuration =
    given(environment["XDG_CONFIG_HOME"]) ??
    join(given(environment["HOME"]) ?? homedir(), ".config");
  const digest = createHash("sha256").update(dataDirectory).digest("hex").slice(0, 8);
  return join(configuration, "custody", `${basename(dataDirectory)}-${digest}.key`);
}

function isInside(directory: string, path: string): boolean {
  const way = relative(directory, path);
  return way === "" || (!way.startsWith("..") && !isAbsolute(way));
}

function checkOwner(owner: string): string {
  if (isOwnerName(owner)) return owner;
  throw usageError(
    "an owner's name is 1 to 512 characters of text",
    "name another one with --owner or CUSTODY_OWNER",
  );
}

/** An empty variable counts as one that is not set. */
function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function wantsColor(options: GlobalOptions, terminal: Terminal): boolean {
  if (options.color === false || given(terminal.environment["NO_COLOR"]) !== undefined)
    return false;
  return terminal.isInteractive || given(terminal.environment["FORCE_COLOR"]) !== undefined;
}

/** `CUSTODY_<ROLE>_URL` for each role; `CUSTODY_<ROLE>_URL_FILE` names a file that holds it, as it may hold a password. */
function engineUrls(environment: Terminal["environment"]): EngineUrls {
  const urls: Partial<Record<StoreRole, string>> = {};
  for (const role of STORE_ROLES) {
    const url = urlOf(`CUSTODY_${role.toUpperCase()}_URL`, environment);
    if (url !== undefined) urls[role] = url;
  }
  return urls;
}

function keyBackupUrl(
  options: GlobalOptions,
  environment: Terminal["environment"],
): { readonly keyBackup?: string } {
  const url = options.keyBackup ?? urlOf("CUSTODY_KEY_BACKUP_URL", environment);
  return url === undefined ? {} : { keyBackup: url };
}

function keyServiceUrl(environment: Terminal["environment"]): { readonly keyService?: string } {
  const url = urlOf("CUSTODY_KEY_SERVICE_URL", environment);
  return url === undefined ? {} : { keyService: url };
}

function urlOf(name: string, environment: Terminal["environment"]): string | undefined {
  const file = given(environment[`${name}_FILE`]);
  return given(environment[name]) ?? (file === undefined ? undefined : readUrl(name, file));
}

function slowness(text: string | undefined): { readonly slowMs?: number } {
  if (text === undefined) return {};
  if (/^\d{1,9}$/.test(text)) return { slowMs: Number(text) };
  throw usageError(
    `CUSTODY_SLOW_MS is ${JSON.stringify(text)}, and not a whole number of milliseconds`,
    "set it to 500, say",
  );
}

function readUrl(name: string, file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    throw usageError(`${name}_FILE names ${file}, which cannot be read`, "check the file's name");
  }
}
