import { rmSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";

import { openSqliteFile, sqliteTransaction } from "../drivers/sqlite.ts";
import { StoreError } from "../errors.ts";
import type { CacheContents, CacheEntry } from "./memory.ts";

const TABLES = `CREATE TABLE IF NOT EXISTS entries
  (kind TEXT NOT NULL, name TEXT NOT NULL, value ANY NOT NULL, expires_at INTEGER NOT NULL) STRICT`;

/**
 * Takes what was laid down at the last orderly closing, and empties the file.
 *
 * A file that cannot be read is removed: nothing in a cache is worth failing for.
 */
export function loadSnapshot(path: string, now: number): CacheContents {
  try {
    return withFile(path, (database) => take(database, now));
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== "corrupt") throw cause;
    for (const ending of ["", "-wal", "-shm"]) rmSync(`${path}${ending}`, { force: true });
    return withFile(path, (database) => take(database, now));
  }
}

/** Lays the contents down, longest unused first. */
export function saveSnapshot(path: string, contents: CacheContents, now: number): void {
  withFile(path, (database) => {
    database.exec("DELETE FROM entries");
    const insert = database.prepare("INSERT INTO entries VALUES (?, ?, ?, ?)");
    const save = (
      kind: string,
      entries: ReadonlyMap<string, CacheEntry<Uint8Array | string>>,
    ): void => {
      for (const [name, { value, expiresAt }] of entries) {
        if (expiresAt > now) insert.run(kind, name, value, BigInt(Math.trunc(expiresAt)));
      }
    };
    save("value", contents.values);
    save("counter", asText(contents.counters));
    save("window", asText(contents.windows));
  });
}

function take(database: DatabaseSync, now: number): CacheContents {
  const contents: CacheContents = { values: new Map(), counters: new Map(), windows: new Map() };
  const rows = database.prepare("SELECT kind, name, value, expires_at FROM entries ORDER BY rowid");
  for (const row of rows.iterate()) {
    const name = String(row["name"]);
    const expiresAt = Number(row["expires_at"]);
    const value = row["value"];
    if (expiresAt <= now) continue;
    if (row["kind"] === "value" && value instanceof Uint8Array) {
      contents.values.set(name, { value, expiresAt });
    } else if (row["kind"] === "counter") {
      contents.counters.set(name, { value: Number(value), expiresAt });
    } else {
      const uses = JSON.parse(String(value)) as readonly number[];
      contents.windows.set(name, { value: uses, expiresAt });
    }
  }
  database.exec("DELETE FROM entries");
  return contents;
}

function withFile<Result>(path: string, work: (database: DatabaseSync) => Result): Result {
  // As durable as the journal: were the emptying lost, entries that have changed since would come back.
  const database = openSqliteFile({ path, durability: "journal", cacheKib: 1_024 });
  try {
    return sqliteTransaction(database, `use cache file ${path}`, () => {
      database.exec(TABLES);
      return work(database);
    });
  } finally {
    database.close();
  }
}

function asText(
  entries: ReadonlyMap<string, CacheEntry<unknown>>,
): ReadonlyMap<string, CacheEntry<string>> {
  return new Map(
    [...entries].map(([name, { value, expiresAt }]) => [
      name,
      { value: JSON.stringify(value), expiresAt },
    ]),
  );
}
