import type { DuckDBConnection, DuckDBResult } from "@duckdb/node-api";

import { DigestSums, hashText, rowHash } from "../content-form.ts";
import { StoreError } from "../errors.ts";
import type { BucketDigest, Page, RowDigest } from "../projected-store.ts";
import { plainValue } from "./duckdb-columns.ts";
import type { DuckdbTableName } from "./duckdb-protocol.ts";
import { findTable } from "./duckdb-tables.ts";
import type { DuckdbTables, StoredTable } from "./duckdb-tables.ts";
import { quoteName } from "./duckdb.ts";

/** How a role turns stored rows back into the content form of a record. */
export interface DuckdbRowForm {
  /** True where a record has several rows, which lie one after another. */
  readonly isGrouped: boolean;
  /** Columns by which the rows of one record are ordered. */
  readonly rowOrder: string;
  /** Makes the content of a record from its rows (the table's columns, in order). */
  compile(table: StoredTable): (rows: readonly (readonly unknown[])[]) => string;
}

/** Which rows a page lists. */
export interface DuckdbRange {
  readonly fromSequence: number;
  readonly toSequence: number;
  readonly limit: number;
  readonly cursor?: string;
}

/** Digests of every stored row, read in one pass. */
export async function digestTable(
  tables: DuckdbTables,
  form: DuckdbRowForm,
  { table: name, bucketSize }: { readonly table: DuckdbTableName; readonly bucketSize: number },
  signal: AbortSignal,
): Promise<readonly BucketDigest[]> {
  return await tables.reader.snapshot(`digest ${name.name}`, signal, async (connection) => {
    const sums = new DigestSums(bucketSize);
    const table = await findTable(connection, name);
    if (table === undefined) return [];
    const result = await connection.stream(`SELECT ${selectList(table)} FROM ${table.sqlName}`);
    for await (const { id, sequence, content } of contents(result, table, form)) {
      sums.add(sequence, rowHash(id, sequence, content));
    }
    return sums.digests();
  });
}

/**
 * Sums of DuckDB's own hash over every stored value, made inside the engine, where a
 * digest brings each row out and costs some 20 µs (bench/reconcile-run.ts).
 */
export async function fingerprintTable(
  tables: DuckdbTables,
  { table: name, bucketSize }: { readonly table: DuckdbTableName; readonly bucketSize: number },
  signal: AbortSignal,
): Promise<readonly BucketDigest[]> {
  return await tables.reader.snapshot(`fingerprint ${name.name}`, signal, async (connection) => {
    const table = await findTable(connection, name);
    if (table === undefined) return [];
    const found = await connection.runAndReadAll(
      `SELECT _sequence // $1, count(*), CAST(sum(hash(${selectList(table)})) AS VARCHAR)
       FROM ${table.sqlName} GROUP BY 1 ORDER BY 1`,
      [BigInt(bucketSize)],
    );
    return found.getRows().map(([bucket, count, sum]) => ({
      bucket: Number(bucket),
      count: Number(count),
      sum: hashText(BigInt.asUintN(64, BigInt(String(sum)))),
    }));
  });
}

/** One page of rows by sequence then id. @throws StoreError `refused` for a cursor that is none of ours. */
export async function listTable(
  tables: DuckdbTables,
  form: DuckdbRowForm,
  { table: name, range }: { readonly table: DuckdbTableName; readonly range: DuckdbRange },
  signal: AbortSignal,
): Promise<Page<RowDigest>> {
  const after = range.cursor === undefined ? undefined : readCursor(range.cursor);
  return await tables.reader.snapshot(`list ${name.name}`, signal, async (connection) => {
    const table = await findTable(connection, name);
    if (table === undefined) return { rows: [] };
    const result = await streamPage(connection, table, form, { ...range, after });
    const rows: RowDigest[] = [];
    for await (const { id, sequence, content } of contents(result, table, form)) {
      rows.push({ id, sequence, hash: hashText(rowHash(id, sequence, content)) });
    }
    return cutPage(rows, range.limit);
  });
}

/** Cuts rows of up to `limit + 1` records to `limit` records. */
function cutPage(rows: readonly RowDigest[], limit: number): Page<RowDigest> {
  let records = 0;
  for (const [index, row] of rows.entries()) {
    const before = rows[index - 1];
    if (before?.id === row.id && before.sequence === row.sequence) continue;
    records += 1;
    if (records > limit && before !== undefined) {
      return { rows: rows.slice(0, index), cursor: writeCursor(before) };
    }
  }
  return { rows };
}

interface PageQuery extends DuckdbRange {
  readonly after: { readonly sequence: number; readonly id: string } | undefined;
}

async function streamPage(
  connection: DuckDBConnection,
  table: StoredTable,
  form: DuckdbRowForm,
  { fromSequence, toSequence, limit, after }: PageQuery,
): Promise<DuckDBResult> {
  return await connection.stream(
    `WITH page AS (SELECT DISTINCT _sequence, _id FROM ${table.sqlName}
       WHERE _sequence >= $1 AND _sequence < $2
         AND (_sequence > $3 OR (_sequence = $3 AND _id > $4))
       ORDER BY _sequence, _id LIMIT $5)
     SELECT ${selectList(table)} FROM ${table.sqlName} SEMI JOIN page USING (_sequence, _id)
     ORDER BY _sequence, _id${form.rowOrder === "" ? "" : `, ${form.rowOrder}`}`,
    [
      BigInt(fromSequence),
      whole(toSequence),
      BigInt(after?.sequence ?? -1),
      after?.id ?? "",
      BigInt(limit + 1),
    ],
  );
}

function whole(value: number): bigint {
  return BigInt(Math.min(value, Number.MAX_SAFE_INTEGER));
}

function selectList(table: StoredTable): string {
  return ["_id", "_sequence", ...table.columns.map(({ name }) => quoteName(name))].join(", ");
}

interface StoredContent {
  readonly id: string;
  readonly sequence: number;
  readonly content: string;
}

async function* contents(
  result: DuckDBResult,
  table: StoredTable,
  form: DuckdbRowForm,
): AsyncGenerator<StoredContent> {
  const content = form.compile(table);
  let id = "";
  let sequence = -1;
  let group: (readonly unknown[])[] = [];
  for await (const rows of result.yieldRows()) {
    for (const [rowId, rowSequence, ...values] of rows) {
      const isSame = form.isGrouped && rowId === id && Number(rowSequence) === sequence;
      if (!isSame && group.length > 0) yield { id, sequence, content: content(group) };
      if (!isSame) group = [];
      id = String(rowId);
      sequence = Number(rowSequence);
      group.push(values.map(plainValue));
    }
  }
  if (group.length > 0) yield { id, sequence, content: content(group) };
}

function writeCursor({ sequence, id }: RowDigest): string {
  return Buffer.from(JSON.stringify([sequence, id]), "utf8").toString("base64url");
}

function readCursor(cursor: string): { sequence: number; id: string } {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    const [sequence, id] = Array.isArray(parsed) ? (parsed as unknown[]) : [];
    if (Number.isSafeInteger(sequence) && typeof id === "string") {
      return { sequence: Number(sequence), id };
    }
  } catch (cause) {
    throw new StoreError("refused", "not a cursor of this list", { cause });
  }
  throw new StoreError("refused", "not a cursor of this list");
}
