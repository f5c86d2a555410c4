import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { defaultPolicy, parsePolicy } from "@custody/core/backup/policy";
import type { BackupPolicy, PolicyPlace } from "@custody/core/backup/policy";
import { CoreError } from "@custody/core/errors";

import { cronProblem } from "./cron.ts";

/** Where policies and places are looked for. */
export interface PolicySurroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What relative paths are relative to. */
  readonly directory: string;
}

/** A policy and where it comes from, in words for people. */
export interface FoundPolicy {
  readonly policy: BackupPolicy;
  readonly source: string;
}

/**
 * The policy in force: of the file that `CUSTODY_POLICY` names, else the default schedule into
 * `CUSTODY_BACKUP_URL`; `undefined` without either.
 *
 * @throws CoreError `usage` naming the file, the field and what to write.
 */
export function findPolicy(surroundings: PolicySurroundings): FoundPolicy | undefined {
  const { environment, directory } = surroundings;
  const file = environment["CUSTODY_POLICY"] ?? "";
  if (file !== "") return readPolicyFile(resolve(directory, file));
  const repository = placeOfVariable("CUSTODY_BACKUP_URL", surroundings);
  if (repository === undefined) return undefined;
  const keyBackup = placeOfVariable("CUSTODY_KEY_BACKUP_URL", surroundings);
  const policy = defaultPolicy({ repository, ...(keyBackup === undefined ? {} : { keyBackup }) });
  return { policy, source: "the default schedule into CUSTODY_BACKUP_URL" };
}

/** Reads one policy file. @throws CoreError `usage` naming the file, the field and what to write. */
export function readPolicyFile(path: string): FoundPolicy {
  try {
    return { policy: parsePolicy(readText(path), cronProblem), source: path };
  } catch (cause) {
    if (!(cause instanceof CoreError) || cause.message.startsWith(path)) throw cause;
    const at = cause.at === undefined ? {} : { at: cause.at };
    throw new CoreError(cause.code, `${path}: ${cause.message}`, { cause, ...at });
  }
}

/** The URL of a place, read from the file it names where it names one. @throws CoreError `usage`. */
export function placeUrl({ url, urlFile }: PolicyPlace, directory: string): string {
  if (url !== undefined) return url;
  if (urlFile === undefined) throw new CoreError("usage", "a place needs a url or a urlFile");
  return readText(resolve(directory, urlFile)).trim();
}

/** A place that a variable names, or the file that `<variable>_FILE` names. */
export function placeOfVariable(
  variable: string,
  { environment, directory }: PolicySurroundings,
): string | undefined {
  const url = environment[variable] ?? "";
  if (url !== "") return url;
  const urlFile = environment[`${variable}_FILE`] ?? "";
  return urlFile === "" ? undefined : placeUrl({ urlFile }, directory);
}

/**
 * The URL of the repository that is meant: a name of the policy, a URL, or with neither the first of
 * the policy.
 *
 * @throws CoreError `usage` when nothing says which.
 */
export function repositoryUrl(named: string | undefined, surroundings: PolicySurroundings): string {
  const repositories = findPolicy(surroundings)?.policy.repositories ?? {};
  const [first] = Object.values(repositories);
  const place = named === undefined ? first : repositories[named];
  if (place !== undefined) return placeUrl(place, surroundings.directory);
  if (named !== undefined) return named;
  throw new CoreError(
    "usage",
    "no repository of backups is named; give --repository with a directory or s3://…, or set CUSTODY_BACKUP_URL",
  );
}

/** The URL of the key backup, where one is named. */
export function keyBackupUrl(surroundings: PolicySurroundings): string | undefined {
  const ofVariable = placeOfVariable("CUSTODY_KEY_BACKUP_URL", surroundings);
  if (ofVariable !== undefined) return ofVariable;
  const place = findPolicy(surroundings)?.policy.keyBackup;
  return place === undefined ? undefined : placeUrl(place, surroundings.directory);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? String(cause.code) : "unreadable";
    throw new CoreError("usage", `${path} cannot be read (${why}); check its name`, { cause });
  }
}
