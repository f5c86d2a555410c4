import type { AnyBulkWriteOperation, BulkWriteResult, Document } from "mongodb";

import type { DocumentPlacement } from "@custody/contract/placement";

import type { MongoCall, MongoDocuments } from "../drivers/mongodb.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { recordText } from "../record-batch.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import { keyName, keyPaths, noteCheckpoint, preparedCollection } from "./mongodb-collection.ts";
import { fromStored, toStored } from "./mongodb-record.ts";
import { pathNames } from "./path-values.ts";
import { sortKeys } from "./sort-key.ts";

/** Bytes of JSON text. MongoDB's own limit is 16 MiB of BSON, which takes more room where arrays are long. */
export const DOCUMENT_BYTES_MAX: number = 12 * 1024 * 1024;

/**
 * The `first` of a deleted row: after every checkpoint. The row stays a while, so that an older
 * version that comes late from a writer given up for dead does not bring the record back.
 */
export const GONE: number = Number.MAX_SAFE_INTEGER;

type Row = { _id: string } & Document;
type Write = AnyBulkWriteOperation<Row>;

const ROWS_AT_ONCE = 1_000;
const DUPLICATE_KEY = 11_000;

/**
 * Writes a delivery: rows first, then the checkpoint; there is no transaction over both.
 *
 * A row's `first` is the sequence at which its record came to be, and a reader sees rows whose `first` is
 * at or below the checkpoint: new records of a delivery that was cut off are not there yet. Every write is
 * fenced by the row's sequence, so that it may be repeated, and an older version changes nothing.
 */
export async function applyDelivery(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  delivery: Delivery,
): Promise<void> {
  const { rows, checkpoint } = await preparedCollection(call, collection);
  const now = Date.now();
  // All of it is made before anything is written: a record that cannot be kept leaves nothing behind.
  const made = delivery.batches.map((batch) =>
    batchRows(collection, batch).filter(({ sequence }) => sequence > checkpoint),
  );
  for (const [index, batch] of made.entries()) {
    // Inserting is several times faster than an update that may insert; asking FerretDB is slower than trying.
    const isNew = delivery.batches[index]?.isNew === true || call.server.product === "FerretDB";
    const ids = isNew ? [] : batch.map(({ id }) => id);
    const known = await knownIds(call, rows, ids);
    const writes = batch.map((row): Write => {
      if (row.stored === undefined) return removal(row, now);
      return known.has(row.id) ? replacement(row) : { insertOne: { document: rowOf(row) } };
    });
    const present = await write(call, rows, writes);
    // Somebody else inserted these meanwhile; whoever has the higher sequence stays.
    await write(
      call,
      rows,
      batch.filter(({ id }) => present.has(id)).map((row) => replacement(row)),
    );
  }
  if (delivery.checkpoint > checkpoint) await noteCheckpoint(call, collection, delivery.checkpoint);
}

/** Makes rows equal to the batch, whatever is stored; they are seen at once. */
export async function repairRows(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  batch: RecordBatch,
): Promise<void> {
  const { rows } = await preparedCollection(call, collection);
  const writes = batchRows(collection, batch).map((row): Write => {
    const filter = { _id: row.id };
    if (row.stored === undefined) return { deleteOne: { filter } };
    return { replaceOne: { filter, replacement: { ...rowOf(row), first: 0 }, upsert: true } };
  });
  await write(call, rows, writes);
}

interface NewRow {
  readonly id: string;
  readonly sequence: number;
  /** The record's members and sort keys; `undefined` where it is deleted. */
  readonly stored: Document | undefined;
}

function batchRows(
  collection: Collection<DocumentPlacement>,
  batch: RecordBatch,
): readonly NewRow[] {
  const paths = keyPaths(collection).map(pathNames);
  return batch.ids.map((id, index) => ({
    id,
    sequence: batch.sequences[index] ?? 0,
    stored: batch.removed[index] === 1 ? undefined : storedOf(batch, index, paths),
  }));
}

