import type {
  AnyBulkWriteOperation,
  BulkWriteResult,
  Document,
  MongoBulkWriteError,
} from "mongodb";

import type { DocumentPlacement } from "@custody/contract/placement";

import { rowConcern } from "../drivers/mongodb.ts";
import type { MongoCall, MongoDocuments } from "../drivers/mongodb.ts";
import { DUPLICATE_KEY, serverError } from "../drivers/mongodb-errors.ts";
import { refuseGap } from "../delivery-start.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { recordText } from "../record-batch.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import { keyName, keyPaths, noteCheckpoint, preparedCollection } from "./mongodb-collection.ts";
import { fromStored, toStored } from "./mongodb-record.ts";
import type { StoredRecord } from "./mongodb-record.ts";
import { pathNames } from "./path-values.ts";
import { sortKeys } from "./sort-key.ts";

/** Bytes of JSON text. As BSON a document may take more room, and MongoDB's own limit is met before. */
export const DOCUMENT_BYTES_MAX: number = 12 * 1024 * 1024;

// mongodb.com/docs/manual/reference/limits: 16 MiB of BSON, of which an update takes some for its condition.
const ROW_BYTES_MAX = 16 * 1024 * 1024 - 16 * 1024;
// `1,` in an array takes up to 15 bytes as BSON, and keys repeat texts twice: a smaller text cannot be too large.
const TEXT_BYTES_SAFE = 1024 * 1024;

/**
 * The `first` of a deleted row: after every checkpoint. The row stays a while, so that an older
 * version that comes late from a writer given up for dead does not bring the record back.
 */
export const GONE: number = Number.MAX_SAFE_INTEGER;

type Row = { _id: string } & Document;
type Write = AnyBulkWriteOperation<Row>;

const ROWS_AT_ONCE = 1_000;

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
  const { rows, checkpoint, build } = await preparedCollection(call, collection);
  refuseGap(collection, delivery, checkpoint);
  const now = Date.now();
  // All of it is made before anything is written: a record that cannot be kept leaves nothing behind.
  const made = delivery.batches.map((batch) =>
    batchRows(call, collection, batch).filter(({ sequence }) => sequence > checkpoint),
  );
  for (const [index, batch] of made.entries()) {
    // Inserting is several times faster than an update that may insert; where nothing is indexed, asking
    // is slower than trying.
    const isNew = delivery.batches[index]?.isNew === true || !call.server.hasIndexes;
    const ids = isNew ? [] : batch.map(({ id }) => id);
    const known = await knownIds(call, rows, ids);
    const first = batch.map((row): Write => {
      if (row.stored === undefined || known.has(row.id)) return replacement(row, { now });
      return { insertOne: { document: rowOf(row) } };
    });
    await writeFenced(call, rows, { batch, first, now });
  }
  if (delivery.checkpoint > checkpoint) {
    const { after = 0 } = delivery;
    await noteCheckpoint(call, collection, { build, after, checkpoint: delivery.checkpoint });
  }
}

/** Makes rows equal to the batch, whatever is stored; they are seen at once. */
export async function repairRows(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  batch: RecordBatch,
): Promise<void> {
  const { rows } = await preparedCollection(call, collection);
  const writes = batchRows(call, collection, batch).map((row): Write => {
    const filter = { _id: row.id };
    if (row.stored === undefined) return { deleteOne: { filter } };
    return { replaceOne: { filter, replacement: { ...rowOf(row), first: 0 }, upsert: true } };
  });
  const met = await write(call, rows, writes);
  // An upsert met another's, which is there now.
  const again = await write(
    call,
    rows,
    met.flatMap((place) => writes.slice(place, place + 1)),
  );
  if (again.length === 0) return;
  throw new StoreError("unavailable", `${collection.name} is written and emptied by others`);
}

interface Fenced {
  readonly batch: readonly NewRow[];
  /** What to try first for each. */
  readonly first: readonly Write[];
  readonly now: number;
}

/**
 * Writes rows unless a newer version is there.
 *
 * A row that is there already was inserted meanwhile by another writer, or is as new: an update whose
 * condition is not met tries to insert, and so does one that comes just before another's insert. Tried
 * again, it meets the row; what is refused then too is tried without inserting, and stays if it is newer.
 */
