import type { SQLOutputValue } from "node:sqlite";

import type { Filter } from "@custody/contract/filter";
import type { DocumentPlacement } from "@custody/contract/placement";

import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { DocumentPage, DocumentQuery, FoundDocument } from "./port.ts";
import { tablesOf } from "./sqlite-collection.ts";
import type { CollectionTables } from "./sqlite-collection.ts";
import { queryMark, readCursor, writeCursor } from "./cursor.ts";
import type { Position, SortKey } from "./cursor.ts";
import type { DocumentFile } from "./sqlite-file.ts";
import { compileFilter } from "./sqlite-filter.ts";
import type { FilterIndexes } from "./sqlite-filter.ts";
import { joinConditions, sql, verbatim } from "../drivers/sqlite-fragment.ts";
import type { SqlFragment } from "../drivers/sqlite-fragment.ts";
import { hasArray, pathKeys, plainPath, scalarKey, stepNames } from "./sqlite-path.ts";
import { readCheckpoint } from "./sqlite-write.ts";

/** Documents in one page at most: some 3 MB of text. */
export const PAGE_MAX = 1_000;
// Each sort path is a column of the sorter and a part of the cursor.
const SORT_PATHS_MAX = 8;

/** Answers one page; the caller holds a snapshot. */
export function findDocuments(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  query: DocumentQuery,
): DocumentPage {
  const { name, generation } = collection;
  const tables = tablesOf(collection);
  const mark = queryMark(collection, query);
  const keyCount = query.sort?.length ?? 0;
  const position =
    query.cursor === undefined ? undefined : readCursor(mark, query.cursor, keyCount);
  const found: Position[] = [];
  const documents: FoundDocument[] = [];
  for (const statement of pageStatements(file, collection, query, position)) {
    const wanted = query.limit + 1 - documents.length;
    if (wanted === 0) break;
    const prepared = file.statement(`${statement.text} LIMIT ${wanted}`);
    // Sort keys may be whole numbers beyond 2^53.
    prepared.setReadBigInts(true);
    for (const row of prepared.all(...statement.values)) {
      documents.push(readDocument(file, tables, row["number"]));
      found.push({ id: String(row["id"]), keys: keysOf(row, keyCount) });
    }
  }
  const checkpoint = readCheckpoint(file, name, generation);
  const last = documents.length > query.limit ? found[query.limit - 1] : undefined;
  return {
    documents: documents.slice(0, query.limit),
    checkpoint,
    ...(last === undefined ? {} : { cursor: writeCursor(mark, last) }),
  };
}

/** Bodies are read apart from the search, so that a sort of many rows does not carry them along. */
function readDocument(
  file: DocumentFile,
  { table }: CollectionTables,
  number: SQLOutputValue | undefined,
): FoundDocument {
  const row = file
    .statement(`SELECT id, sequence, json(body) AS text FROM ${table} WHERE number = ?`)
    .get(number ?? null);
  return {
    id: String(row?.["id"]),
    sequence: Number(row?.["sequence"]),
    text: String(row?.["text"]),
  };
}

/** Counts the documents that meet a filter. */
export function countDocuments(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  filter: Filter,
): number {
  const tables = tablesOf(collection);
  const condition = compileFilter(filter, "d.body", indexesFor(file, tables));
  const row = file
    .statement(`SELECT count(*) AS count FROM ${tables.table} AS d WHERE ${condition.text}`)
    .get(...condition.values);
  return Number(row?.["count"] ?? 0);
}

/** SQLite's plan for the first page. */
export function explainQuery(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  query: DocumentQuery,
): readonly string[] {
  const [first] = pageStatements(file, collection, query, undefined);
  if (first === undefined) return [];
  return file.database
    .prepare(`EXPLAIN QUERY PLAN ${first.text} LIMIT ${query.limit}`)
    .all(...first.values)
    .map((row) => String(row["detail"]));
}

