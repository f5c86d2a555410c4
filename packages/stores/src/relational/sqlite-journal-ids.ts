import type { SQLOutputValue } from "node:sqlite";

import { StoreError } from "../errors.ts";
import type { JournalConnection } from "./sqlite-journal-connection.ts";
import type { IdPosition } from "./journal.ts";

/**
 * The id index: which line holds which version of a record.
 *
 * Ids cross into SQLite as one JSON array a call: 1.1 µs an id for an insert and 0.5 for a miss,
 * against 2.2 and 1.6 with a call each (200,000 UUIDv7, WAL, `synchronous=FULL`).
 */

// Bounds the JSON text of one statement to about 5 MB; ids are at most 512 characters.
const IDS_AT_ONCE = 10_000;
const HASH_BYTES = 16;

/** Where ids lie that have a tenant's and a type's number. */
export interface IdSpace {
  readonly tenantNo: number;
  readonly typeNo: number;
}

/** The latest version of each id. */
export function findIds(
  connection: JournalConnection,
  space: IdSpace,
  ids: readonly string[],
): readonly (IdPosition | undefined)[] {
  const found: (IdPosition | undefined)[] = Array.from({ length: ids.length });
  for (let start = 0; start < ids.length; start += IDS_AT_ONCE) {
    const part = ids.slice(start, start + IDS_AT_ONCE);
    for (const row of latestRows(connection, space, part)) {
      found[start + Number(row["key"])] = positionOf(row);
    }
  }
  return found;
}

/** The version of each id that was current just before a sequence. */
export function findIdsBefore(
  connection: JournalConnection,
  { tenantNo, typeNo }: IdSpace,
  keys: readonly { readonly id: string; readonly sequence: number }[],
): readonly (IdPosition | undefined)[] {
  const select = connection.statement(`SELECT sequence, place, content_hash FROM record_id
    WHERE tenant_no = ? AND type_no = ? AND id = ? AND sequence < ? ORDER BY sequence DESC LIMIT 1`);
  return keys.map(({ id, sequence }) => {
    const row = select.get(tenantNo, typeNo, id, sequence);
    return row === undefined ? undefined : positionOf(row);
  });
}

/** Adds one entry's ids as its sequence's versions, and counts them. */
export function addIds(
  connection: JournalConnection,
  space: IdSpace,
  entry: {
    readonly sequence: number;
    readonly isDelete: boolean;
    readonly ids: readonly string[];
    readonly contentHashes: Uint8Array;
  },
): void {
  const { ids, contentHashes, sequence } = entry;
  if (contentHashes.byteLength !== ids.length * HASH_BYTES) {
    throw new StoreError("refused", `entry ${sequence} has not ${HASH_BYTES} bytes of hash an id`);
  }
  const deleted = entry.isDelete ? 1 : 0;
  const insert = connection.statement(`INSERT INTO record_id
    SELECT ?1, ?2, j.value, ?3, (j.key + ?4) * 2 + ?5, substr(?6, j.key * ${HASH_BYTES} + 1, ${HASH_BYTES})
    FROM json_each(?7) AS j`);
  for (let start = 0; start < ids.length; start += IDS_AT_ONCE) {
    const part = ids.slice(start, start + IDS_AT_ONCE);
    countIds(connection, space, part, entry.isDelete);
    const hashes = contentHashes.subarray(start * HASH_BYTES, (start + part.length) * HASH_BYTES);
    const { tenantNo, typeNo } = space;
    insert.run(tenantNo, typeNo, sequence, start, deleted, hashes, JSON.stringify(part));
  }
}

/** Live ids of a type, and ids ever seen. */
export function readCount(
  connection: JournalConnection,
  { tenantNo, typeNo }: IdSpace,
): { readonly live: number; readonly total: number } {
  const row = connection
    .statement("SELECT live, total FROM id_count WHERE tenant_no = ? AND type_no = ?")
    .get(tenantNo, typeNo);
  return { live: Number(row?.["live"] ?? 0), total: Number(row?.["total"] ?? 0) };
}

/** Runs before the insert, while the index still shows what was there. */
function countIds(
  connection: JournalConnection,
  space: IdSpace,
  ids: readonly string[],
  isDelete: boolean,
): void {
  let known = 0;
  let live = 0;
  for (const row of latestRows(connection, space, ids)) {
    known += 1;
    if (Number(row["place"]) % 2 === 0) live += 1;
  }
  connection
    .statement(
      `INSERT INTO id_count (tenant_no, type_no, live, total) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
       SET live = live + excluded.live, total = total + excluded.total`,
    )
    .run(space.tenantNo, space.typeNo, isDelete ? -live : ids.length - live, ids.length - known);
}

/** The latest row of each id that has one, with the id's place in the list as `key`. */
function latestRows(
  connection: JournalConnection,
  space: IdSpace,
  ids: readonly string[],
): readonly Record<string, SQLOutputValue>[] {
  const { tenantNo, typeNo } = space;
  if (!hasAnyBetween(connection, space, ids)) return [];
  return connection
    .statement(
      `SELECT j.key, i.sequence, i.place, i.content_hash FROM json_each(?3) AS j
       CROSS JOIN record_id AS i ON i.tenant_no = ?1 AND i.type_no = ?2 AND i.id = j.value
       AND i.sequence = (SELECT max(sequence) FROM record_id
         WHERE tenant_no = ?1 AND type_no = ?2 AND id = j.value)`,
    )
    .all(tenantNo, typeNo, JSON.stringify(ids));
}

/** Ids begin with their day: mostly no known id lies between those of a new batch, and none need be looked up. */
function hasAnyBetween(
  connection: JournalConnection,
  { tenantNo, typeNo }: IdSpace,
  ids: readonly string[],
): boolean {
  const [first] = ids;
  if (first === undefined) return false;
  let least = first;
  let greatest = first;
  for (const id of ids) {
    if (OTHER_ORDER.test(id)) return true;
    if (id < least) least = id;
    if (id > greatest) greatest = id;
  }
  const row = connection
    .statement(
      "SELECT 1 FROM record_id WHERE tenant_no = ? AND type_no = ? AND id BETWEEN ? AND ? LIMIT 1",
    )
    .get(tenantNo, typeNo, least, greatest);
  return row !== undefined;
}

// SQLite orders by UTF-8 bytes, JavaScript by UTF-16 units: they differ from U+D800 on.
const OTHER_ORDER = /[\ud800-\uffff]/;

function positionOf(row: Record<string, SQLOutputValue>): IdPosition {
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
