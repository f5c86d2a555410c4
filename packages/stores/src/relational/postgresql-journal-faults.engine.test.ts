import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { describeOnServer } from "../testing/engine-server.ts";
import { TestDatabase } from "../testing/postgresql-database.ts";
import { scopeFor } from "../testing/scope.ts";
import { commitAfter, commitEntries, TENANT_A } from "./conformance-journal-fixture.ts";
import { openPostgresqlJournal } from "./postgresql-journal.ts";

const open = (url: string) => openPostgresqlJournal({ url, clock: Date.now });
const UNAVAILABLE = { name: "StoreError", code: "unavailable", retryable: true };

describeOnServer("postgresql", (url) => {
  const database = new TestDatabase(url);
  beforeAll(() => database.create());
  afterAll(() => database[Symbol.asyncDispose]());

  let schemas = 0;
  let schema: string;
  beforeEach(() => {
    schema = `f${++schemas}`;
  });

  describe("journal on postgresql: a group of commits", () => {
    test("what one of them wrote is not taken back by a look-up of another that fails", async () => {
      await using store = await open(database.url({ schema, timeout: "500" }));
      await commitEntries(store, [{ ids: ["before"] }]);
      const transaction = await store.begin(TENANT_A);
      const first = commitAfter(transaction.head, [{ ids: ["a"] }]);
      await transaction.append(first);
      const holder = await database.client();
      await holder.query(`BEGIN; LOCK TABLE ${schema}_journal.receipt`);
      await expect(transaction.receipt("import", "k")).rejects.toMatchObject(UNAVAILABLE);
      await holder.end();
      const second = commitAfter(first.head, [{ ids: ["b"] }]);
      await expect(transaction.append(second)).rejects.toMatchObject(UNAVAILABLE);
      await expect(transaction.append(second)).rejects.toMatchObject(UNAVAILABLE);
      await expect(transaction.commit()).rejects.toMatchObject(UNAVAILABLE);
      expect((await store.head(TENANT_A))?.sequence).toBe(1);
      expect(await store.entries(TENANT_A, { after: 0, limit: 9 })).toHaveLength(1);
    });

    test("one that fails leaves the others the lock of the head", async () => {
      await using store = await open(database.url({ schema }));
      await using other = await open(database.url({ schema }));
      await commitEntries(store, [{ ids: ["before"] }]);
      const transaction = await store.begin(TENANT_A);
      const failing = commitAfter(transaction.head, [{ ids: ["a", "a"] }]);
      await expect(transaction.append(failing)).rejects.toMatchObject({ code: "conflict" });
      const late = { ...TENANT_A, deadline: Date.now() + 300 };
      await expect(other.begin(late)).rejects.toMatchObject(UNAVAILABLE);
      await transaction.append(commitAfter(transaction.head, [{ ids: ["b"] }]));
      await transaction.commit();
      expect((await commitEntries(other, [{ ids: ["c"] }])).sequence).toBe(3);
    });
  });

  describe("journal on postgresql: a server that is not what it was", () => {
    test("a commit is refused where the tenant's head is gone", async () => {
      await using store = await open(database.url({ schema }));
      await commitEntries(store, [{ ids: ["a"] }]);
      await database.run(`DELETE FROM ${schema}_journal.head`);
      await expect(commitEntries(store, [{ ids: ["b"] }])).rejects.toMatchObject({
        name: "StoreError",
      });
      expect(await database.run(`SELECT count(*)::int AS n FROM ${schema}_journal.entry`)).toEqual([
        { n: 1 },
      ]);
    });

    test("numbers that another server has given to others are not trusted", async () => {
      // As after a failover that lost the last transactions, or a restored backup.
      await using store = await open(database.url({ schema }));
      const tenants = ["tenant-a", "tenant-b"].map((name) => scopeFor(name));
      for (const scope of tenants) await commitEntries(store, [{ ids: [scope.tenant] }], { scope });
      await database.run(`UPDATE ${schema}_journal.tenant SET name = 'swapped' WHERE name = 'tenant-a';
        UPDATE ${schema}_journal.tenant SET name = 'tenant-a' WHERE name = 'tenant-b';
        UPDATE ${schema}_journal.tenant SET name = 'tenant-b' WHERE name = 'swapped';
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()`);
      const idsOf = async (tenant: string) => {
        const ask = () => store.lookup(scopeFor(tenant), "lab/sample", ["tenant-a", "tenant-b"]);
        return (await ask().catch(ask)).map((at) => at?.sequence);
      };
      expect(await idsOf("tenant-a")).toEqual([undefined, 1]);
      expect(await idsOf("tenant-b")).toEqual([1, undefined]);
    });

    test("a default of repeatable reads changes nothing", async () => {
      await database.run(
        `ALTER DATABASE ${database.name} SET default_transaction_isolation = 'repeatable read'`,
      );
      try {
        await using one = await open(database.url({ schema, timeout: "10000" }));
        await using two = await open(database.url({ schema, timeout: "10000" }));
        const heads = await Promise.all(
          Array.from({ length: 12 }, (_, n) =>
            commitEntries(n % 2 === 0 ? one : two, [{ ids: [`${n}`] }]),
          ),
        );
        const sequences = heads.map(({ sequence }) => sequence).toSorted((a, b) => a - b);
        expect(sequences).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      } finally {
        await database.run(`ALTER DATABASE ${database.name} RESET default_transaction_isolation`);
      }
    });
  });
});