/** The statements whose rows, one after another, are what comes behind `position`. */
function pageStatements(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  query: DocumentQuery,
  position: Position | undefined,
): readonly SqlFragment[] {
  const { sort = [], limit } = query;
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX) {
    throw new StoreError("limit", `a page holds 1 to ${PAGE_MAX} documents, not ${limit}`);
  }
  if (sort.length > SORT_PATHS_MAX) {
    throw new StoreError("limit", `a query sorts by at most ${SORT_PATHS_MAX} paths`);
  }
  const tables = tablesOf(collection);
  const indexes = indexesFor(file, tables);
  const keys = sort.map(({ path, direction }) => ({
    sql: verbatim(sortKey(path, direction, indexes)),
    direction,
  }));
  const condition = compileFilter(query.filter, "d.body", indexes);
  const columns = keys.map((key, index) => `, ${key.sql.text} AS sort${index}`).join("");
  const order = [...keys.map((key) => `${key.sql.text} ${key.direction}`), "id"].join(", ");
  const head = verbatim(`SELECT number, id${columns} FROM ${tables.table} AS d WHERE `);
  const tail = verbatim(` ORDER BY ${order}`);
  const ranges = position === undefined ? [undefined] : rangesBehind(position, keys);
  return ranges.map((range) => {
    const all = range === undefined ? condition : sql`(${range} AND ${condition})`;
    return sql`${head}${all}${tail}`;
  });
}

interface SortColumn {
  readonly sql: SqlFragment;
  readonly direction: "asc" | "desc";
}

/**
 * The rows behind a position, as ranges in order, each a plain conjunction that an index serves:
 * first the rows equal in all keys with a greater id, then those equal in all keys but the last …
 */
function rangesBehind(position: Position, keys: readonly SortColumn[]): readonly SqlFragment[] {
  const equal = keys.map((key, index) => sql`${key.sql} IS ${position.keys[index] ?? null}`);
  const ranges = [joinConditions([...equal, sql`id > ${position.id}`], "AND")];
  for (let index = keys.length - 1; index >= 0; index--) {
    const key = keys[index];
    if (key === undefined) continue;
    for (const beyond of beyondKey(key, position.keys[index] ?? null)) {
      ranges.push(joinConditions([...equal.slice(0, index), beyond], "AND"));
    }
  }
  return ranges;
}

/** What comes behind a key: null is the least of all. */
function beyondKey({ sql: key, direction }: SortColumn, value: SortKey): readonly SqlFragment[] {
  if (direction === "asc")
    return value === null ? [sql`${key} IS NOT NULL`] : [sql`${key} > ${value}`];
  return value === null ? [] : [sql`${key} < ${value}`, sql`${key} IS NULL`];
}

/** The least or greatest value at a path as a key; a document without one is null. */
function sortKey(path: string, direction: "asc" | "desc", indexes: FilterIndexes): string {
  const column = indexes.column(plainPath(path));
  if (column !== undefined) return column;
  const names = stepNames(path);
  const extreme = direction === "asc" ? "min" : "max";
  return `CASE WHEN ${hasArray("d.body", names, 0)} THEN (SELECT ${extreme}(value)
    FROM (${pathKeys("d.body", names, "s")})) ELSE ${scalarKey("d.body", names)} END`;
}

/** The collection's indexes as they can be used on what is stored now. */
function indexesFor(
  file: DocumentFile,
  { table, scalars, links }: CollectionTables,
): FilterIndexes {
  const withArrays = new Map<string, boolean>();
  const hasArrays = (path: string, arrayColumn: string): boolean => {
    let known = withArrays.get(path);
    if (known === undefined) {
      known =
        file.statement(`SELECT 1 FROM ${table} WHERE ${arrayColumn} LIMIT 1`).get() !== undefined;
      withArrays.set(path, known);
    }
    return known;
  };
  return {
    column(path) {
      const scalar = scalars.get(path);
      return scalar === undefined || hasArrays(path, scalar.arrayColumn)
        ? undefined
        : scalar.column;
    },
    candidates(path, condition) {
      const link = links.get(path);
      if (link !== undefined) {
        return sql`SELECT number FROM ${verbatim(link)} WHERE ${condition(verbatim("value"))}`;
      }
      const scalar = scalars.get(path);
      if (scalar === undefined) return undefined;
      return sql`SELECT number FROM ${verbatim(table)} WHERE ${condition(verbatim(scalar.column))}
        UNION ALL SELECT number FROM ${verbatim(table)} WHERE ${verbatim(scalar.arrayColumn)}`;
    },
  };
}

function keysOf(row: Record<string, unknown>, count: number): readonly SortKey[] {
  return Array.from({ length: count }, (_, index) => {
    const key = row[`sort${index}`];
    const isKey =
      typeof key === "string" ||
      typeof key === "number" ||
      typeof key === "bigint" ||
      key instanceof Uint8Array;
    return isKey ? key : null;
  });
}
