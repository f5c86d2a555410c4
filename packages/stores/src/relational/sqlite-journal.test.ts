import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { describe, expect, test } from "vitest";

import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { withoutPrivileges } from "../testing/without-privileges.ts";
import { commitEntries } from "./conformance-journal-fixture.ts";
import type { JournalFixture } from "./conformance-journal-fixture.ts";
import { describeJournal } from "./conformance-journal.ts";
import type { JournalStore } from "./journal.ts";
import { openSqliteJournal } from "./sqlite-journal.ts";

const module = new URL("./sqlite-journal.ts", import.meta.url).href;

async function openFixture(): Promise<JournalFixture & { readonly path: string }> {
  const directory = await makeTemporaryDirectory();
  const path = join(directory.path, "data", "relational.sqlite");
  const options = { path, clock: Date.now, busyMs: 50 };
  const openStore = () => openSqliteJournal(options);
  let store: JournalStore | undefined = await openStore();
  const close = async (): Promise<void> => {
    await store?.[Symbol.asyncDispose]();
    store = undefined;
  };
  return {
    store,
    path,
    async reopen() {
      await close();
      return (store = await openStore());
    },
    childStore: `(await import("${module}")).openSqliteJournal({ path: ${JSON.stringify(path)}, clock: Date.now })`,
    faults: {
      async corrupt() {
        await close();
        await writeFile(path, Buffer.alloc(32_768, "not a database"));
      },
      async full() {
        await close();
        return (store = await openSqliteJournal({ ...options, bytesMax: 4_000_000 }));
      },
      async readOnly(work) {
        await close();
        await chmod(directory.path, 0o755);
        await chmod(path, 0o444);
        await withoutPrivileges(work);
        await close();
      },
      async lock(work) {
        const other = new DatabaseSync(path);
        other.exec("BEGIN IMMEDIATE");
        await work();
        other.close();
      },
    },
    async [Symbol.asyncDispose]() {
      await close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

describeJournal("sqlite", openFixture);

describe("journal: sqlite only", () => {
  test("a file that is some other database is refused as corrupt and left as it is", async () => {
    await using directory = await makeTemporaryDirectory();
    const path = join(directory.path, "other.sqlite");
    const other = new DatabaseSync(path);
    other.exec("CREATE TABLE kept (x)");
    other.close();
    await expect(openSqliteJournal({ path, clock: Date.now })).rejects.toMatchObject({
      name: "StoreError",
      code: "corrupt",
    });
    const again = new DatabaseSync(path);
    expect(again.prepare("SELECT name FROM sqlite_schema").all()).toEqual([{ name: "kept" }]);
    again.close();
  });

  test("commits are written with WAL and full synchronisation", async () => {
    await using fixture = await openFixture();
    await commitEntries(fixture.store, [{}]);
    const other = new DatabaseSync(fixture.path, { readOnly: true });
    expect(other.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    expect(other.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    other.close();
  });
});
