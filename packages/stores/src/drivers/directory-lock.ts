import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { mapSqliteError } from "./sqlite.ts";
import { StoreError } from "../errors.ts";

/** The process that owns a data directory. */
export interface DirectoryOwner {
  readonly pid: number;
  /** Epoch milliseconds. */
  readonly since: number;
  /** What it was started as. */
  readonly command: string;
}

/** Held as long as the process owns the directory; the operating system ends it with the process. */
export interface DirectoryLock extends Disposable {
  readonly owner: DirectoryOwner;
}

/**
 * Takes a data directory for this process alone.
 *
 * The lock is SQLite's exclusive file lock, which the system releases however the process ends, so
 * that no stale lock file is ever left behind; a file beside it says who holds it.
 *
 * @throws StoreError `unavailable` naming the owner's process id and what to do.
 */
export function lockDirectory(directory: string, owner: DirectoryOwner): DirectoryLock {
  mkdirSync(directory, { recursive: true });
  const note = join(directory, "owner.json");
  const database = open(join(directory, "owner.lock"));
  try {
    database.exec(
      "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS owner (pid INTEGER)",
    );
    writeFileSync(note, `${JSON.stringify(owner)}\n`);
  } catch (cause) {
    database.close();
    throw taken(directory, note, cause);
  }
  return {
    owner,
    [Symbol.dispose]() {
      database.close();
    },
  };
}

function open(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    throw mapSqliteError(`open ${path}`, cause);
  }
}

function taken(directory: string, note: string, cause: unknown): unknown {
  const mapped = mapSqliteError(`lock ${directory}`, cause);
  if (!(mapped instanceof StoreError) || mapped.code !== "unavailable") return mapped;
  const owner = readOwner(note);
  const who = owner === undefined ? "another process" : `process ${owner.pid} (${owner.command})`;
  const what =
    owner === undefined ? "stop it" : `wait for it, or stop it with \`kill ${owner.pid}\``;
  return new StoreError(
    "unavailable",
    `${directory} is in use by ${who}; ${what}, or use another directory`,
    { cause },
  );
}

function readOwner(note: string): DirectoryOwner | undefined {
  try {
    return JSON.parse(readFileSync(note, "utf8")) as DirectoryOwner;
  } catch (cause) {
    // The note is only for people: without it the lock still holds.
    if (cause instanceof Error) return undefined;
    throw cause;
  }
}
