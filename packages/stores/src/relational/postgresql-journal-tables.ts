import { canonicalJson } from "@custody/contract/json";

import { isServerError } from "../drivers/postgresql-errors.ts";
import type { PgSession } from "../drivers/postgresql-session.ts";
import {
  originalText,
  pgName,
  prepared,
  serverNameOf,
  sql,
  storedText,
  textArray,
} from "../drivers/postgresql-sql.ts";
import type { PgFragment, PgValue } from "../drivers/postgresql-sql.ts";
import type { PgCell } from "../drivers/postgresql-statements.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { StoreError } from "../errors.ts";
import type { TableWrite } from "./journal.ts";
import { textOf } from "./postgresql-journal-entries.ts";
import { JOURNAL_MIGRATION, rowSecurity } from "./postgresql-journal-schema.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";

// What core writes for each column type: booleans as 0 and 1, instants as epoch milliseconds, lists as JSON.
const SQL_TYPES: ReadonlyMap<string, string> = new Map([
  ["integer", "bigint"],
  ["boolean", "bigint"],
  ["real", "double precision"],
  ["timestamp", "double precision"],
]);

/**
 * Writes rows of a transactional type's table, making or widening the table first; inside a commit.
 *
 * @throws StoreError `conflict` naming the table and the columns of a violated constraint.
 */
export async function writeTable(
  session: PgSession,
  { database, tenantNo }: { readonly database: JournalDatabase; readonly tenantNo: number },
  write: TableWrite,
): Promise<void> {
  try {
    await declareTable(session, database, write);
    await session.runAll(rowStatements(database, tenantNo, write));
  } catch (cause) {
    throw constraintError(write, cause);
  }
}

/** A page of a table's rows, and how to read them. */
export interface TableSelect {
  readonly statement: (tenantNo: number) => PgFragment;
  readonly read: (row: Readonly<Record<string, PgCell>>) => {
    readonly id: string;
    readonly sequence: number;
    readonly columns: string;
  };
}

/** Reads what a table was declared with, as `columns` and `is_unique`. */
export function selectDeclaration({ table }: JournalDatabase, name: string): PgFragment {
  return prepared`SELECT columns, is_unique FROM ${table("declared_table")} WHERE name = ${storedText(name)}`;
}

/** Reads a table's rows by id, as JSON objects of the columns it was declared with. */
export function selectTable(
  database: JournalDatabase,
  range: {
    readonly table: string;
    readonly after?: string;
    readonly limit: number;
    /** From {@link selectDeclaration}. */
    readonly columns: PgCell | undefined;
  },
): TableSelect {
  const columns = columnsOf(range.columns);
  const names = columns.map(({ name }) => verbatim(`, ${pgName(name)}`));
  return {
    statement: (
      tenantNo,
    ) => sql`SELECT _id, _sequence ${joined(names)} FROM ${physical(database, range.table)}
      WHERE _tenant_no = ${tenantNo} AND _id > ${storedText(range.after ?? "")}
      ORDER BY _id LIMIT ${range.limit}`,
    read: (row) => ({
      id: textOf(row["_id"]),
      sequence: Number(row["_sequence"]),
      columns: canonicalJson(
        Object.fromEntries(columns.map(({ name }) => [name, valueOf(row[serverNameOf(name)])])),
      ),
    }),
  };
}

function rowStatements(
  database: JournalDatabase,
  tenantNo: number,
  write: TableWrite,
): readonly PgFragment[] {
  const table = physical(database, write.table);
  const removed = write.rows.filter(({ values }) => values === undefined);
  const names = write.columns.map(({ name }) => pgName(name));
  const listed = verbatim(names.map((name) => `, ${name}`).join(""));
  const sets = verbatim(names.map((name) => `, ${name} = excluded.${name}`).join(""));
  const statements: PgFragment[] = [];
  if (removed.length > 0) {
    // Before the others, so that what a removed row held is free.
    const ids = textArray(removed.map(({ id }) => storedText(id)));
    statements.push(
      sql`DELETE FROM ${table} WHERE _tenant_no = ${tenantNo} AND _id = ANY (${ids})`,
    );
  }
  for (const { id, sequence, values } of write.rows) {
    if (values === undefined) continue;
    const bound = values.map((value) => sql`, ${storedValue(value)}`);
    statements.push(prepared`INSERT INTO ${table} (_tenant_no, _id, _sequence ${listed})
      VALUES (${tenantNo}, ${storedText(id)}, ${sequence} ${joined(bound)})
      ON CONFLICT (_tenant_no, _id) DO UPDATE SET _sequence = excluded._sequence ${sets}`);
  }
  return statements;
}

