import { statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";

/** Bytes of a SQLite file with its log; 0 where there is none. */
export function sqliteFileBytes(path: string): number {
  return ["", "-wal"]
    .map((ending) => statSync(`${path}${ending}`, { throwIfNoEntry: false })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);
}

/** Runs reads that must see one state of the file. Must not be nested. */
export function sqliteSnapshot<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec("BEGIN");
  try {
    return work();
  } finally {
    if (database.isTransaction) database.exec("COMMIT");
  }
}
