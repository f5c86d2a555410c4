import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { DuckDBInstance } from "@duckdb/node-api";

import { SCOPE, TYPE } from "./custody-scope.ts";

/**
 * Changes 17 rows of the embedded stores of a closed installation behind its back, by the engines' own
 * statements: of documents 5, of texts 4, of columns 4, of the series 3, of summaries 1.
 */
export async function hideChanges(dataDirectory: string): Promise<void> {
  const directory = join(dataDirectory, "tenants", SCOPE.tenant);
  const documents = `"${TYPE}#1"`;
  const texts = `${TYPE.replace("/", "__")}__g1_rows`;
  changeSqlite(join(directory, "document.sqlite"), [
    [`UPDATE ${documents} SET body = jsonb_set(body, '$.tokens', 7) WHERE number = 11`, 1],
    [`UPDATE ${documents} SET body = jsonb_set(body, '$.model', 'x') WHERE number = 1217`, 1],
    [`UPDATE ${documents} SET sequence = sequence + 1 WHERE number = 2301`, 1],
    [`DELETE FROM ${documents} WHERE number IN (5003, 9001)`, 2],
  ]);
  changeSqlite(join(directory, "search.sqlite"), [
    [`UPDATE ${texts} SET texts = replace(texts, 'e3b0', 'e3b1') WHERE n = 501`, 1],
    [`UPDATE ${texts} SET f0 = 'x' WHERE n IN (502, 7001, 9002)`, 3],
  ]);
  changeSqlite(join(directory, "relational.sqlite"), [
    [`UPDATE redteam__session_summaries__g1_groups SET records = records + 1 WHERE g = 7`, 1],
  ]);
  await changeDuckdb(join(directory, "analytics.duckdb"), [
    ["UPDATE {rows} SET tokens = tokens + 1 WHERE rowid IN (3, 4004, 8008)", 3],
    ["DELETE FROM {rows} WHERE rowid = 9009", 1],
  ]);
  await changeDuckdb(join(directory, "series.duckdb"), [
    ["UPDATE {rows} SET field_0 = 0.125 WHERE rowid IN (5, 6006)", 2],
    ["DELETE FROM {rows} WHERE rowid = 7007", 1],
  ]);
}

/** Statements, and how many rows each is to change. */
type Changes = readonly (readonly [string, number])[];

function changeSqlite(path: string, changes: Changes): void {
  const database = new DatabaseSync(path);
  try {
    for (const [sql, rows] of changes) checkChanged(sql, database.prepare(sql).run().changes, rows);
  } finally {
    database.close();
  }
}

async function changeDuckdb(path: string, changes: Changes): Promise<void> {
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  try {
    const found = await connection.runAndReadAll(
      "SELECT number FROM _custody.collections WHERE name = $1",
      [TYPE],
    );
    const rows = `_custody.rows_${String(found.getRows()[0]?.[0])}`;
    for (const [sql, count] of changes) {
      const text = sql.replace("{rows}", rows);
      const { rowsChanged } = await connection.run(text);
      checkChanged(text, rowsChanged, count);
    }
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

function checkChanged(sql: string, changed: number | bigint, wanted: number): void {
  if (Number(changed) !== wanted) throw new Error(`${sql} changed ${changed} rows, not ${wanted}`);
}
