import { setImmediate } from "node:timers/promises";
import type { DatabaseSync } from "node:sqlite";

import { parseJson } from "@custody/contract/json";
import type { DocumentPlacement } from "@custody/contract/placement";

import { DigestSums, hashText, rowHash } from "../content-form.ts";
import { fingerprintSqlite } from "../drivers/sqlite-fingerprint.ts";
import { openSqliteFile, sqliteCall } from "../drivers/sqlite.ts";
import { StoreError } from "../errors.ts";
import type { BucketDigest, Collection, Page, RowDigest } from "../projected-store.ts";
import { documentContent } from "./content.ts";
import { isPrepared, tablesOf } from "./sqlite-collection.ts";
import type { CollectionTables } from "./sqlite-collection.ts";
import type { DocumentFile } from "./sqlite-file.ts";
import { pathKeys, stepNames } from "./sqlite-path.ts";

// Rows read before other calls get their turn: some 10 ms of work.
const ROWS_A_TURN = 250;
/** Rows of one page of `list` at most. */
const LIST_MAX = 10_000;

interface StoredRow {
  readonly number: number;
  readonly id: string;
  readonly sequence: number;
  readonly hash: bigint;
}

/** Digests all rows in one snapshot, on a connection of its own, letting other calls in between. */
export async function digestRows(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  bucketSize: number,
): Promise<readonly BucketDigest[]> {
  if (!isPrepared(file, collection)) return [];
  const tables = tablesOf(collection);
  const sums = new DigestSums(bucketSize);
  const doing = `digest ${collection.name}`;
  const reader = openSqliteFile({ path: file.path, durability: "projection", cacheKib: 2_048 });
  try {
    sqliteCall(doing, () => reader.exec("BEGIN"));
    for (let after = 0; ;) {
      const rows = sqliteCall(doing, () =>
        readRows(reader, tables, {
          where: "d.number > ?",
          values: [after],
          order: "d.number",
          limit: ROWS_A_TURN,
        }),
      );
      for (const row of rows) sums.add(row.sequence, row.hash);
      const last = rows.at(-1);
      if (last === undefined) return sums.digests();
      after = last.number;
      await setImmediate();
    }
  } finally {
    reader.close();
  }
}

/**
 * Sums over documents as they are stored, and over what indexes on lists hold of each: 5 µs a document
 * of 3 KB against 67 µs for its digest (bench/reconcile-run.ts).
 */
export async function fingerprintRows(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  bucketSize: number,
): Promise<readonly BucketDigest[]> {
  if (!isPrepared(file, collection)) return [];
  const { table, links } = tablesOf(collection);
  const rows = { from: table, number: "number", sequence: "sequence", cells: ["id"], body: "body" };
  return await fingerprintSqlite(file.path, `fingerprint ${collection.name}`, {
    bucketSize,
    rows: [rows],
    values: [...links.values()].map((link) => ({
      table: link,
      values: ["value"],
      number: "number",
    })),
    others: [],
  });
}

/** One page of row digests, by sequence then id. */
export function listRows(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  range: {
    readonly fromSequence: number;
    readonly toSequence: number;
    readonly limit: number;
    readonly cursor?: string;
  },
): Page<RowDigest> {
  const limit = Math.min(range.limit, LIST_MAX);
  if (!isPrepared(file, collection)) return { rows: [] };
  const [sequence, id] = range.cursor === undefined ? [-1, ""] : readListCursor(range.cursor);
  const found = readRows(file.database, tablesOf(collection), {
    where: `d.sequence >= ? AND d.sequence < ? AND (d.sequence > ? OR d.id > ?)`,
    values: [Math.max(range.fromSequence, sequence), range.toSequence, sequence, id],
    order: "d.sequence, d.id",
    limit: limit + 1,
  });
  const rows = found
    .slice(0, limit)
    .map((row) => ({ id: row.id, sequence: row.sequence, hash: hashText(row.hash) }));
  const last = found.length > limit ? rows.at(-1) : undefined;
  if (last === undefined) return { rows };
  const cursor = Buffer.from(JSON.stringify([last.sequence, last.id])).toString("base64url");
  return { rows, cursor };
}

function readListCursor(cursor: string): readonly [number, string] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (Array.isArray(parts)) {
      const [sequence, id] = parts as readonly unknown[];
      if (typeof sequence === "number" && typeof id === "string") return [sequence, id];
    }
  } catch {
    // Falls through: what is no JSON is no cursor.
  }
  throw new StoreError("refused", "not a cursor");
}

interface RowRange {
  readonly where: string;
  readonly values: readonly (number | string)[];
  readonly order: string;
  readonly limit: number;
}

function readRows(
  database: DatabaseSync,
  tables: CollectionTables,
  { where, values, order, limit }: RowRange,
): readonly StoredRow[] {
  const condition = `FROM ${tables.table} AS d WHERE ${where} ORDER BY ${order} LIMIT ?`;
  const rows = database
    .prepare(
      `SELECT d.number, d.id, d.sequence, ${lacksLink(tables)} AS lacksLink,
       CASE WHEN json_valid(d.body, 8) THEN json(d.body) END AS text ${condition}`,
    )
    .all(...values, limit);
  return rows.map((row) => {
    const id = String(row["id"]);
    const sequence = Number(row["sequence"]);
    const { text } = row;
    const content = typeof text === "string" ? documentContentOf(parseJson(text)) : "\0unreadable";
    // A document that an index does not lead to is as good as altered: repair writes it anew.
    const found = row["lacksLink"] === 0 ? content : `${content}\0not indexed`;
    return { number: Number(row["number"]), id, sequence, hash: rowHash(id, sequence, found) };
  });
}

// Whatever the placement says, the whole record is kept.
const documentContentOf = documentContent({});

/** Whether a link table lacks a row for a value of the document `d`. */
function lacksLink({ links }: CollectionTables): string {
  const tests = [...links].map(
    ([path, link], index) =>
      `EXISTS(SELECT 1 FROM (${pathKeys("d.body", stepNames(path), `m${index}`)}) AS v
       WHERE v.value IS NOT NULL
       AND NOT EXISTS(SELECT 1 FROM ${link} AS k WHERE k.value = v.value AND k.number = d.number))`,
  );
  return tests.length === 0 ? "0" : `(${tests.join(" OR ")})`;
}
