import { chmod } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openSync, writeSync, closeSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

import { withoutPrivileges } from "../testing/without-privileges.ts";
import { describeSearch } from "./conformance.ts";
import { openSqliteSearchStore } from "./sqlite.ts";

const fileOf = (home: string): string => join(home, "tenants", "tenant-a", "search.sqlite");
const INDEX = "redteam__finding__g1";

const TAMPER = {
  alter: `UPDATE ${INDEX}_rows SET f3 = 'altered' WHERE id = ?`,
  lose: `DELETE FROM ${INDEX} WHERE rowid = (SELECT n FROM ${INDEX}_rows WHERE id = ?)`,
  invent: `INSERT INTO ${INDEX}_rows SELECT 900, ?, sequence, texts, f0, f1, f2, f3, f4
    FROM ${INDEX}_rows LIMIT 1`,
};

describeSearch("sqlite", {
  open: async (home, options) => await openSqliteSearchStore({ directory: home, ...options }),
  child: {
    module: new URL("./sqlite.ts", import.meta.url).href,
    open: "engine.openSqliteSearchStore({ directory: home })",
  },
  faults: {
    tamper: async (home, how, id) => {
      using database = new DatabaseSync(fileOf(home));
      database.prepare(TAMPER[how]).run(id);
      if (how === "invent") {
        database.prepare(`INSERT INTO ${INDEX} (rowid, t0) VALUES (900, 'words')`).run();
      }
    },
    corrupt: async (home) => {
      const file = openSync(fileOf(home), "r+");
      const { size } = statSync(fileOf(home));
      writeSync(file, new Uint8Array(size / 2).fill(0xa5), 0, size / 2, size / 4);
      closeSync(file);
    },
    whileReadOnly: async (home, work) => {
      for (const path of [home, join(home, "tenants"), dirname(fileOf(home))])
        await chmod(path, 0o777);
      await chmod(fileOf(home), 0o444);
      await withoutPrivileges(work);
    },
    whileLocked: async (home, work) => {
      using other = new DatabaseSync(fileOf(home));
      other.exec("BEGIN IMMEDIATE");
      await work();
      other.exec("ROLLBACK");
    },
  },
});
