import { randomBytes } from "node:crypto";

import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { runUntilKilled } from "../testing/killed-child.ts";
import { TestDatabase } from "../testing/postgresql-database.ts";
import { scopeFor } from "../testing/scope.ts";
import { openTamperingProxy } from "../testing/tampering-proxy.ts";
import { commitAfter, commitEntries, hashOf, TENANT_A } from "./conformance-journal-fixture.ts";
import type { JournalFixture } from "./conformance-journal-fixture.ts";
import { describeJournal } from "./conformance-journal.ts";
import type { JournalStore } from "./journal.ts";
import { JOURNAL_TABLES } from "./postgresql-journal-schema.ts";
import { openPostgresqlJournal } from "./postgresql-journal.ts";

const MODULE = new URL("./postgresql-journal.ts", import.meta.url).href;
const FIXTURE_MODULE = new URL("./conformance-journal-fixture.ts", import.meta.url).href;
const open = (url: string) => openPostgresqlJournal({ url, clock: Date.now });

describeOnServer("postgresql", (url) => {
  // A database of this file's own, so that it can be made read-only without disturbing others.
  const database = new TestDatabase(url);
  beforeAll(() => database.create());
  afterAll(() => database[Symbol.asyncDispose]());

  let schemas = 0;
  /** Fixtures of a schema follow one another: its tables are emptied, as making them takes longer than a test. */
  const openFixture = async (
    schema: string,
    options: Readonly<Record<string, string>>,
  ): Promise<JournalFixture> => {
    const journal = `${schema}_journal`;
    let isWhole = true;
    const urlOf = (timeout: string) => database.url({ schema, timeout, ...options });
    const openStore = () => open(urlOf("2000"));
    let store: JournalStore | undefined = await openStore();
    const close = async (): Promise<void> => {
      await store?.[Symbol.asyncDispose]();
      store = undefined;
    };
    return {
      store,
      async reopen() {
        await close();
        return (store = await openStore());
      },
      childStore: `(await import("${MODULE}")).openPostgresqlJournal({ url: ${JSON.stringify(urlOf("30000"))}, clock: Date.now })`,
      faults: {
        corrupt: async () => {
          isWhole = false;
          await database.run(`DROP TABLE ${journal}.record_id`);
        },
        async readOnly(work) {
          await close();
          const setting = `ALTER DATABASE ${database.name} SET default_transaction_read_only =`;
          await database.run(`${setting} on`);
          try {
            await work();
          } finally {
            await database.run(`SET transaction_read_only = off; ${setting} off`);
            await close();
          }
        },
        async lock(work) {
          const other = await database.client();
          const tables = `${journal}.head, ${journal}.state`;
          await other.query(`BEGIN; LOCK TABLE ${tables} IN EXCLUSIVE MODE`);
          await work();
          await other.end();
        },
      },
      async [Symbol.asyncDispose]() {
        await close();
        const empty = isWhole
          ? JOURNAL_TABLES.toReversed().map((name) => `DELETE FROM ${journal}.${name}`)
          : [`DROP SCHEMA ${journal} CASCADE`];
        const packs = `DROP SCHEMA IF EXISTS ${journal}_identity, ${journal}_lab CASCADE`;
        const [made] = await database.run("SELECT to_regnamespace($1) AS made", [journal]);
        if (made?.["made"] !== null) await database.run([...empty, packs].join("; "));
      },
    };
  };

  describeJournal("postgresql", () => openFixture("plain", {}));
  describeJournal("postgresql, bound by row-level security", () =>
    openFixture("bound", { role: database.role }),
  );

  describe("journal: postgresql only", () => {
    let schema: string;
    let store: JournalStore;
    beforeEach(async () => {
      schema = `j${++schemas}`;
      store = await open(database.url({ schema, role: database.role }));
    });
    afterEach(() => store[Symbol.asyncDispose]());

    const MAILS = {
      table: "identity__user",
      columns: [{ name: "mail", type: "text" }],
      unique: [["mail"]],
    };
    const fill = async (tenant: string): Promise<void> => {
      const scope = scopeFor(tenant);
      const location = { kind: "segment" as const, segmentId: `of ${tenant}`, firstLine: 0 };
      await store.putIntent(scope, { segmentId: `of ${tenant}`, blobKey: "k", expiresAt: 9 });
      await store.putIntent(scope, { segmentId: `left ${tenant}`, blobKey: "k", expiresAt: 9 });
      await store.putState(scope, "name", tenant);
      const row = {
        role: "r",
        collection: "c",
        type: "t",
        id: tenant,
        sequence: 1,
        since: 1,
        reason: "",
        at: 1,
      };
      await store.putQuarantine(scope, [row]);
      await commitEntries(store, [{ ids: [tenant], lines: Uint8Array.of(1) }, { location }], {
        scope,
        segments: [
          {
            segmentId: `of ${tenant}`,
            blobKey: "k",
            bytes: 1,
            lines: 1,
            hash: Uint8Array.of(1),
            period: "",
          },
        ],
        intents: [`of ${tenant}`],
        receipt: { kind: "import", key: tenant, receipt: "{}" },
        tables: [{ ...MAILS, rows: [{ id: tenant, sequence: 1, values: [`${tenant}@x`] }] }],
      });
    };

    test("a query that forgets its WHERE sees and changes one tenant only, in every table", async () => {
      await fill("tenant-a");
      await fill("tenant-b");
      const tables = await database.run(
        `SELECT format('%I.%I', c.relnamespace::regnamespace, c.relname) AS name FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('tenant_no', '_tenant_no')
         WHERE c.relkind = 'r' AND starts_with(c.relnamespace::regnamespace::text, $1) ORDER BY 1`,
        [`${schema}_journal`],
      );
      expect(tables).toHaveLength(14);
      const client = await database.client();
      await client.query(`SET ROLE ${database.role}`);
      for (const { name } of tables) {
        const table = String(name);
        const count = async (space: string): Promise<unknown> => {
          await client.query("SELECT set_config('custody.space', $1, false)", [space]);
          const { rows } = await client.query<{ n: string }>(`SELECT count(*) AS n FROM ${table}`);
          return rows[0]?.n;
        };
        const [none, first, second] = [
          await count(""),
          await count("tenant-a"),
          await count("tenant-b"),
        ];
        expect({ table, none, first }).toEqual({ table, none: "0", first: second });
        expect(Number(first)).toBeGreaterThan(0);
        await client.query("BEGIN");
        const { rowCount } = await client
          .query(`DELETE FROM ${table}`)
          .catch(() => ({ rowCount: null }));
        await client.query("ROLLBACK");
        expect({ table, rowCount: rowCount ?? Number(second) }).toEqual({
          table,
          rowCount: Number(second),
        });
      }
      const steal = client.query(
        `INSERT INTO ${schema}_journal.state SELECT tenant_no, 'stolen', '' FROM
         (VALUES (1), (2)) AS t (tenant_no)`,
      );
      await expect(steal).rejects.toMatchObject({ code: "42501" });
      await client.end();
    });

    test("the table of a transactional type has its own name in its pack's schema", async () => {
      await fill("tenant-a");
      expect(await database.run(`SELECT _id, mail FROM ${schema}_journal_identity."user"`)).toEqual(
        [{ _id: "tenant-a", mail: "tenant-a@x" }],
      );
    });

    test("writers in several processes leave no gap, though one of them is killed", async () => {
      const source = `const { commitEntries } = await import(${JSON.stringify(FIXTURE_MODULE)});
        const { openPostgresqlJournal } = await import("${MODULE}");
        const url = ${JSON.stringify(database.url({ schema }))};
        const store = await openPostgresqlJournal({ url, clock: Date.now });
        for (let n = 0; ; n++) {
          const { sequence } = await commitEntries(store, [{ ids: [process.pid + "-" + n] }]);
          process.stdout.write(sequence + "\\n");
        }`;
      let isOver = false;
      const own: number[] = [];
      const writing = (async () => {
        while (!isOver) {
          const ids = [`own-${own.length}`];
          own.push((await commitEntries(store, [{ ids }])).sequence);
        }
      })();
      const printed = await Promise.all([runUntilKilled(source, 25), runUntilKilled(source, 40)]);
      isOver = true;
      await writing;
      const sequences = (await store.entries(TENANT_A, { after: 0, limit: 100_000 })).map(
        ({ sequence }) => sequence,
      );
      expect(sequences).toEqual(Array.from({ length: sequences.length }, (_, at) => at + 1));
      const told = [...own, ...printed.flat().map(Number)];
      expect(new Set(told).size).toBe(told.length);
      expect(sequences).toEqual(expect.arrayContaining(told));
      // A commit of each killed process may have been done without its answer.
      expect(sequences.length - told.length).toBeLessThanOrEqual(2);
    }, 30_000);

    test("a commit whose answer is lost is found to be done", async () => {
      const { hostname: host, port } = new URL(url);
      let isCut = false;
      await using proxy = await openTamperingProxy(
        { host, port: Number(port) },
        {
          down: (bytes) => {
            const isCommitted = !isCut && bytes.includes("COMMIT\0");
            isCut ||= isCommitted;
            return isCommitted ? "cut" : bytes;
          },
        },
      );
      const through = new URL(database.url({ schema: `${schema}b` }));
      through.host = `127.0.0.1:${proxy.port}`;
      isCut = true;
      await using cut = await open(through.href);
      await commitEntries(cut, [{ ids: ["before"] }]);
      isCut = false;
      const head = await commitEntries(cut, [{ ids: ["a"] }]);
      expect([isCut, head.sequence]).toEqual([true, 2]);
      expect(await cut.lookup(TENANT_A, "lab/sample", ["a"])).toMatchObject([{ sequence: 2 }]);
    });

    test("a commit after a statement that failed in its transaction is not told to be done", async () => {
      const transaction = await store.begin({ ...TENANT_A, deadline: Date.now() + 400 });
      await transaction.append(commitAfter(transaction.head, [{ ids: ["a"] }]));
      const holder = await database.client();
      await holder.query(`BEGIN; LOCK TABLE ${schema}_journal.receipt`);
      await expect(transaction.receipt("import", "k")).rejects.toMatchObject({
        code: "unavailable",
      });
      await holder.end();
      await expect(transaction.commit()).rejects.toMatchObject({ code: "unavailable" });
      expect(await store.head(TENANT_A)).toBeUndefined();
      expect((await commitEntries(store, [{ ids: ["b"] }])).sequence).toBe(1);
    });

    test("a writer that stops in its transaction loses the lock, and cannot commit later", async () => {
      await using stopped = await open(database.url({ schema, timeout: "300" }));
      const transaction = await stopped.begin(TENANT_A);
      const commit = commitAfter(transaction.head, [{ ids: ["a"], hash: hashOf("a") }]);
      await transaction.append({ ...commit, head: { ...commit.head, lastEntryHash: hashOf("a") } });
      expect((await commitEntries(store, [{ ids: ["b"] }])).sequence).toBe(1);
      await expect(transaction.commit()).rejects.toMatchObject({ code: "unavailable" });
      expect(await store.lookup(TENANT_A, "lab/sample", ["a"])).toEqual([undefined]);
    });

    test("a role that is named later may use what was made before", async () => {
      const later = `${schema}l`;
      const users = [{ ...MAILS, rows: [{ id: "u", sequence: 1, values: ["m@x"] }] }];
      await using owner = await open(database.url({ schema: later }));
      await commitEntries(owner, [{ ids: ["a"] }], { tables: users });
      await using bound = await open(database.url({ schema: later, role: database.role }));
      expect((await commitEntries(bound, [{ ids: ["b"] }], { tables: users })).sequence).toBe(2);
    });

    test("more tenants commit at once than there are connections", async () => {
      await using small = await open(database.url({ schema, pool: "3" }));
      const heads = await Promise.all(
        Array.from({ length: 30 }, (_, n) =>
          commitEntries(small, [{ type: `lab/t${n}`, ids: ["a"] }], { scope: scopeFor(`t${n}`) }),
        ),
      );
      expect(heads.every(({ sequence }) => sequence === 1)).toBe(true);
    });

    test("a table that two tenants declare at once is made once", async () => {
      const declare = (tenant: string) =>
        commitEntries(store, [{ ids: ["u"] }], {
          scope: scopeFor(tenant),
          tables: [{ ...MAILS, rows: [{ id: "u", sequence: 1, values: ["m@x"] }] }],
        });
      await Promise.all(["t1", "t2", "t3", "t4"].map(declare));
      const rows = await store.tableRows(scopeFor("t3"), "identity__user", { limit: 9 });
      expect(rows).toEqual([{ id: "u", sequence: 1, columns: '{"mail":"m@x"}' }]);
    });
  });

  // A standby of the same server, in streaming replication.
  const standby = process.env["CUSTODY_TEST_REPLICA_URL"] ?? "";
  describe.skipIf(standby === "")("with a replica", () => {
    const schema = serverName(`replica ${randomBytes(8).toString("hex")}`);
    const urlOf = (replica: string) => {
      const primary = new URL(url);
      primary.searchParams.set("schema", schema);
      primary.searchParams.set("replica", replica);
      return primary.href;
    };
    afterAll(async () => {
      const client = new pg.Client(url);
      await client.connect();
      await client.query(`DROP SCHEMA IF EXISTS ${schema}_journal, ${schema}_new_journal CASCADE`);
      await client.end();
    });

    test("what was written is read at once, whichever of the two answers", async () => {
      await using store = await open(urlOf(standby));
      for (let sequence = 1; sequence <= 30; sequence++) {
        await commitEntries(store, [{ ids: [`a${sequence}`] }]);
        expect((await store.entry(TENANT_A, sequence))?.sequence).toBe(sequence);
      }
      // Once the standby has caught up, it answers: what changes behind its back is not seen.
      const [replica, primary] = [new pg.Client(standby), new pg.Client(url)];
      await Promise.all([replica.connect(), primary.connect()]);
      const { rows } = await primary.query<{ lsn: string }>(
        "SELECT pg_current_wal_insert_lsn()::text AS lsn",
      );
      const caughtUp = "SELECT pg_last_wal_replay_lsn() >= $1 AS reached";
      const reached = async () =>
        (await replica.query<{ reached: boolean }>(caughtUp, [rows[0]?.lsn])).rows[0]?.reached;
      await expect.poll(reached, { timeout: 5_000 }).toBe(true);
      await replica.query("SELECT pg_wal_replay_pause()");
      try {
        await primary.query(`UPDATE ${schema}_journal.entry SET commit_id = 'changed'`);
        expect((await store.entry(TENANT_A, 1))?.commit).toBe("commit-1");
      } finally {
        await replica.query("SELECT pg_wal_replay_resume()");
        await Promise.all([replica.end(), primary.end()]);
      }
    });

    test("what one process read of the primary, or was told of, it finds though the replica is behind", async () => {
      await using writer = await open(urlOf(standby));
      await using reader = await open(urlOf(standby));
      const { sequence: last = 0 } = (await reader.head(TENANT_A)) ?? {};
      await reader.entries(TENANT_A, { after: 0, limit: 9 });
      const replica = new pg.Client(standby);
      await replica.connect();
      await replica.query("SELECT pg_wal_replay_pause()");
      try {
        await commitEntries(writer, [{ ids: ["told"], lines: Uint8Array.of(7) }]);
        expect((await reader.entry(TENANT_A, last + 1))?.sequence).toBe(last + 1);
        expect(await reader.inlineLines(TENANT_A, last + 1)).toEqual(Uint8Array.of(7));
        await commitEntries(writer, [{ ids: ["told"] }, { ids: ["seen"] }]);
        expect((await reader.head(TENANT_A))?.sequence).toBe(last + 3);
        const listed = await reader.entries(TENANT_A, { after: last, limit: 9 });
        expect(listed.map(({ sequence }) => sequence - last)).toEqual([1, 2, 3]);
        const keys = [{ id: "told", sequence: last + 3 }];
        const [before] = await reader.lookupBefore(TENANT_A, "lab/sample", keys);
        expect(before?.sequence).toBe(last + 2);
      } finally {
        await replica.query("SELECT pg_wal_replay_resume()");
        await replica.end();
      }
    });

    test("a journal that the replica has not yet is read from the primary", async () => {
      const replica = new pg.Client(standby);
      await replica.connect();
      await replica.query("SELECT pg_wal_replay_pause()");
      try {
        const other = urlOf(standby).replace(schema, `${schema}_new`);
        await using store = await open(other);
        await commitEntries(store, [{ ids: ["a"] }]);
        await using again = await open(other);
        expect((await again.entry(TENANT_A, 1))?.sequence).toBe(1);
      } finally {
        await replica.query("SELECT pg_wal_replay_resume()");
        await replica.end();
      }
    });

    test("reads go to the primary while the replica is down", async () => {
      await using store = await open(urlOf("postgresql://nobody@127.0.0.1:1/none"));
      await commitEntries(store, [{ ids: ["down"] }]);
      expect((await store.entries(TENANT_A, { after: 0, limit: 1 }))[0]?.sequence).toBe(1);
    });
  });
});

