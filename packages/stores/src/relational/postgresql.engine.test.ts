import { afterAll, beforeAll } from "vitest";

import { deliver } from "../testing/conformance-projection.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, serverName, testServerUrl } from "../testing/engine-server.ts";
import { TestDatabase } from "../testing/postgresql-database.ts";
import { ATTEMPT, ATTEMPT_CASE, ATTEMPTS } from "./conformance-case.ts";
import { describeRelational } from "./conformance.ts";
import { openPostgresqlRelational } from "./postgresql.ts";

const module = new URL("./postgresql.ts", import.meta.url).href;

const TAMPER = {
  alter: (table: string) => `UPDATE ${table} SET harm = harm + 1 WHERE _id = $1`,
  lose: (table: string) => `DELETE FROM ${table} WHERE _id = $1`,
  invent: (table: string) =>
    `INSERT INTO ${table} (_space, _id, _sequence) VALUES ('tenant-a', $1, 1)`,
};

for (const server of ["postgresql", "pgbouncer"] as const) {
  describeOnServer(server, (url) => {
    const database = new TestDatabase(url);
    beforeAll(() => database.create());
    afterAll(() => database[Symbol.asyncDispose]());
    // As a role that row-level security binds, which is how an installation should be. The time is short
    // for the sake of the test that waits for a lock.
    const urlOf = (home: string): string =>
      database.url({ schema: serverName(home), role: database.role, timeout: "4000" });
    const table = (home: string): string => `${serverName(home)}_redteam.attempt`;

    describeRelational(server, {
      open: async (home, options) =>
        await openPostgresqlRelational({ url: urlOf(home), ...options }),
      child: {
        module,
        open: `engine.openPostgresqlRelational({ url: ${JSON.stringify(urlOf("HOME"))}.replace(
          ${JSON.stringify(serverName("HOME"))},
          "t" + (await import("node:crypto")).hash("sha256", home).slice(0, 12)) })`,
      },
      faults: {
        tamper: async (home, how, id) => {
          await database.run(TAMPER[how](table(home)), [id]);
        },
        corrupt: async (home) => {
          await database.run(`DROP TABLE ${table(home)}`);
        },
        whileReadOnly: async (home, work) => {
          const schemas = `${serverName(home)}_relational, ${serverName(home)}_redteam`;
          await database.run(
            `REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schemas} FROM ${database.role}`,
          );
          await work();
        },
        whileLocked: async (home, work) => {
          const other = await database.client();
          await other.query("BEGIN");
          await other.query(`SELECT 1 FROM ${serverName(home)}_relational.collection FOR UPDATE`);
          await work();
          await other.end();
        },
      },
    });
  });
}

// A database of their own, made with the first opening of a store.
const network = new TestDatabase(testServerUrl("postgresql") ?? "postgresql://none");
let created: Promise<void> | undefined;

describeNetworkFaults("postgresql", {
  open: async (url) => {
    await (created ??= network.create());
    const own = new URL(url);
    own.pathname = `/${network.name}`;
    return openPostgresqlRelational({ url: own.href });
  },
  prepare: (store, scope) => store.prepare(scope, ATTEMPTS),
  write: (store, number, scope) => {
    const text = ATTEMPT_CASE.text(number, 1);
    const delivery = deliver(ATTEMPT, [{ id: `id-${number}`, sequence: number, text }]);
    return store.apply(scope, ATTEMPTS, delivery);
  },
  count: async (store, scope) => (await store.statistics(scope)).collections[0]?.records ?? 0,
  clean: () => network[Symbol.asyncDispose](),
});
