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
}

/** Marks a directory as a data directory. @throws CoreError `conflict` when it is one already. */
export function createDataDirectory(directory: string, now: number): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (readMarker(directory) !== undefined) {
    throw new CoreError(
      "conflict",
      `${directory} is a data directory already; use it, or choose another`,
    );
  }
  const marker: DataDirectory = { format: FORMAT, createdAt: new Date(now).toISOString() };
  writeFileSync(markerFile(directory), `${JSON.stringify(marker)}\n`, { flag: "wx" });
}

/** Marks a directory as a data directory unless it is one. */
export function ensureDataDirectory(directory: string, now: number): void {
  if (readMarker(directory) === undefined) createDataDirectory(directory, now);
  else requireDataDirectory(directory);
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
