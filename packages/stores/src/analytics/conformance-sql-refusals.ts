import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { beforeAll, describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import type { SqlDialect } from "./conformance-dialect.ts";
import { tableOf, writeRows } from "./conformance-rows.ts";
import type { AnalyticsStore } from "./port.ts";

const scope = scopeFor("attacker");
const victim = scopeFor("victim");
const TABLE = tableOf("lab/own", { name: "text" });
const TARGET = join(tmpdir(), "custody-test-never-written");

/** What a tenant may try, by what it is after. */
const ATTEMPTS: Readonly<Record<string, readonly string[]>> = {
  "more than one statement, or none": [
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE lab.own",
    "",
    ";",
    "-- nothing",
    "nonsense",
    "SELECT",
    "SELECT 1 FROM",
  ],
  writing: [
    "INSERT INTO lab.own (name) VALUES ('x')",
    "UPDATE lab.own SET name = 'x'",
    "DELETE FROM lab.own",
    "TRUNCATE lab.own",
    "DROP VIEW lab.own",
    "DROP SCHEMA lab CASCADE",
    "CREATE TABLE lab.other (a INTEGER)",
    "CREATE OR REPLACE VIEW lab.own AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "ALTER TABLE lab.own ADD COLUMN x INTEGER",
    "WITH gone AS (DELETE FROM lab.own RETURNING *) SELECT * FROM gone",
    "MERGE INTO lab.own USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "SELECT * INTO lab.copy FROM lab.own",
    "CREATE SEQUENCE lab.numbers",
    "SELECT nextval('numbers')",
    "CREATE MACRO f(a) AS a",
  ],
  files: [
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT name FROM lab.own WHERE EXISTS (SELECT 1 FROM read_text('/etc/passwd'))",
    "SELECT * FROM lab.own ORDER BY (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT 1 LIMIT (SELECT length(content) FROM read_text('/etc/passwd'))",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM query_table('lab.own')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    `COPY lab.own TO '${TARGET}'`,
    `COPY (SELECT 1) TO '${TARGET}'`,
    `EXPORT DATABASE '${TARGET}'`,
    `ATTACH '${TARGET}' AS other`,
    "IMPORT DATABASE 'elsewhere'",
    "COPY lab.own FROM '/etc/passwd'",
    "DETACH _store",
    "USE memory",
  ],
  "the network": [
    "SELECT * FROM 'https://localhost/x.parquet'",
    "SELECT * FROM read_csv('https://localhost/x.csv')",
    "SELECT * FROM read_parquet('s3://bucket/x')",
    "ATTACH 'https://localhost/x.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT * FROM postgres_scan('host=localhost', 'public', 't')",
    "SELECT * FROM sqlite_scan('x.sqlite', 't')",
  ],
  "settings and secrets": [
    "SET threads = 64",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "SET VARIABLE x = 1",
    "PRAGMA database_list",
    "PRAGMA threads = 64",
    "CREATE SECRET s (TYPE s3)",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM pragma_storage_info('lab.own')",
    "CALL duckdb_settings()",
    "SELECT current_setting('secret_directory')",
    "SELECT getvariable('x')",
    "SELECT getenv('PATH')",
    "SELECT * FROM which_secret('s3://x', 's3')",
    "CALL enable_logging()",
    "SELECT * FROM duckdb_logs()",
    "SELECT write_log('x')",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "SELECT * FROM force_checkpoint()",
    "VACUUM",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT version()",
  ],
  "the engine's own tables": [
    "SELECT * FROM _custody.collections",
    "SELECT * FROM _custody.rows_1",
    "SELECT * FROM _store._custody.collections",
    'SELECT * FROM "_custody"."rows_1"',
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM system.information_schema.tables",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM duckdb_columns()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_functions()",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "DESCRIBE lab.own",
    "SUMMARIZE lab.own",
    "SELECT * FROM (SHOW TABLES)",
    "SELECT * FROM (DESCRIBE lab.own)",
    "SELECT pg_get_viewdef(1)",
    "SELECT json_serialize_plan('SELECT * FROM lab.own')",
    "SELECT stats(name) FROM lab.own",
    "SELECT * FROM seq_scan('rows_1')",
    "SELECT * FROM lab.own AT (VERSION => 1)",
    // A WITH query's name, seen where the query itself is not.
    "WITH duckdb_settings AS (SELECT * FROM duckdb_settings) SELECT * FROM duckdb_settings",
    "SELECT * FROM sqlite_master, (WITH sqlite_master AS (SELECT 1) SELECT * FROM sqlite_master) s",
    "WITH a AS (SELECT * FROM sqlite_master), sqlite_master AS (SELECT 1) SELECT * FROM a",
  ],
  "another tenant": [
    "SELECT * FROM lab.secret",
    "SELECT * FROM victim.lab.secret",
    "SELECT * FROM '../victim/analytics.duckdb'",
    "ATTACH '../victim/analytics.duckdb' AS victim",
    "SELECT * FROM read_duckdb('../victim/analytics.duckdb', table_name => 'secret')",
  ],
  "holding the engine up": [
    "SELECT sleep_ms(100000)",
    "SELECT pg_sleep(100)",
    "SELECT $1",
    "SELECT ?",
  ],
  "columns and functions that are none": ["SELECT nothing FROM lab.own", "SELECT nothing(1)"],
};

/** What a tenant's SQL can reach is its own published tables, and nothing else. */
export function describeSqlRefusals(opened: () => AnalyticsStore, dialect: SqlDialect): void {
  describe("sql is refused", () => {
    let store: AnalyticsStore;
    beforeAll(async () => {
      store = opened();
      await writeRows(store, scope, TABLE, [{ name: "mine" }]);
      await store.publish(scope, TABLE);
      const secret = tableOf("lab/secret", { name: "text" });
      await writeRows(store, victim, secret, [{ name: "hidden" }]);
      await store.publish(victim, secret);
    });
    const ask = async (statement: string) =>
      await store.sql(scope, { statement, rowsMax: 10, timeMs: 5_000 });

    for (const [aim, statements] of Object.entries({ ...ATTEMPTS, ...dialect.attempts })) {
      test.each(statements)(`for ${aim}: %s`, async (statement) => {
        await expect(ask(statement)).rejects.toMatchObject({
          name: "StoreError",
          code: "refused",
        });
      });
    }

    test("after all of this the tenant's rows are as they were, and no file was written", async () => {
      expect((await ask("SELECT name FROM lab.own")).rows).toEqual([["mine"]]);
      const { rows } = await store.list(scope, TABLE, { fromSequence: 0, toSequence: 9, limit: 9 });
      expect(rows.map(({ id }) => id)).toEqual(["row-0"]);
      expect(existsSync(TARGET)).toBe(false);
    });

    test("text with NUL, half characters or deep nesting does no harm", async () => {
      const deep = `SELECT ${"(".repeat(5_000)}1${")".repeat(5_000)}`;
      const chain = `SELECT ${"1+".repeat(20_000)}1`;
      for (const statement of ["SELECT 1\0; DROP VIEW lab.own", "SELECT 1\0", "SELECT '\ud800"]) {
        await expect(ask(statement)).rejects.toMatchObject({ code: "refused" });
      }
      for (const statement of [deep, chain]) {
        const answer = await ask(statement).catch((cause: unknown) => cause);
        expect(answer instanceof Error ? answer.name : "").not.toBe("TypeError");
      }
      expect((await ask("SELECT name FROM lab.own")).rows).toEqual([["mine"]]);
    });
  });
}
