import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { CoreError } from "@custody/core/errors";

/** The layout of a data directory that this version writes. */
const FORMAT = 1;

/** What `custody.json` says of a data directory. */
export interface DataDirectory {
  readonly format: number;
  readonly createdAt: string;
  /** Names the installation in stores that lie elsewhere; made when it is first opened. */
  readonly installation?: string;
  /** True once the journal and the blob store bear that name. */
  readonly isSigned?: boolean;
  /** Where the journal and the blobs were when it was first opened, in words for people. */
  readonly truth?: { readonly journal: string; readonly blobs: string };
  /** What is to be restored into it, in words, until the journal itself says that a restore is under way. */
  readonly restoring?: string;
}

/**
 * Marks a directory as a data directory.
 *
 * @param restoring what is restored into it: it is refused until that has begun.
 * @throws CoreError `conflict` when it is one already.
 */
export function createDataDirectory(directory: string, now: number, restoring?: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (readMarker(directory) !== undefined) {
    throw new CoreError(
      "conflict",
      `${directory} is a data directory already; use it, or choose another`,
    );
  }
  const marker: DataDirectory = {
    format: FORMAT,
    createdAt: new Date(now).toISOString(),
    ...(restoring === undefined ? {} : { restoring }),
  };
  writeFileSync(markerFile(directory), `${JSON.stringify(marker)}\n`, { flag: "wx", flush: true });
}

/** Marks a directory as a data directory unless it is one; see {@link createDataDirectory}. */
export function ensureDataDirectory(directory: string, now: number, restoring?: string): void {
  if (readMarker(directory) === undefined) createDataDirectory(directory, now, restoring);
  else requireDataDirectory(directory);
}

/** Says that a restore has begun: from now on the journal itself tells of it. */
export function noteRestoreBegun(directory: string): void {
  const { restoring, ...marker } = requireDataDirectory(directory);
  if (restoring !== undefined) rewriteDataDirectory(directory, marker);
}

/**
 * Refuses a directory that was made for a restore of which nothing but keys has come yet: opened, it
 * would be a new and empty installation.
 *
 * @throws CoreError `failed` that says which restore to repeat.
 */
export function requireNotRestoring({ restoring }: DataDirectory): void {
  if (restoring === undefined) return;
  throw new CoreError(
    "failed",
    `this place holds a half-finished restore of ${restoring}: ` +
      "repeat the same `custody backup restore`, which goes on where it was, or empty the place",
  );
}

/**
 * Checks that a directory is a data directory of a format that this version knows.
 *
 * @throws CoreError `usage` when it is none, or when a newer version wrote it.
 */
export function requireDataDirectory(directory: string): DataDirectory {
  const marker = readMarker(directory);
  if (marker === undefined) {
    throw new CoreError(
      "usage",
      `${directory} is no data directory; make one with \`custody init\``,
    );
  }
  if (marker.format > FORMAT) {
    throw new CoreError(
      "usage",
      `${directory} has format ${marker.format}, and this version knows format ${FORMAT}; use a newer Custody`,
    );
  }
  return marker;
}

/** Replaces what `custody.json` says, whole or not at all. */
export function rewriteDataDirectory(directory: string, marker: DataDirectory): void {
  const path = markerFile(directory);
  writeFileSync(`${path}.new`, `${JSON.stringify(marker)}\n`, { flush: true });
  renameSync(`${path}.new`, path);
}

function markerFile(directory: string): string {
  return join(directory, "custody.json");
}

function readMarker(directory: string): DataDirectory | undefined {
  try {
    return JSON.parse(readFileSync(markerFile(directory), "utf8")) as DataDirectory;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new CoreError("damaged", `${markerFile(directory)} cannot be read`, { cause });
  }
}
