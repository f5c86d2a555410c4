import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { describe, expect, test } from "vitest";

import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { withoutPrivileges } from "../testing/without-privileges.ts";
import { commitEntries, TENANT_A } from "./conformance-journal-fixture.ts";
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

  test("a journal of the first layout is brought to the present one, and what it notes is kept", async () => {
    await using fixture = await openFixture();
    await commitEntries(fixture.store, [{}]);
    const older = new DatabaseSync(fixture.path);
    older.exec(
      "ALTER TABLE quarantine DROP COLUMN since; ALTER TABLE quarantine DROP COLUMN passed_by; PRAGMA user_version=0",
    );
    const tenant = older.prepare("SELECT tenant_no AS no FROM tenant").get();
    older
      .prepare("INSERT INTO quarantine VALUES (?, 'search', 'c', 't', 'a', 7, 'refused', 1)")
      .run(Number(tenant?.["no"]));
    older.close();
    await using again = await openSqliteJournal({ path: fixture.path, clock: Date.now });
    expect(await again.quarantine(TENANT_A, { limit: 10 })).toMatchObject([
      { id: "a", sequence: 7, since: 7, reason: "refused" },
    ]);
    expect((await again.head(TENANT_A))?.sequence).toBe(1);
  });

  test("a journal of a later layout is refused by its number, and left as it is", async () => {
    await using directory = await makeTemporaryDirectory();
    const path = join(directory.path, "journal.sqlite");
    await (await openSqliteJournal({ path, clock: Date.now }))[Symbol.asyncDispose]();
    const later = new DatabaseSync(path);
    later.exec("PRAGMA user_version=2");
    await expect(openSqliteJournal({ path, clock: Date.now })).rejects.toMatchObject({
      name: "StoreError",
      code: "unsupported",
      message:
        "the journal has layout 2, and this version knows layouts up to 1: use the version that made it, or a later one",
    });
    expect(later.prepare("PRAGMA user_version").get()).toEqual({ user_version: 2 });
    later.close();
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
