import { bigintArray, prepared, sql, storedText, textArray } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgResult, PgRow } from "../drivers/postgresql-statements.ts";
import { SQL_TRUE } from "../drivers/sql-fragment.ts";
import { StoreError } from "../errors.ts";
import type { IdPosition } from "./journal.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";

/** The id index: which line holds which version of a record. Ids cross as one array a statement. */

// Bounds what one statement holds to about 5 MB; ids are at most 512 characters.
const IDS_AT_ONCE = 10_000;
const HASH_BYTES = 16;

/** Where ids lie that have a tenant's and a type's number. */
export interface IdSpace {
  readonly tenantNo: number;
  readonly typeNo: number;
}

/** Statements that find the latest version of each id; read with {@link readFoundIds}. */
export function findIds(
  { table }: JournalDatabase,
  space: IdSpace,
  ids: readonly string[],
): readonly PgFragment[] {
  return partsOf(ids).map((part) => {
    const { tenantNo, typeNo } = space;
    return prepared`SELECT k.n, r.sequence, r.place, r.content_hash
      FROM unnest(${textArray(part.map(storedText))}) WITH ORDINALITY AS k (id, n)
      CROSS JOIN LATERAL (SELECT sequence, place, content_hash FROM ${table("record_id")}
        WHERE tenant_no = ${tenantNo} AND type_no = ${typeNo} AND id = k.id COLLATE "C"
        ORDER BY sequence DESC LIMIT 1) AS r WHERE ${anyBetween(table("record_id"), space, part)}`;
  });
}

/** What the statements of {@link findIds} found, in the order of the ids. */
export function readFoundIds(
  results: readonly PgResult[],
  count: number,
): readonly (IdPosition | undefined)[] {
  const found: (IdPosition | undefined)[] = Array.from({ length: count });
  for (const [part, { rows }] of results.entries()) {
    for (const row of rows) found[part * IDS_AT_ONCE + Number(row["n"]) - 1] = positionOf(row);
  }
  return found;
}

/** Statements that find the version of each id that was current just before a sequence. */
export function findIdsBefore(
  { table }: JournalDatabase,
  { tenantNo, typeNo }: IdSpace,
  keys: readonly { readonly id: string; readonly sequence: number }[],
): readonly PgFragment[] {
  return partsOf(keys).map((part) => {
    const ids = textArray(part.map(({ id }) => storedText(id)));
    const sequences = bigintArray(part.map(({ sequence }) => sequence));
    return prepared`SELECT k.n, r.sequence, r.place, r.content_hash
      FROM unnest(${ids}, ${sequences}) WITH ORDINALITY AS k (id, before, n)
      CROSS JOIN LATERAL (SELECT sequence, place, content_hash FROM ${table("record_id")}
        WHERE tenant_no = ${tenantNo} AND type_no = ${typeNo} AND id = k.id COLLATE "C"
          AND sequence < k.before ORDER BY sequence DESC LIMIT 1) AS r`;
  });
}

/** Statements that add one entry's ids as its sequence's versions; their answers are for {@link withCounts}. */
export function addIds(
  database: JournalDatabase,
  space: IdSpace,
  entry: {
    readonly sequence: number;
    readonly isDelete: boolean;
    readonly ids: readonly string[];
    readonly contentHashes: Uint8Array;
  },
): readonly PgFragment[] {
  const { ids, contentHashes, sequence, isDelete } = entry;
  if (contentHashes.byteLength !== ids.length * HASH_BYTES) {
    throw new StoreError("refused", `entry ${sequence} has not ${HASH_BYTES} bytes of hash an id`);
  }
  return partsOf(ids).map((part, index) => {
    const start = index * IDS_AT_ONCE;
    const hashes = contentHashes.subarray(start * HASH_BYTES, (start + part.length) * HASH_BYTES);
    const place = start * 2 + (isDelete ? 1 : 0);
    return addPart(database, space, { sequence, isDelete, ids: part, hashes, place });
  });
}

