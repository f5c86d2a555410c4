import type { ClickHouseSettings } from "@clickhouse/client";

import type { ClickhouseServer } from "../drivers/clickhouse.ts";
import { ClickhouseRefusal } from "../drivers/clickhouse-errors.ts";
import { quoteClickhouseName } from "../drivers/clickhouse-text.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { cellBytes } from "./cell.ts";
import type { LiveCollection } from "./clickhouse-catalogue.ts";
import { compileCell } from "./clickhouse-cell.ts";
import { ofBuild, shownRows, splitName } from "./clickhouse-layout.ts";
import type { ClickhouseLayout } from "./clickhouse-layout.ts";
import { FINAL_SETTINGS } from "./clickhouse-read.ts";
import { checkQueryTree, checkResolvedTables } from "./clickhouse-sql-guard.ts";
import { readStatement } from "./clickhouse-sql-text.ts";
import type { Cell, SqlAnswer, SqlRequest } from "./port.ts";

// An answer is held whole here and by the caller.
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
const MEMORY_BYTES_MAX = 1024 * 1024 * 1024;

// SQL as the standard has it, where ClickHouse leaves the choice; and its bounds.
const TENANT_SETTINGS: ClickHouseSettings = {
  ...FINAL_SETTINGS,
  union_default_mode: "DISTINCT",
  join_use_nulls: 1,
  cast_keep_nullable: 1,
  session_timezone: "UTC",
  date_time_output_format: "simple",
  output_format_json_quote_decimals: 1,
  output_format_json_named_tuples_as_objects: 1,
  max_memory_usage: String(MEMORY_BYTES_MAX),
  max_temporary_data_on_disk_size_for_query: String(MEMORY_BYTES_MAX),
  max_result_bytes: String(4 * ANSWER_BYTES_MAX),
  result_overflow_mode: "throw",
  timeout_overflow_mode: "throw",
  cancel_http_readonly_queries_on_client_close: 1,
};

// In the statement and not beside it: where the account itself is confined to reading, the server takes
// the same value again, and no other.
const READ_ONLY = "SETTINGS readonly = 2";

/** What a tenant's statement may see. */
export interface SqlSurface {
  readonly server: ClickhouseServer;
  readonly layout: ClickhouseLayout;
  readonly scope: Scope;
  /** The tables that bear a name. */
  readonly published: readonly LiveCollection[];
}

/**
 * Runs one SELECT of a tenant, after ClickHouse itself has said what is in it.
 *
 * @throws StoreError `refused` for what is not one harmless SELECT, `limit` beyond a bound.
 */
export async function runSql(surface: SqlSurface, request: SqlRequest): Promise<SqlAnswer> {
  return await withinTime(request, async (left) => {
    const statement = await checkedStatement(surface, request, left);
    const { names, types, rows } = await ask(surface, {
      sql: `${statement}\n${READ_ONLY}`,
      timeMs: left(),
      // One more, to see that there are more.
      settings: { limit: String(request.rowsMax + 1) },
    });
    return readAnswer({ names, types, rows }, request.rowsMax);
  });
}

/** The engine's plan of a statement that {@link runSql} would run. */
export async function explainUserSql(
  surface: SqlSurface,
  request: SqlRequest,
): Promise<readonly string[]> {
  return await withinTime(request, async (left) => {
    const statement = await checkedStatement(surface, request, left);
    return planLines(
      await linesOf(surface, `EXPLAIN indexes = 1 ${statement}\n${READ_ONLY}`, left()),
    );
  });
}

/** The lines of a plan that say something. */
export function planLines(lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => line.split("\n")).filter((line) => line.trim() !== "");
}

async function checkedStatement(
  surface: SqlSurface,
  { statement }: SqlRequest,
  left: () => number,
): Promise<string> {
  const tables = new Map(
    surface.published.map((table) => {
      const { pack, type } = splitName(table.name);
      return [`${pack}.${type}`, table];
    }),
  );
  const read = readStatement(statement, new Set(tables.keys()));
  if (read.text === "") throw new StoreError("refused", "the SQL is refused: there is no SELECT");
  const names = new Set(read.tables.values());
  checkQueryTree(
    await linesOf(surface, `EXPLAIN QUERY TREE run_passes = 0 ${read.text}`, left()),
    names,
  );
  const own = [...read.tables].flatMap(([table, name]) => {
    const live = tables.get(table);
    return live === undefined ? [] : [{ live, name }];
  });
  const full = withTables(
    read.text,
    own.map(({ live, name }) => `${quoteClickhouseName(name)} AS (${rowsOf(live)})`),
  );
  checkResolvedTables(
    await linesOf(surface, `EXPLAIN QUERY TREE ${full}\n${READ_ONLY}`, left()),
    new Set(
      own.map(({ live }) => `${surface.layout.packDatabase(live.name)}.${live.table.tableName}`),
    ),
  );
  return full;
}

