import type { ColumnType } from "@custody/contract/placement";

import type { ClickhouseServer } from "../drivers/clickhouse.ts";
import { textLiteral } from "../drivers/clickhouse-text.ts";
import { DigestSums, hashText, rowHash } from "../content-form.ts";
import { StoreError } from "../errors.ts";
import type { BucketDigest, Page, RowDigest } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import { plainNumber } from "./cell.ts";
import type { LiveCollection } from "./clickhouse-catalogue.ts";
import { isList, ofBuild, storedName } from "./clickhouse-layout.ts";
import type { StoredColumn } from "./clickhouse-layout.ts";
import { analyticsContent } from "./content.ts";

/** Settings of every read: builds are partitions, so that rows of two never have to be merged. */
export const FINAL_SETTINGS = { do_not_merge_across_partitions_select_final: 1 } as const;

/** Digests of every stored row, streamed and folded here: canonical JSON is not ClickHouse's to make. */
export async function digestRows(
  server: ClickhouseServer,
  scope: Scope,
  live: LiveCollection,
  bucketSize: number,
): Promise<readonly BucketDigest[]> {
  const sums = new DigestSums(bucketSize);
  const stream = server.stream(scope, {
    doing: `digest ${live.name}`,
    sql: `SELECT ${selectList(live)} FROM ${live.table.sqlName} FINAL WHERE ${ofBuild(live)}`,
    settings: FINAL_SETTINGS,
  });
  for await (const rows of stream) {
    for (const row of rows) {
      const { sequence, hash } = rowOf(live, row);
      sums.add(sequence, hash);
    }
  }
  return sums.digests();
}

/** Which rows a page lists. */
export interface RowRange {
  readonly fromSequence: number;
  readonly toSequence: number;
  readonly limit: number;
  readonly cursor?: string;
}

/** One page of rows by sequence then id. @throws StoreError `refused` for a cursor that is none of ours. */
export async function listRows(
  server: ClickhouseServer,
  scope: Scope,
  live: LiveCollection,
  { fromSequence, toSequence, limit, cursor }: RowRange,
): Promise<Page<RowDigest>> {
  const after = cursor === undefined ? undefined : readCursor(cursor);
  const rest =
    after === undefined
      ? ""
      : `AND (_sequence > ${after.sequence} OR (_sequence = ${after.sequence} AND _id > ${textLiteral(after.id)}))`;
  const stream = server.stream(scope, {
    doing: `list ${live.name}`,
    sql: `SELECT ${selectList(live)} FROM ${live.table.sqlName} FINAL
      WHERE ${ofBuild(live)} AND _sequence >= ${fromSequence} AND _sequence < ${toSequence} ${rest}
      ORDER BY _sequence, _id LIMIT ${limit + 1}`,
    settings: FINAL_SETTINGS,
  });
  const rows: RowDigest[] = [];
  for await (const some of stream) {
    for (const row of some) {
      const { id, sequence, hash } = rowOf(live, row);
      rows.push({ id, sequence, hash: hashText(hash) });
    }
  }
  const last = rows[limit - 1];
  if (rows.length <= limit || last === undefined) return { rows };
  return { rows: rows.slice(0, limit), cursor: writeCursor(last) };
}

function selectList({ table }: LiveCollection): string {
  const own = table.columns.map(({ name, type }) => readable(storedName(name), type));
  const observed = readable("_observed_at", "timestamp");
  return ["_id", "_sequence", observed, "_custody_absent", ...own].join(", ");
}

/** A column as it is best read: instants as epoch milliseconds. */
export function readable(sql: string, type: ColumnType): string {
  return type === "timestamp" ? `toUnixTimestamp64Milli(${sql})` : sql;
}

function rowOf(
  { table }: LiveCollection,
  [id, sequence, observedAt, absent, ...cells]: readonly unknown[],
): { id: string; sequence: number; hash: bigint } {
  const missing = new Set(Array.isArray(absent) ? absent.map(Number) : []);
  const values = table.columns.map((column, slot) =>
    missing.has(slot) ? null : storedValue(column, cells[slot]),
  );
  const content = analyticsContent(observedAt === null ? null : Number(observedAt), values);
  const row = { id: String(id), sequence: Number(sequence) };
  return { ...row, hash: rowHash(row.id, row.sequence, content) };
}

/** What a column holds, from the form that JSON gives it. */
function storedValue({ type }: StoredColumn, cell: unknown): unknown {
  if (cell === null || cell === undefined) return null;
  if (type === "integer") return typeof cell === "string" ? plainNumber(BigInt(cell)) : cell;
  if (type === "timestamp" || type === "real") return Number(cell);
  if (type === "vector" && Array.isArray(cell)) return cell.map(singleNumber);
  return isList(type) && !Array.isArray(cell) ? null : cell;
}

function singleNumber(part: unknown): number {
  if (part === "inf") return Number.POSITIVE_INFINITY;
  if (part === "-inf") return Number.NEGATIVE_INFINITY;
  return Math.fround(Number(part));
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