describeOnServer("pgbouncer", (url) => {
  const schema = serverName(`pgbouncer ${randomBytes(8).toString("hex")}`);
  const pooled = new URL(url);
  pooled.searchParams.set("schema", schema);
  afterAll(async () => {
    const client = new pg.Client(url);
    await client.connect();
    await client.query(`DROP SCHEMA IF EXISTS ${schema}_journal CASCADE`);
    await client.end();
  });

  test("commits and reads of many tenants share the pooler's few sessions and do not meet", async () => {
    await using store = await open(pooled.href);
    const tenants = Array.from({ length: 12 }, (_, n) => scopeFor(`t${n}`));
    for (let round = 1; round <= 3; round++) {
      await Promise.all(
        tenants.map(async (scope) => {
          await commitEntries(store, [{ ids: [`${scope.tenant}-${round}`] }], { scope });
          await store.putState(scope, "round", `${scope.tenant} ${round}`);
          expect(await store.state(scope, "round")).toBe(`${scope.tenant} ${round}`);
        }),
      );
    }
    for (const scope of tenants) {
      expect((await store.head(scope))?.sequence).toBe(3);
      expect(await store.count(scope, "lab/sample")).toEqual({ live: 3, total: 3 });
    }
  });
});

const networkSchema = serverName(`network ${randomBytes(8).toString("hex")}`);

describeNetworkFaults("postgresql", {
  open: (url) => open(`${url}&schema=${networkSchema}`),
  async write(store, number, scope) {
    const id = `row-${number}`;
    const transaction = await store.begin(scope);
    try {
      const [known] = await transaction.lookup("lab/sample", [id]);
      if (known === undefined)
        await transaction.append(commitAfter(transaction.head, [{ ids: [id] }]));
    } catch (cause) {
      await transaction.rollback();
      throw cause;
    }
    await transaction.commit();
  },
  count: async (store, scope) => (await store.count(scope, "lab/sample")).live,
  async clean(url) {
    const client = new pg.Client(url);
    await client.connect();
    await client.query(`DROP SCHEMA IF EXISTS ${networkSchema}_journal CASCADE`);
    await client.end();
  },
});
