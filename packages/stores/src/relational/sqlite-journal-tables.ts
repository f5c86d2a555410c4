import { canonicalJson } from "@custody/contract/json";

import { StoreError } from "../errors.ts";
import type { JournalConnection } from "./sqlite-journal-connection.ts";
import type { TableWrite } from "./journal.ts";

// What core writes for each column type; the others may hold anything.
const SQL_TYPES: ReadonlyMap<string, string> = new Map([
  ["text", "TEXT"],
  ["json", "TEXT"],
  ["integer", "INTEGER"],
  ["boolean", "INTEGER"],
  ["real", "REAL"],
]);

/**
 * Writes rows of a transactional type's table, making or widening the table first.
 *
 * @throws StoreError `conflict` naming the table and the columns of a violated constraint.
 */
export function writeTable(
  connection: JournalConnection,
  tenantNo: number,
  write: TableWrite,
): void {
  try {
    declareTable(connection, write);
    writeRows(connection, tenantNo, write);
  } catch (cause) {
    throw constraintError(write, cause);
  }
}

function writeRows(connection: JournalConnection, tenantNo: number, write: TableWrite): void {
  const table = quoted(physicalName(write.table));
  const removed = write.rows.filter(({ values }) => values === undefined);
  const remove = connection.statement(`DELETE FROM ${table} WHERE _tenant_no = ? AND _id = ?`);
  // Before the others, so that what a removed row held is free.
  for (const { id } of removed) remove.run(tenantNo, id);
  const names = write.columns.map(({ name }) => quoted(name));
  const upsert = connection.statement(
    `INSERT INTO ${table} (_tenant_no, _id, _sequence${names.map((name) => `, ${name}`).join("")})
     VALUES (?, ?, ?${", ?".repeat(names.length)}) ON CONFLICT (_tenant_no, _id) DO UPDATE SET
     _sequence = excluded._sequence${names.map((name) => `, ${name} = excluded.${name}`).join("")}`,
  );
  for (const { id, sequence, values } of write.rows) {
    if (values === undefined) continue;
    upsert.run(tenantNo, id, sequence, ...values);
  }
}

/** A table's rows by id, as JSON objects of their columns. */
export function readTable(
  connection: JournalConnection,
  tenantNo: number,
  range: { readonly table: string; readonly after?: string; readonly limit: number },
): readonly { readonly id: string; readonly sequence: number; readonly columns: string }[] {
  const declared = connection
    .statement("SELECT columns FROM declared_table WHERE name = ?")
    .get(range.table);
  if (declared === undefined) return [];
  const names = columnsOf(String(declared["columns"])).map(({ name }) => name);
  const select = connection.statement(
    `SELECT * FROM ${quoted(physicalName(range.table))}
     WHERE _tenant_no = ? AND _id > ? ORDER BY _id LIMIT ?`,
  );
  select.setReadBigInts(true);
  return select.all(tenantNo, range.after ?? "", range.limit).map((row) => ({
    id: String(row["_id"]),
    sequence: Number(row["_sequence"]),
    columns: canonicalJson(Object.fromEntries(names.map((name) => [name, row[name] ?? null]))),
  }));
}

function declareTable(connection: JournalConnection, { table, columns, unique }: TableWrite): void {
  const declared = connection
    .statement("SELECT columns, is_unique FROM declared_table WHERE name = ?")
    .get(table);
  const columnsText = JSON.stringify(columns.map(({ name, type }) => ({ name, type })));
  const uniqueText = JSON.stringify(unique);
  if (declared?.["columns"] === columnsText && declared["is_unique"] === uniqueText) return;
  const { database } = connection;
  const name = quoted(physicalName(table));
  const has = new Set(
    declared === undefined ? [] : columnsOf(String(declared["columns"])).map((one) => one.name),
  );
  if (declared === undefined) {
    database.exec(`CREATE TABLE ${name} (_tenant_no INTEGER NOT NULL, _id TEXT NOT NULL,
      _sequence INTEGER NOT NULL, PRIMARY KEY (_tenant_no, _id)) STRICT`);
  }
  for (const column of columns) {
    if (has.has(column.name)) continue;
    const type = SQL_TYPES.get(column.type) ?? "ANY";
    database.exec(`ALTER TABLE ${name} ADD COLUMN ${quoted(column.name)} ${type}`);
  }
  declareConstraints(connection, table, unique);
  connection
    .statement("INSERT OR REPLACE INTO declared_table VALUES (?, ?, ?)")
    .run(table, columnsText, uniqueText);
}

function declareConstraints(
  connection: JournalConnection,
  table: string,
  unique: TableWrite["unique"],
): void {
  const { database, statement } = connection;
  const physical = physicalName(table);
  const wanted = new Map(unique.map((set) => [`${physical}#${JSON.stringify(set)}`, set]));
  const existing = statement(
    "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
  ).all(physical);
  for (const row of existing) {
    const name = String(row["name"]);
    if (!wanted.delete(name)) database.exec(`DROP INDEX ${quoted(name)}`);
  }
  for (const [name, set] of wanted) {
    const list = ["_tenant_no", ...set].map(quoted).join(", ");
    database.exec(`CREATE UNIQUE INDEX ${quoted(name)} ON ${quoted(physical)} (${list})`);
  }
}

/** SQLite names the columns of a violated constraint in its message only. */
function constraintError({ table, unique }: TableWrite, cause: unknown): unknown {
  if (!(cause instanceof Error)) return cause;
  const physical = physicalName(table);
  const violated = unique.find((set) => {
    const columns = ["_tenant_no", ...set].map((column) => `${physical}.${column}`).join(", ");
    return cause.message.endsWith(`UNIQUE constraint failed: ${columns}`);
  });
  if (violated === undefined) return cause;
  const message = `${table}: another row has the same ${violated.join(", ")}`;
  return new StoreError("conflict", message, { cause });
}

function columnsOf(text: string): readonly { readonly name: string }[] {
  const columns: unknown = JSON.parse(text);
  return Array.isArray(columns) ? (columns as readonly { readonly name: string }[]) : [];
}

// Kept apart from the journal's own tables.
function physicalName(table: string): string {
  return `t_${table}`;
}

function quoted(name: string): string {
  if (name.includes("\0")) throw new StoreError("refused", "a name cannot hold NUL");
  return `"${name.replaceAll('"', '""')}"`;
}
