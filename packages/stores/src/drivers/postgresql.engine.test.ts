import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";

import pg from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { copyLine } from "./postgresql-session.ts";
import {
  bigintArray,
  booleanArray,
  bytesArray,
  doubleArray,
  prepared,
  sql,
  textArray,
} from "./postgresql-sql.ts";
import type { PgRow } from "./postgresql-statements.ts";
import { openPostgresql } from "./postgresql.ts";
import type { Postgresql } from "./postgresql.ts";
import { verbatim } from "./sql-fragment.ts";

const scope = scopeFor("tenant-a");
const projection = { durability: "projection" } as const;

describeOnServer("postgresql", (url) => {
  let admin: pg.Client;
  let server: Postgresql;
  let name: string;
  let withOptions: (options: string) => string;
  const open = (options: string): Promise<Postgresql> =>
    openPostgresql({ url: withOptions(options), clock: Date.now });
  beforeEach(async () => {
    name = serverName(randomBytes(8).toString("hex"));
    withOptions = (options) => `${url}?schema=${name}&${options}`;
    server = await open("timeout=5000");
    admin = new pg.Client(url);
    await admin.connect();
    await admin.query(
      `CREATE SCHEMA ${name}_own; CREATE TABLE ${name}_own.rows (n int UNIQUE, t text)`,
    );
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    await admin.query(`DROP SCHEMA IF EXISTS ${name}_own, ${name}_made CASCADE`);
    await admin.end();
  });
  const table = () => verbatim(`${name}_own.rows`);
  const numbers = async (): Promise<readonly unknown[]> => {
    const [found] = await server.ask(scope, "read", [sql`SELECT n FROM ${table()} ORDER BY n`]);
    return found?.rows.map((row) => row["n"]) ?? [];
  };

  describe("values", () => {
    test("come back as they were bound", async () => {
      const [cells, arrays] = await server.ask(scope, "read", [
        sql`SELECT ${"é😀'\\"}::text AS text, ${9_007_199_254_740_993n}::bigint AS large, ${-1}::int AS whole,
          ${0.1}::float8 AS real, ${true}::bool AS yes, ${null}::text AS nothing,
          ${Uint8Array.of(0, 255)}::bytea AS bytes`,
        sql`SELECT (${textArray(["a", null, "é"])})[3] AS text, (${bigintArray([-5n, 2])})[1] AS whole,
          (${doubleArray([1.5, null])})[1] AS real, (${booleanArray([true, false])})[2] AS no,
          (${bytesArray([Uint8Array.of(7)])})[1] AS bytes, cardinality(${textArray([])}) AS none`,
      ]);
      expect(cells?.rows).toEqual([
        {
          text: "é😀'\\",
          large: 9_007_199_254_740_993n,
          whole: -1,
          real: 0.1,
          yes: true,
          nothing: null,
          bytes: Uint8Array.of(0, 255),
        },
      ]);
      expect(arrays?.rows).toEqual([
        { text: "é", whole: -5, real: 1.5, no: false, bytes: Uint8Array.of(7), none: 0 },
      ]);
    });

    test("a prepared statement that failed is prepared again, and one whose table changed too", async () => {
      const divide = (by: number) =>
        server.ask(scope, "divide", [prepared`SELECT 6 / ${by}::int AS x`]);
      await expect(divide(0)).rejects.toMatchObject({ code: "refused" });
      expect((await divide(2))[0]?.rows).toEqual([{ x: 3 }]);
      const all = prepared`SELECT * FROM ${table()}`;
      await server.ask(scope, "read", [all]);
      await admin.query(`ALTER TABLE ${name}_own.rows ADD COLUMN more int`);
      await expect(server.ask(scope, "read", [all])).rejects.toMatchObject({
        code: "unavailable",
        retryable: true,
      });
      expect((await server.ask(scope, "read", [all]))[0]?.rows).toEqual([]);
    });

    test("rows are copied in, and a broken row or a throw in their making copies none", async () => {
      const copy = (chunks: Iterable<Uint8Array>) =>
        server.transaction(
          scope,
          "copy",
          (session) => session.copyInto({ table: table().text, columns: ["n", "t"] }, chunks),
          projection,
        );
      const lines = Array.from({ length: 50_000 }, (_, n) => Buffer.from(copyLine([n, "x\t\\"])));
      expect(await copy(lines)).toBe(50_000);
      await expect(copy([Buffer.from("x\ty\n")])).rejects.toMatchObject({ code: "refused" });
      const failing = function* (): Generator<Uint8Array> {
        yield Buffer.from(copyLine([60_000, null]));
        throw new RangeError("of the caller");
      };
      await expect(copy(failing())).rejects.toThrow(new RangeError("of the caller"));
      const [found] = await server.ask(scope, "read", [
        sql`SELECT count(*) AS n, min(t) AS t FROM ${table()}`,
      ]);
      expect(found?.rows).toEqual([{ n: 50_000, t: "x\t\\" }]);
    });
  });

  describe("transactions", () => {
    test("statements that are sent together hold together", async () => {
      const insert = (n: number) => sql`INSERT INTO ${table()} VALUES (${n}, '')`;
      await server.ask(scope, "write", [insert(1), insert(2)]);
      await expect(server.ask(scope, "write", [insert(3), insert(1)])).rejects.toMatchObject({
        code: "conflict",
      });
      expect(await numbers()).toEqual([1, 2]);
    });

    test("a throw takes the transaction back, and the connection serves the next call", async () => {
      const work = server.transaction(
        scope,
        "write",
        async (session) => {
          await session.run(sql`INSERT INTO ${table()} VALUES (1, '')`);
          throw new Error("of the caller");
        },
        projection,
      );
      await expect(work).rejects.toThrow("of the caller");
      expect(await numbers()).toEqual([]);
    });

    test("a transaction whose statement failed unheard is not told to be committed", async () => {
      const work = server.transaction(
        scope,
        "write",
        async (session) => {
          await session.run(sql`INSERT INTO ${table()} VALUES (1, '')`);
          await session.run(sql`SELECT 1 / 0`).catch(() => undefined);
        },
        projection,
      );
      await expect(work).rejects.toMatchObject({ code: "unavailable" });
      expect(await numbers()).toEqual([]);
    });

    test("reads see one state, and write nothing", async () => {
      await server
        .read(scope, "read", async (session) => {
          await session.run(sql`SELECT count(*) FROM ${table()}`);
          await admin.query(`INSERT INTO ${name}_own.rows VALUES (1, '')`);
          expect(await session.rows(sql`SELECT count(*) AS n FROM ${table()}`)).toEqual([{ n: 0 }]);
          const write = session.run(sql`INSERT INTO ${table()} VALUES (2, '')`);
          await expect(write).rejects.toMatchObject({ code: "read-only" });
        })
        .catch(() => undefined);
      expect(await numbers()).toEqual([1]);
    });

    test("space, limits and durability hold for the transaction and are gone after it", async () => {
      const shown = sql`SELECT current_setting('custody.space', true) AS space,
        current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
        current_setting('idle_in_transaction_session_timeout') AS idle,
        current_setting('synchronous_commit') AS durable`;
      const [inside] = await server.ask(scope, "read", [shown], "projection");
      expect(inside?.rows).toEqual([
        { space: "tenant-a", statement: "4750ms", lock: "4750ms", idle: "5s", durable: "off" },
      ]);
      const journal = await server.ask(scope, "read", [shown], "journal");
      expect(journal[0]?.rows[0]?.["durable"]).toBe("on");
    });
  });

  describe("limits and faults", () => {
    test("a statement that takes longer than the deadline ends in time", async () => {
      const startedAt = Date.now();
      const late = { ...scope, deadline: startedAt + 200 };
      await expect(server.ask(late, "sleep", [sql`SELECT pg_sleep(20)`])).rejects.toMatchObject({
        code: "unavailable",
        retryable: true,
      });
      expect(Date.now() - startedAt).toBeLessThan(1_500);
      expect(await numbers()).toEqual([]);
    });

    test("a call that finds every connection taken waits, and gives up at its deadline", async () => {
      await using small = await open("pool=2");
      const transaction = await small.begin(scope, "hold", projection);
      await transaction.session.run(sql`SELECT 1`);
      const late = { ...scope, deadline: Date.now() + 100 };
      await expect(small.begin(late, "wait", projection)).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("no connection for transactions"),
      });
      // What a transaction waits for finds a connection.
      expect(await small.ask(scope, "read", [sql`SELECT 1 AS one`])).toMatchObject([
        { rows: [{ one: 1 }] },
      ]);
      const patient = small.begin(scope, "wait", projection);
      await transaction.rollback();
      await (await patient).rollback();
    });

    test("a killed connection is unavailable once, and the next call has another", async () => {
      const transaction = await server.begin(scope, "hold", projection);
      const [row] = await transaction.session.rows(sql`SELECT pg_backend_pid() AS process`);
      await admin.query("SELECT pg_terminate_backend($1)", [row?.["process"]]);
      await expect(transaction.session.run(sql`SELECT 1`)).rejects.toMatchObject({
        code: "unavailable",
      });
      await transaction.rollback();
      expect(await numbers()).toEqual([]);
    });

    test("the second of two hosts is used when the first is not there", async () => {
      const { host } = new URL(url);
      const both = withOptions("").replace(host, `127.0.0.1:1,${host}`);
      await using found = await openPostgresql({ url: both, clock: Date.now });
      expect(found.server).toMatch(/^postgresql:\/\/127\.0\.0\.1:1,/);
      expect(await found.health()).toMatchObject({ product: "PostgreSQL" });
    });

    test("a server that is not there is unavailable, not before it is asked", async () => {
      const gone = "postgresql://ana:s3cret@127.0.0.1:1/x";
      await using nowhere = await openPostgresql({ url: gone, clock: Date.now });
      const asked = nowhere.health();
      await expect(asked).rejects.toMatchObject({ code: "unavailable", retryable: true });
      await expect(asked).rejects.not.toMatchObject({
        message: expect.stringContaining("s3cret"),
      });
    });

    test("health tells a version, and whom row-level security does not bind", async () => {
      const { version, warnings } = await server.health();
      expect(Number.parseInt(version, 10)).toBeGreaterThanOrEqual(15);
      const { rows } = await admin.query<{ rolsuper: boolean }>(
        "SELECT rolsuper FROM pg_roles WHERE rolname = current_user",
      );
      const told = warnings.some((text) => text.startsWith("row-level security does not bind"));
      expect(told).toBe(rows[0]?.rolsuper);
    });
  });

  // The testbed's PostgreSQL speaks TLS, and knows a user by password and one by certificate.
  const authority = process.env["CUSTODY_TEST_POSTGRESQL_CA"] ?? "";
  describe.skipIf(authority === "")("over TLS", () => {
    const { port } = new URL(url);
    const ofClient = (ending: string): string =>
      encodeURIComponent(join(dirname(authority), `client.${ending}`));
    const ca = `ca=${encodeURIComponent(authority)}`;
    const connect = async (address: string): Promise<readonly PgRow[]> => {
      await using secure = await openPostgresql({ url: address, clock: Date.now });
      const [found] = await secure.ask(scope, "read", [
        sql`SELECT current_user AS user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`,
      ]);
      return found?.rows ?? [];
    };

    test.each(["", "&sslnegotiation=direct"])(
      "a password is proven by SCRAM with channel binding%s",
      async (more) => {
        const right = `postgresql://testbed_password:testbed-password@127.0.0.1:${port}/postgres`;
        expect(await connect(`${right}?tls=true&${ca}${more}`)).toEqual([
          { user: "testbed_password", ssl: true },
        ]);
        const wrong = connect(`${right.replace("testbed-password", "s3cret")}?tls=true&${ca}`);
        await expect(wrong).rejects.toMatchObject({ code: "unavailable" });
        await expect(wrong).rejects.not.toMatchObject({
          message: expect.stringContaining("s3cret"),
        });
      },
    );

    test("a client certificate is presented", async () => {
      const client = `postgresql://testbed_client@127.0.0.1:${port}/postgres?tls=true&${ca}`;
      const keys = `&cert=${ofClient("pem")}&key=${ofClient("key")}`;
      expect(await connect(client + keys)).toEqual([{ user: "testbed_client", ssl: true }]);
      await expect(connect(client)).rejects.toMatchObject({ code: "unavailable" });
    });

    test("a server that an unknown authority vouches for is not spoken to", async () => {
      const secure = `postgresql://postgres@127.0.0.1:${port}/postgres?tls=true`;
      await expect(connect(secure)).rejects.toMatchObject({ code: "unavailable" });
      expect(await connect(`${secure}&verify=false`)).toMatchObject([{ ssl: true }]);
    });
  });

  describe("migrations", () => {
    const steps = [
      (schema: string) => `CREATE TABLE ${schema}.first (n int)`,
      (schema: string) =>
        `CREATE TABLE ${schema}.second (n int); INSERT INTO ${schema}.second VALUES (2)`,
    ];

    test("ten that begin at once make the tables once", async () => {
      const servers = await Promise.all(Array.from({ length: 10 }, () => open("pool=2")));
      await Promise.all(servers.map((one) => one.migrate(scope, { component: "made", steps })));
      const { rows } = await admin.query(`SELECT n FROM ${name}_made.second`);
      expect(rows).toEqual([{ n: 2 }]);
      for (const one of servers) await one[Symbol.asyncDispose]();
    });

    test("later steps are added, a newer schema is refused, and a failing step leaves nothing", async () => {
      await server.migrate(scope, { component: "made", steps: steps.slice(0, 1) });
      await using next = await open("");
      const failing = [...steps, () => "SELECT 1 / 0"];
      await expect(
        next.migrate(scope, { component: "made", steps: failing }),
      ).rejects.toMatchObject({
        code: "refused",
      });
      await next.migrate(scope, { component: "made", steps });
      await using older = await open("");
      await expect(
        older.migrate(scope, { component: "made", steps: steps.slice(0, 1) }),
      ).rejects.toMatchObject({ code: "unsupported" });
    });
  });
});
