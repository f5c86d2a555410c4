import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { mapFileError } from "./sqlite.ts";

/** What is between a file's name and the instant at which it was set aside. */
export const ASIDE = ".set-aside-";

// Damaged files kept for whoever wants to know why; older ones go, as a disk that damages one file
// damages others.
const ASIDE_MAX = 2;

/**
 * Renames a file that nobody has open to `<name>.set-aside-<instant>`, so that an empty one takes its
 * place, and what lies beside it along with it. Of earlier ones the newest stays.
 *
 * @param endings of the files beside it, `-wal`, which mean nothing without it.
 * @returns the new path; `undefined` where there is no such file.
 * @throws StoreError `read-only`, `full` or `unavailable`.
 */
export function setFileAside(
  path: string,
  endings: readonly string[],
  atMs: number,
): string | undefined {
  return fileCall(`set ${path} aside`, () => {
    if (!existsSync(path)) return undefined;
    const target = freeName(path, atMs);
    // The file first: who opens a file that is not there removes what is left beside it.
    for (const ending of ["", ...endings]) {
      if (existsSync(`${path}${ending}`)) renameSync(`${path}${ending}`, `${target}${ending}`);
    }
    removeOlder(path);
    return target;
  });
}

/** Removes every file that was set aside from under a name. */
export function removeAsides(path: string): void {
  fileCall(`remove what was set aside of ${path}`, () => {
    for (const stamp of stampsOf(path)) removeAside(path, stamp);
  });
}

function fileCall<Result>(doing: string, work: () => Result): Result {
  try {
    return work();
  } catch (cause) {
    throw mapFileError(doing, cause);
  }
}

/** A name behind all that are there, also where the clock stands still or went back. */
function freeName(path: string, atMs: number): string {
  const newest = stampsOf(path).at(-1);
  const at = newest === undefined ? atMs : Math.max(atMs, instantOf(newest) + 1);
  return `${path}${ASIDE}${new Date(at).toISOString().replaceAll(/[-:.]/g, "")}`;
}

/** `20260401T123000250Z` in epoch milliseconds. */
function instantOf(stamp: string): number {
  const [, year, month, day, hour, minute, second, ms] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z$/.exec(stamp) ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
}

function removeOlder(path: string): void {
  for (const stamp of stampsOf(path).slice(0, -ASIDE_MAX)) removeAside(path, stamp);
}

function removeAside(path: string, stamp: string): void {
  const name = `${basename(path)}${ASIDE}${stamp}`;
  for (const found of readdirSync(dirname(path))) {
    if (found.startsWith(name)) rmSync(join(dirname(path), found), { force: true });
  }
}

/** The instants at which files of that name were set aside, the oldest first. */
function stampsOf(path: string): readonly string[] {
  const start = `${basename(path)}${ASIDE}`;
  const stamps = readdirSync(dirname(path))
    .filter((name) => name.startsWith(start))
    .map((name) => /^\d{8}T\d{9}Z/.exec(name.slice(start.length))?.[0] ?? "");
  return [...new Set(stamps)].filter((stamp) => stamp !== "").sort();
}