/** Looks first and adds then, in one statement: all of it sees the index as it was. */
function addPart(
  database: JournalDatabase,
  space: IdSpace,
  part: {
    readonly sequence: number;
    readonly isDelete: boolean;
    readonly ids: readonly string[];
    readonly hashes: Uint8Array;
    readonly place: number;
  },
): PgFragment {
  const { tenantNo, typeNo } = space;
  const { sequence, isDelete, ids, hashes, place } = part;
  const live = isDelete ? 0 : ids.length;
  const [found = SQL_TRUE] = findIds(database, space, ids);
  return prepared`WITH added AS (INSERT INTO ${database.table("record_id")} (tenant_no, type_no, id, sequence,
        place, content_hash)
      SELECT ${tenantNo}::int, ${typeNo}::int, k.id, ${sequence}::bigint, (k.n - 1) * 2 + ${place}::int,
        substring(${hashes}::bytea FROM ((k.n - 1) * 16 + 1)::int FOR 16)
      FROM unnest(${textArray(ids.map(storedText))}) WITH ORDINALITY AS k (id, n))
    SELECT ${typeNo}::int AS type_no, ${live}::bigint - count(*) FILTER (WHERE place % 2 = 0) AS live,
      ${ids.length}::bigint - count(*) AS total FROM (${found}) AS latest`;
}

/** How many ids a transaction has added, by the number of their type. */
export type IdCounts = ReadonlyMap<number, { readonly live: number; readonly total: number }>;

/** Adds what statements of {@link addIds} have answered to counts. */
export function withCounts(counts: IdCounts, results: readonly PgResult[]): IdCounts {
  const sums = new Map(counts);
  for (const row of results.flatMap(({ rows }) => rows)) {
    const typeNo = Number(row["type_no"]);
    const { live = 0, total = 0 } = sums.get(typeNo) ?? {};
    sums.set(typeNo, {
      live: live + Number(row["live"]),
      total: total + Number(row["total"]),
    });
  }
  return sums;
}

/**
 * Adds to the counts of types. Once a transaction: a row that is updated again and again in one leaves as many
 * versions behind, through which every further update must go.
 */
export function addCounts(
  { table }: JournalDatabase,
  tenantNo: number,
  counts: IdCounts,
): PgFragment {
  const sums = [...counts.values()];
  return prepared`INSERT INTO ${table("id_count")} AS c (tenant_no, type_no, live, total)
    SELECT ${tenantNo}::int, k.* FROM unnest(${bigintArray([...counts.keys()])},
      ${bigintArray(sums.map(({ live }) => live))}, ${bigintArray(sums.map(({ total }) => total))}) AS k
    ON CONFLICT (tenant_no, type_no)
    DO UPDATE SET live = c.live + excluded.live, total = c.total + excluded.total`;
}

/** A statement that reads the live ids of a type, and ids ever seen. */
export function countOf({ table }: JournalDatabase, { tenantNo, typeNo }: IdSpace): PgFragment {
  return prepared`SELECT live, total FROM ${table("id_count")}
    WHERE tenant_no = ${tenantNo} AND type_no = ${typeNo}`;
}

/** Ids begin with their day: mostly no known id lies between those of a new batch, and none need be looked up. */
function anyBetween(
  recordId: PgFragment,
  { tenantNo, typeNo }: IdSpace,
  ids: readonly string[],
): PgFragment {
  const [first = ""] = ids;
  let least = first;
  let greatest = first;
  for (const id of ids) {
    if (OTHER_ORDER.test(id)) return SQL_TRUE;
    if (id < least) least = id;
    if (id > greatest) greatest = id;
  }
  return sql`EXISTS (SELECT 1 FROM ${recordId} WHERE tenant_no = ${tenantNo} AND type_no = ${typeNo}
    AND id BETWEEN ${storedText(least)} AND ${storedText(greatest)})`;
}

// PostgreSQL's "C" orders by UTF-8 bytes, JavaScript by UTF-16 units: they differ from U+D800 on.
const OTHER_ORDER = /[\ud800-\uffff]/;

function partsOf<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const parts: (readonly Item[])[] = [];
  for (let start = 0; start < items.length; start += IDS_AT_ONCE) {
    parts.push(items.slice(start, start + IDS_AT_ONCE));
  }
  return parts;
}

function positionOf(row: PgRow): IdPosition {
  const hash = row["content_hash"];
  const place = Number(row["place"]);
  if (!(hash instanceof Uint8Array)) throw new StoreError("corrupt", "an id has no content hash");
  return {
    sequence: Number(row["sequence"]),
    ordinal: Math.floor(place / 2),
    contentHash: hash,
    isDeleted: place % 2 === 1,
  };
}
