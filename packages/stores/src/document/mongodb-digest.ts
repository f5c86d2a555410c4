import type { DocumentPlacement } from "@custody/contract/placement";

import { DigestSums, hashText, rowHash } from "../content-form.ts";
import type { MongoCall } from "../drivers/mongodb.ts";
import { StoreError } from "../errors.ts";
import type { BucketDigest, Collection, Page, RowDigest } from "../projected-store.ts";
import { documentContent } from "./content.ts";
import { heldCollection } from "./mongodb-collection.ts";
import { visible } from "./mongodb-find.ts";
import { fromStored } from "./mongodb-record.ts";
import type { StoredRecord } from "./mongodb-record.ts";

const BATCH_SIZE = 500;
const LIST_MAX = 10_000;

const contentOf = documentContent({});

/** Digests every row as it is stored, streamed: one batch of rows is in memory at a time. */
export async function digestRows(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  bucketSize: number,
): Promise<readonly BucketDigest[]> {
  const held = await heldCollection(call, collection);
  if (held === undefined) return [];
  const sums = new DigestSums(bucketSize);
  const cursor = held.rows.find(visible(held), { batchSize: BATCH_SIZE, ...call.timed });
  for await (const row of cursor) {
    const sequence = Number(row["sequence"]);
    sums.add(sequence, rowHash(row._id, sequence, contentOfRow(row)));
  }
  return sums.digests();
}

/** One page of row digests, by sequence then id. */
export async function listRows(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  range: {
    readonly fromSequence: number;
    readonly toSequence: number;
    readonly limit: number;
    readonly cursor?: string;
  },
): Promise<Page<RowDigest>> {
  const held = await heldCollection(call, collection);
  if (held === undefined) return { rows: [] };
  const limit = Math.min(range.limit, LIST_MAX);
  const within = { sequence: { $gte: range.fromSequence, $lt: range.toSequence } };
  const behind = range.cursor === undefined ? {} : behindRow(range.cursor);
  const found = await held.rows
    .find(
      { $and: [visible(held), within, behind] },
      { sort: { sequence: 1, _id: 1 }, ...call.timed },
    )
    .limit(limit + 1)
    .toArray();
  const rows = found.slice(0, limit).map((row) => {
    const sequence = Number(row["sequence"]);
    return {
      id: row._id,
      sequence,
      hash: hashText(rowHash(row._id, sequence, contentOfRow(row))),
    };
  });
  const last = found.length > limit ? rows.at(-1) : undefined;
  if (last === undefined) return { rows };
  const cursor = Buffer.from(JSON.stringify([last.sequence, last.id])).toString("base64url");
  return { rows, cursor };
}

function contentOfRow(row: object): string {
  return contentOf(fromStored(row as unknown as StoredRecord));
}

function behindRow(cursor: string): object {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (Array.isArray(parts) && typeof parts[0] === "number" && typeof parts[1] === "string") {
      const [sequence, id] = parts as [number, string];
      return { $or: [{ sequence: { $gt: sequence } }, { sequence, _id: { $gt: id } }] };
    }
  } catch {
    // Falls through: what is no JSON is no cursor.
  }
  throw new StoreError("refused", "not a cursor");
}
