import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { withoutPrivileges } from "../testing/without-privileges.ts";
import { describeRelational } from "./conformance.ts";
import { openSqliteRelational } from "./sqlite.ts";

const fileOf = (home: string): string => join(home, "tenants", "tenant-a", "relational.sqlite");

const TABLE = "redteam__attempt__g1";
const TAMPER = {
  alter: `UPDATE ${TABLE} SET harm = harm + 1 WHERE _id = ?`,
  lose: `DELETE FROM ${TABLE} WHERE _id = ?`,
  invent: `INSERT INTO ${TABLE} (_id, _sequence) VALUES (?, 1)`,
};

describeRelational("sqlite", {
  open: async (home, options) => await openSqliteRelational({ directory: home, ...options }),
  child: {
    module: new URL("./sqlite.ts", import.meta.url).href,
    open: "engine.openSqliteRelational({ directory: home })",
  },
  faults: {
    tamper: async (home, how, id) => {
      using database = new DatabaseSync(fileOf(home));
      database.prepare(TAMPER[how]).run(id);
    },
    corrupt: async (home) => {
      const { size } = statSync(fileOf(home));
      const file = openSync(fileOf(home), "r+");
      writeSync(file, new Uint8Array(size / 2).fill(0xa5), 0, size / 2, size / 4);
      closeSync(file);
    },
    whileReadOnly: async (home, work) => {
      const directories = [home, join(home, "tenants"), dirname(fileOf(home))];
      for (const path of directories) await chmod(path, 0o777);
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