async function writeFenced(
  call: MongoCall,
  rows: MongoDocuments,
  { batch, first, now }: Fenced,
): Promise<void> {
  let left = batch;
  let writes = first;
  for (const isLast of [false, true]) {
    const met = await write(call, rows, writes);
    left = met.flatMap((place) => left.slice(place, place + 1));
    if (left.length === 0) return;
    writes = left.map((row) => replacement(row, { now, isUpsert: !isLast }));
  }
  await write(call, rows, writes);
}

interface NewRow {
  readonly id: string;
  readonly sequence: number;
  /** The record's members and sort keys; `undefined` where it is deleted. */
  readonly stored: Document | undefined;
}

function batchRows(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  batch: RecordBatch,
): readonly NewRow[] {
  const paths = keyPaths(collection).map(pathNames);
  return batch.ids.map((id, index) => ({
    id,
    sequence: batch.sequences[index] ?? 0,
    stored:
      batch.removed[index] === 1 ? undefined : storedOf(call, recordText(batch, index), paths),
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
  { bsonBytes }: MongoCall,
  bytes: Uint8Array,
  paths: readonly (readonly string[])[],
): Document {
  const { byteLength } = bytes;
  if (byteLength > DOCUMENT_BYTES_MAX) throw tooLarge(byteLength, DOCUMENT_BYTES_MAX);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, byteLength).toString("utf8");
  const stored = withKeys(toStored(text), paths);
  if (byteLength <= TEXT_BYTES_SAFE) return stored;
  const size = bsonBytes(stored);
  if (size > ROW_BYTES_MAX) throw tooLarge(size, ROW_BYTES_MAX);
  return stored;
}

function withKeys(stored: StoredRecord, paths: readonly (readonly string[])[]): Document {
  if (paths.length === 0) return stored;
  const fields = fromStored(stored);
  const keys = paths.map((names, number) => [keyName(number), sortKeys(fields, names)] as const);
  return { ...stored, keys: Object.fromEntries(keys) };
}

function tooLarge(bytes: number, bytesMax: number): StoreError {
  return new StoreError("limit", `a document of ${bytes} bytes is over the limit of ${bytesMax}`);
}

function rowOf({ id, sequence, stored }: NewRow): Row {
  return { _id: id, sequence, first: sequence, ...stored };
}

/** The new version, or the mark that the record is gone, unless a version as new is there. */
function replacement(
  { id, sequence, stored }: NewRow,
  { now, isUpsert = true }: { readonly now: number; readonly isUpsert?: boolean },
): Write {
  const filter = { _id: id, sequence: { $lt: sequence } };
  const update =
    stored === undefined
      ? {
          $set: { sequence, first: GONE, at: now },
          $unset: { record: "", digits: "", keys: "" },
        }
      : {
          $set: { sequence, ...stored },
          // A record that was there stays visible; one that comes back after its deletion is new.
          $min: { first: sequence },
          $unset: { at: "", ...(stored["digits"] === undefined ? { digits: "" } : {}) },
        };
  return { updateOne: { filter, update, upsert: isUpsert } };
}

/** Writes rows in any order. Answers the places of those that were refused because the row is there. */
async function write(
  call: MongoCall,
  rows: MongoDocuments,
  writes: readonly Write[],
): Promise<readonly number[]> {
  const met: number[] = [];
  const isInsert = writes.every((one) => "insertOne" in one);
  const step = isInsert ? ROWS_AT_ONCE : call.server.updatesAtOnceMax;
  for (let from = 0; from < writes.length; from += step) {
    const part = writes.slice(from, from + step);
    const options = { ordered: false, ...rowConcern(call.server), ...call.timed };
    for (const place of await duplicates(rows.bulkWrite(part, options))) met.push(from + place);
  }
  return met;
}

/** The writes of a bulk that were refused because the row is there. */
async function duplicates(writing: Promise<BulkWriteResult>): Promise<readonly number[]> {
  try {
    await writing;
    return [];
  } catch (cause) {
    if (!isBulkError(cause)) throw cause;
    const errors = [cause.writeErrors].flat();
    const refused = errors.find(({ code }) => code !== DUPLICATE_KEY);
    // Beside rows that are there a majority may have been missed, which is told apart from them.
    const failure = refused ?? cause.result.getWriteConcernError();
    if (failure !== undefined) throw serverError("write rows", failure);
    return errors.map(({ index }) => index);
  }
}

function isBulkError(cause: unknown): cause is MongoBulkWriteError {
  return cause instanceof Error && cause.name === "MongoBulkWriteError";
}