/** A table as a tenant sees it: the rows of the published build, under the names of the type. */
function rowsOf({ table, ...build }: LiveCollection): string {
  const { columns, grouping } = shownRows(table);
  const list = columns.map(({ name, sql }) => `${sql} AS ${quoteClickhouseName(name)}`);
  // Outside of the table's own names, so that an alias cannot stand for a column of the condition.
  const stored = `SELECT * FROM ${table.sqlName} FINAL WHERE ${ofBuild(build)}`;
  return `SELECT ${list.join(", ")} FROM (${stored}) ${grouping}`;
}

function withTables(statement: string, tables: readonly string[]): string {
  if (tables.length === 0) return statement;
  const mine = tables.join(", ");
  const [, with_, rest = ""] = /^(WITH(?:\s+RECURSIVE\b)?)\b\s*(.*)$/is.exec(statement) ?? [];
  if (with_ !== undefined) return `${with_} ${mine}, ${rest}`;
  return statement.startsWith("(")
    ? `WITH ${mine} SELECT * FROM (${statement})`
    : `WITH ${mine} ${statement}`;
}

async function linesOf(
  surface: SqlSurface,
  sql: string,
  timeMs: number,
): Promise<readonly string[]> {
  const { rows } = await ask(surface, { sql, timeMs });
  return rows.map(([line]) => String(line));
}

async function ask(
  { server, scope }: SqlSurface,
  call: { readonly sql: string; readonly timeMs: number; readonly settings?: ClickHouseSettings },
): Promise<{
  names: readonly string[];
  types: readonly string[];
  rows: readonly (readonly unknown[])[];
}> {
  return await server.select(scope, {
    doing: "run the SQL",
    sql: call.sql,
    timeMs: call.timeMs,
    settings: {
      ...TENANT_SETTINGS,
      max_execution_time: call.timeMs / 1_000,
      ...call.settings,
    },
    answerBytesMax: 4 * ANSWER_BYTES_MAX,
  });
}

// Time, memory, rows or bytes; the rest of what the server may say is an answer to the statement.
const OVER_A_BOUND = new Set([158, 159, 160, 191, 241, 306, 307, 396]);
const ACCESS_DENIED = 497;

async function withinTime<Result>(
  { timeMs }: SqlRequest,
  work: (left: () => number) => Promise<Result>,
): Promise<Result> {
  const endAt = performance.now() + timeMs;
  const tooLong = new StoreError("limit", `the SQL ran longer than ${timeMs} ms`);
  const left = (): number => {
    const ms = Math.ceil(endAt - performance.now());
    if (ms <= 0) throw tooLong;
    return ms;
  };
  try {
    return await work(left);
  } catch (cause) {
    if (cause instanceof ClickhouseRefusal) throw mapTenantError(cause, tooLong);
    // Our own clock ended it before the server's did.
    if (performance.now() >= endAt) throw tooLong;
    throw cause;
  }
}

function mapTenantError(cause: ClickhouseRefusal, tooLong: StoreError): StoreError {
  const { serverCode, said } = cause;
  if (serverCode === 159 || serverCode === 160) return tooLong;
  if (OVER_A_BOUND.has(serverCode)) {
    return new StoreError("limit", "the SQL used too much memory or answers too much", { cause });
  }
  if (cause.code === "unavailable" && serverCode !== ACCESS_DENIED) return cause;
  return new StoreError("refused", `the SQL is refused: ${said}`, { cause });
}

function readAnswer(
  answer: {
    readonly names: readonly string[];
    readonly types: readonly string[];
    readonly rows: readonly (readonly unknown[])[];
  },
  rowsMax: number,
): SqlAnswer {
  const cells = answer.types.map(compileCell);
  const rows: Cell[][] = [];
  let bytes = 0;
  for (const row of answer.rows.slice(0, rowsMax)) {
    const read = row.map((value, index) => cells[index]?.(value) ?? null);
    for (const cell of read) bytes += cellBytes(cell);
    if (bytes > ANSWER_BYTES_MAX) {
      throw new StoreError("limit", `the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    }
    rows.push(read);
  }
  return {
    columns: answer.names.map((name, index) => ({ name, type: answer.types[index] ?? "" })),
    rows,
    isTruncated: answer.rows.length > rowsMax,
  };
}