async function knownIds(
  { timed }: MongoCall,
  rows: MongoDocuments,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  for (let from = 0; from < ids.length; from += ROWS_AT_ONCE) {
    const part = { _id: { $in: ids.slice(from, from + ROWS_AT_ONCE) } };
    const found = rows.find(part, { projection: { _id: 1 }, ...timed });
    for await (const { _id } of found) known.add(_id);
  }
  return known;
}

function storedOf(
  batch: RecordBatch,
  index: number,
  paths: readonly (readonly string[])[],
): Document {
  const bytes = recordText(batch, index);
  if (bytes.byteLength > DOCUMENT_BYTES_MAX) {
    throw new StoreError(
      "limit",
      `a document of ${bytes.byteLength} bytes is over the limit of ${DOCUMENT_BYTES_MAX}`,
    );
  }
  const stored = toStored(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"),
  );
  if (paths.length === 0) return stored;
  const fields = fromStored(stored);
  const keys = paths.map((names, number) => [keyName(number), sortKeys(fields, names)] as const);
  return { ...stored, keys: Object.fromEntries(keys) };
}

function rowOf({ id, sequence, stored }: NewRow): Row {
  return { _id: id, sequence, first: sequence, ...stored };
}

function replacement({ id, sequence, stored = {} }: NewRow): Write {
  const { digits } = stored;
  return {
    updateOne: {
      filter: { _id: id, sequence: { $lt: sequence } },
      update: {
        $set: { sequence, ...stored },
        // A record that was there stays visible; one that comes back after its deletion is new.
        $min: { first: sequence },
        $unset: { at: "", ...(digits === undefined ? { digits: "" } : {}) },
      },
      upsert: true,
    },
  };
}

function removal({ id, sequence }: NewRow, now: number): Write {
  return {
    updateOne: {
      filter: { _id: id, sequence: { $lt: sequence } },
      update: {
        $set: { sequence, first: GONE, at: now },
        $unset: { record: "", digits: "", keys: "" },
      },
      upsert: true,
    },
  };
}

/**
 * Writes rows in any order. Answers the ids of those that were there already: inserted by another, or
 * with a sequence that an update does not replace.
 */
async function write(
  { timed }: MongoCall,
  rows: MongoDocuments,
  writes: readonly Write[],
): Promise<ReadonlySet<string>> {
  const present = new Set<string>();
  for (let from = 0; from < writes.length; from += ROWS_AT_ONCE) {
    const part = writes.slice(from, from + ROWS_AT_ONCE);
    for (const index of await duplicates(rows.bulkWrite(part, { ordered: false, ...timed }))) {
      const one = part[index];
      if (one !== undefined && "insertOne" in one) present.add(one.insertOne.document._id);
    }
  }
  return present;
}

/** The writes of a bulk that were refused because the row is there. */
async function duplicates(writing: Promise<BulkWriteResult>): Promise<readonly number[]> {
  try {
    await writing;
    return [];
  } catch (cause) {
    const errors = writeErrors(cause);
    if (errors.length === 0) throw cause;
    const refused = errors.find(({ code }) => code !== DUPLICATE_KEY);
    if (refused !== undefined) {
      throw new StoreError("refused", `MongoDB refused a row: ${refused.errmsg}`, { cause });
    }
    return errors.map(({ index }) => index);
  }
}

interface RowError {
  readonly index: number;
  readonly code: number;
  readonly errmsg: string;
}

function writeErrors(cause: unknown): readonly RowError[] {
  if (!(cause instanceof Error) || !("writeErrors" in cause)) return [];
  const { writeErrors: errors } = cause;
  const list: readonly unknown[] = Array.isArray(errors) ? errors : [errors];
  return list.filter(isRowError);
}

function isRowError(error: unknown): error is RowError {
  return typeof error === "object" && error !== null && "code" in error && "errmsg" in error;
}