async function declareTable(
  session: PgSession,
  database: JournalDatabase,
  write: TableWrite,
): Promise<void> {
  const { columns, unique } = write;
  const columnsText = JSON.stringify(columns.map(({ name, type }) => ({ name, type })));
  const uniqueText = JSON.stringify(unique);
  const declaration = selectDeclaration(database, write.table);
  const isDeclared = (row: Readonly<Record<string, PgCell>> | undefined): boolean =>
    row?.["columns"] === columnsText && row["is_unique"] === uniqueText;
  const [known] = await session.rows(declaration);
  if (isDeclared(known)) return;
  // One at a time, so that two processes that declare the same table do not meet.
  const lock = sql`SELECT pg_advisory_xact_lock(hashtextextended(${physical(database, write.table).text}, 0))`;
  const [, found] = await session.runAll([lock, declaration]);
  const declared = found?.rows[0];
  if (isDeclared(declared)) return;
  const made = declared === undefined ? creation(session, database, write.table) : [];
  const has = new Set(columnsOf(declared?.["columns"]).map(({ name }) => name));
  const added = columns.filter(({ name }) => !has.has(name));
  const table = physical(database, write.table);
  await session.define([
    ...made,
    ...added.map(({ name, type }) =>
      verbatim(
        `ALTER TABLE ${table.text} ADD COLUMN ${pgName(name)} ${SQL_TYPES.get(type) ?? 'text COLLATE "C"'}`,
      ),
    ),
    ...(await constraints(session, database, write)),
  ]);
  await session.run(sql`INSERT INTO ${database.table("declared_table")} (name, columns, is_unique)
    VALUES (${storedText(write.table)}, ${columnsText}, ${uniqueText})
    ON CONFLICT (name) DO UPDATE SET columns = excluded.columns, is_unique = excluded.is_unique`);
}

function creation(
  session: PgSession,
  database: JournalDatabase,
  table: string,
): readonly PgFragment[] {
  const [schema, name] = placeOf(database, table);
  const security = rowSecurity(
    pgName(database.pg.schema(JOURNAL_MIGRATION.component)),
    pgName(schema, name),
    "_tenant_no",
  );
  return [
    verbatim(`CREATE SCHEMA IF NOT EXISTS ${pgName(schema)}`),
    verbatim(`CREATE TABLE ${pgName(schema, name)} (_tenant_no int NOT NULL,
      _id text COLLATE "C" NOT NULL, _sequence bigint NOT NULL, PRIMARY KEY (_tenant_no, _id))`),
    ...security.map(verbatim),
    ...session.grantOn(schema, name),
  ];
}

/** Statements that make the table's unique indexes what they are to be. */
async function constraints(
  session: PgSession,
  database: JournalDatabase,
  { table, unique }: TableWrite,
): Promise<readonly PgFragment[]> {
  const [schema, name] = placeOf(database, table);
  const wanted = new Map(unique.map((set) => [indexName(table, set), set]));
  const existing = await session.rows(sql`SELECT c.relname::text AS name FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = to_regclass(${pgName(schema, name)}) AND NOT i.indisprimary`);
  const dropped = existing
    .map((row) => String(row["name"]))
    .filter((index) => !wanted.delete(index))
    .map((index) => verbatim(`DROP INDEX ${pgName(schema, index)}`));
  const made = [...wanted].map(([index, set]) => {
    const list = ["_tenant_no", ...set].map((column) => pgName(column)).join(", ");
    return verbatim(`CREATE UNIQUE INDEX ${pgName(index)} ON ${pgName(schema, name)} (${list})`);
  });
  return [...dropped, ...made];
}

function constraintError({ table, unique }: TableWrite, cause: unknown): unknown {
  if (!(cause instanceof StoreError) || !isServerError(cause.cause)) return cause;
  const { code, constraint } = cause.cause;
  const violated = unique.find((set) => indexName(table, set) === constraint);
  if (code !== "23505" || violated === undefined) return cause;
  const message = `${table}: another row has the same ${violated.join(", ")}`;
  return new StoreError("conflict", message, { cause: cause.cause });
}

/** The index that keeps a set of columns unique, as the server keeps its name. */
function indexName(table: string, set: readonly string[]): string {
  return serverNameOf(`${table}#${JSON.stringify(set)}`);
}

/** `pack__table` lies in the pack's own schema, under the name it has in the document. */
function placeOf({ pg }: JournalDatabase, table: string): readonly [schema: string, name: string] {
  const [pack = "", name = ""] = table.split(/__(.*)/s, 2);
  return [pg.schema(`${JOURNAL_MIGRATION.component}_${pack}`), name === "" ? pack : name];
}

function physical(database: JournalDatabase, table: string): PgFragment {
  return verbatim(pgName(...placeOf(database, table)));
}

function joined(parts: readonly PgFragment[]): PgFragment {
  return {
    text: parts.map(({ text }) => text).join(""),
    values: parts.flatMap(({ values }) => values),
  };
}

function storedValue(value: null | string | number | bigint): PgValue {
  return typeof value === "string" ? storedText(value) : value;
}

function valueOf(cell: PgCell | undefined): PgCell {
  return typeof cell === "string" ? originalText(cell) : (cell ?? null);
}

function columnsOf(text: PgCell | undefined): readonly { readonly name: string }[] {
  const columns: unknown = typeof text === "string" ? JSON.parse(text) : [];
  return Array.isArray(columns) ? (columns as readonly { readonly name: string }[]) : [];
}
