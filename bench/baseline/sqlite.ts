import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { CommitTurn } from "./raw-store.ts";
import type { RawOptions, RawStore } from "./raw-store.ts";

/** Opens a SQLite file tuned for one writer that only appends. */
export function openRawSqlite(
  { directory, durability }: RawOptions,
  file: { readonly name: string; readonly pageBytes: number; readonly cacheMib: number },
): DatabaseSync {
  const database = new DatabaseSync(join(directory, `${file.name}.sqlite`));
  // A rollback journal is cheaper than a WAL here: appended pages are journalled nowhere.
  database.exec(`PRAGMA page_size=${file.pageBytes}; PRAGMA locking_mode=EXCLUSIVE;
    PRAGMA journal_mode=${durability === "durable" ? "PERSIST" : "OFF"};
    PRAGMA synchronous=${durability === "durable" ? "FULL" : "OFF"};
    PRAGMA cache_size=-${file.cacheMib * 1024}`);
  return database;
}

/** A store of one SQLite file: inserts, with a transaction for each batch or every tenth. */
export function sqliteStore<Rows>(
  options: RawOptions,
  database: DatabaseSync,
  insert: (rows: Rows) => void,
): RawStore<Rows> {
  const turn = new CommitTurn(options);
  return {
    write(rows) {
      if (turn.isFirst) database.exec("BEGIN");
      insert(rows);
      if (turn.add()) database.exec("COMMIT");
    },
    close() {
      if (turn.end()) database.exec("COMMIT");
      database.close();
    },
  };
}
