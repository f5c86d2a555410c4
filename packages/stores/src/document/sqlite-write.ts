import type { DocumentPlacement } from "@custody/contract/placement";

import { sqliteTransaction } from "../drivers/sqlite.ts";
import { refuseGap } from "../delivery-start.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { recordText } from "../record-batch.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import { createTables, isPrepared, linkRows, tablesOf } from "./sqlite-collection.ts";
import type { CollectionTables } from "./sqlite-collection.ts";
import type { DocumentFile } from "./sqlite-file.ts";

/** MongoDB's limit too, so that what one engine takes the other takes. */
export const DOCUMENT_BYTES_MAX: number = 16 * 1024 * 1024;

/** Makes the collection's tables when they are not there. */
export function prepareCollection(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
): void {
  if (isPrepared(file, collection)) return;
  sqliteTransaction(file.database, `prepare ${collection.name}`, () => {
    if (!isPrepared(file, collection)) createTables(file, collection);
  });
}

/** The checkpoint last written. */
export function readCheckpoint(file: DocumentFile, name: string, generation: number): number {
  const row = file
    .statement("SELECT checkpoint FROM collection WHERE name = ? AND generation = ?")
    .get(name, generation);
  return Number(row?.["checkpoint"] ?? 0);
}

/** Writes a delivery and its checkpoint in one transaction. */
export function applyDelivery(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  delivery: Delivery,
): void {
  prepareCollection(file, collection);
  const tables = tablesOf(collection);
  const { name, generation } = collection;
  sqliteTransaction(file.database, `apply to ${name}`, () => {
    const checkpoint = readCheckpoint(file, name, generation);
    refuseGap(collection, delivery, checkpoint);
    for (const batch of delivery.batches) {
      writeBatch(file, tables, batch, (sequence) => sequence > checkpoint);
    }
    if (delivery.checkpoint <= checkpoint) return;
    file
      .statement("UPDATE collection SET checkpoint = ? WHERE name = ? AND generation = ?")
      .run(delivery.checkpoint, name, generation);
  });
}

/** Makes rows equal to the batch, whatever is stored. */
export function repairRows(
  file: DocumentFile,
  collection: Collection<DocumentPlacement>,
  batch: RecordBatch,
): void {
  prepareCollection(file, collection);
  sqliteTransaction(file.database, `repair ${collection.name}`, () =>
    writeBatch(file, tablesOf(collection), batch),
  );
}

/** @param isNew which sequences to write, unless a higher one is stored; all and always when left out. */
function writeBatch(
  file: DocumentFile,
  tables: CollectionTables,
  batch: RecordBatch,
  isNew?: (sequence: number) => boolean,
): void {
  const chosen: number[] = [];
  for (const [index, sequence] of batch.sequences.entries()) {
    if (isNew === undefined || isNew(sequence)) chosen.push(index);
  }
  if (chosen.length === 0) return;
  const kept = replaceStored(file, tables, batch, { chosen, isForced: isNew === undefined });
  const before = lastNumber(file, tables);
  const insert = file.statement(
    `INSERT INTO ${tables.table} (id, sequence, body) VALUES (?, ?, jsonb(CAST(? AS TEXT)))`,
  );
  for (const index of chosen) {
    if (batch.removed[index] === 1 || kept.has(index)) continue;
    const text = recordText(batch, index);
    if (text.byteLength > DOCUMENT_BYTES_MAX) {
      throw new StoreError(
        "limit",
        `a document of ${text.byteLength} bytes is over the limit of ${DOCUMENT_BYTES_MAX}`,
      );
    }
    // Bound as bytes: a string would be turned into UTF-16 and back.
    insert.run(batch.ids[index] ?? "", batch.sequences[index] ?? 0, text);
  }
  for (const [path, link] of tables.links) {
    // One sorted insert a batch: pages of the link table are touched once.
    file
      .statement(
        `INSERT INTO ${link} (value, number) ${linkRows(tables, path, "d.number > ?1")} ORDER BY 1, 2`,
      )
      .run(before);
  }
}

/** Removes the stored versions that the batch replaces; answers the records whose stored version is newer. */
function replaceStored(
  file: DocumentFile,
  tables: CollectionTables,
  batch: RecordBatch,
  { chosen, isForced }: { readonly chosen: readonly number[]; readonly isForced: boolean },
): ReadonlySet<number> {
  const kept = new Set<number>();
  const ids = chosen.map((index) => batch.ids[index] ?? "");
  if (!hasAnyBetween(file, tables, ids)) return kept;
  const stored = file
    .statement(
      `SELECT j.key AS place, d.number, d.sequence FROM json_each(?) AS j
       CROSS JOIN ${tables.table} AS d ON d.id = j.value`,
    )
    .all(JSON.stringify(ids));
  for (const row of stored) {
    const index = chosen[Number(row["place"])] ?? 0;
    if (!isForced && Number(row["sequence"]) > (batch.sequences[index] ?? 0)) kept.add(index);
    else removeRow(file, tables, Number(row["number"]));
  }
  return kept;
}

/** Ids begin with their day: mostly no stored id lies between those of a new batch, and none need be looked up. */
function hasAnyBetween(
  file: DocumentFile,
  { table }: CollectionTables,
  ids: readonly string[],
): boolean {
  const [first = ""] = ids;
  let least = first;
  let greatest = first;
  for (const id of ids) {
    if (DIFFERENT_ORDER.test(id)) return true;
    if (id < least) least = id;
    if (id > greatest) greatest = id;
  }
  const statement = file.statement(`SELECT 1 FROM ${table} WHERE id BETWEEN ? AND ? LIMIT 1`);
  return statement.get(least, greatest) !== undefined;
}

// SQLite orders by UTF-8 bytes, JavaScript by UTF-16 units: they differ from U+D800 on.
const DIFFERENT_ORDER = /[\ud800-\uffff]/;

function removeRow(file: DocumentFile, tables: CollectionTables, number: number): void {
  for (const [path, link] of tables.links) {
    file
      .statement(
        `DELETE FROM ${link} WHERE number = ?1 AND value IN
         (SELECT value FROM (${linkRows(tables, path, "d.number = ?1")}))`,
      )
      .run(number);
  }
  file.statement(`DELETE FROM ${tables.table} WHERE number = ?`).run(number);
}

function lastNumber(file: DocumentFile, { table }: CollectionTables): number {
  const row = file.statement(`SELECT max(number) AS last FROM ${table}`).get();
  return Number(row?.["last"] ?? 0);
}
