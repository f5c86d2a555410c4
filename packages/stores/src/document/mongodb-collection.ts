import { canonicalJson } from "@custody/contract/json";
import type { DocumentPlacement } from "@custody/contract/placement";

import { DURABLE } from "../drivers/mongodb.ts";
import type { MongoCall, MongoDocuments } from "../drivers/mongodb.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { storedName } from "./mongodb-record.ts";
import { pathNames } from "./path-values.ts";

/** A collection as MongoDB holds it. */
export interface HeldCollection {
  readonly rows: MongoDocuments;
  /** Everything up to here is in it. */
  readonly checkpoint: number;
}

/** The paths a collection keeps sort keys of, in the order of their numbers. */
export function keyPaths(collection: Collection<DocumentPlacement>): readonly string[] {
  return [...new Set(indexesOf(collection).flat())];
}

/** The member of a row's `keys` in which the sort keys of the path of that number lie. */
export function keyName(number: number): string {
  return `k${number}`;
}

/** A path without its `[]`, by which indexes and sorts name the same thing. */
export function plainPath(path: string): string {
  return pathNames(path).join(".");
}

/** The rows of a collection, whether or not it was ever prepared. `redteam.session_evidence` for generation 1. */
export function rowsOf(
  { database }: MongoCall,
  { name, generation }: Pick<Collection<unknown>, "name" | "generation">,
): MongoDocuments {
  const plain = name.replace("/", ".");
  return database.collection(generation === 1 ? plain : `${plain}#${generation}`);
}

/** What is noted of every collection: its mapping and its checkpoint. */
export function notes({ database }: MongoCall): MongoDocuments {
  return database.collection("_collections");
}

/** The collection, when it was prepared. */
export async function heldCollection(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
): Promise<HeldCollection | undefined> {
  const note = await notes(call).findOne({ _id: noteId(collection) }, call.timed);
  if (note === null) return undefined;
  return { rows: rowsOf(call, collection), checkpoint: Number(note["checkpoint"]) };
}

/** The collection, made with its indexes where it is not there. @throws StoreError `refused` for another mapping. */
export async function preparedCollection(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
): Promise<HeldCollection> {
  const _id = noteId(collection);
  const known = await notes(call).findOne({ _id }, call.timed);
  const mapping = canonicalJson(collection.placements);
  const rows = rowsOf(call, collection);
  if (known !== null) {
    if (known["mapping"] !== mapping) {
      throw new StoreError("refused", `${collection.name} is held with another mapping`);
    }
    return { rows, checkpoint: Number(known["checkpoint"]) };
  }
  // FerretDB 1 makes indexes of names that it cannot quote, and reads without them all the same.
  if (call.server.product !== "FerretDB")
    await rows.createIndexes(indexSpecs(collection), call.timed);
  const { name, generation } = collection;
  // Another process may have noted it meanwhile; what it noted stays.
  const note = { $setOnInsert: { name, generation, mapping, checkpoint: 0 } };
  await notes(call).updateOne({ _id }, note, { upsert: true, ...call.timed });
  return { rows, checkpoint: 0 };
}

/** Notes that everything up to the checkpoint is in the collection; an older one changes nothing. */
export async function noteCheckpoint(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  checkpoint: number,
): Promise<void> {
  const update = { $max: { checkpoint } };
  await notes(call).updateOne({ _id: noteId(collection) }, update, { ...DURABLE, ...call.timed });
}

/** The note goes first: what is half dropped then counts as never prepared. */
export async function dropCollection(
  call: MongoCall,
  collection: Pick<Collection<unknown>, "name" | "generation">,
): Promise<void> {
  await notes(call).deleteOne({ _id: noteId(collection) }, { ...DURABLE, ...call.timed });
  try {
    await rowsOf(call, collection).drop(call.timed);
  } catch (cause) {
    // Servers before MongoDB 7 say so when there is none.
    if (!isNotFound(cause)) throw cause;
  }
}

const NAMESPACE_NOT_FOUND = 26;

function isNotFound(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false;
  // mongo-java-server gives no code.
  return "code" in cause && cause.code !== undefined
    ? cause.code === NAMESPACE_NOT_FOUND
    : cause.message === "ns not found";
}

function noteId({ name, generation }: Pick<Collection<unknown>, "name" | "generation">): string {
  return `${name}#${generation}`;
}

function indexesOf({ placements }: Collection<DocumentPlacement>): readonly (readonly string[])[] {
  const [placement] = Object.values(placements);
  return (placement?.indexes ?? []).map((paths) => paths.map(plainPath));
}

interface IndexSpec {
  readonly key: Record<string, 1 | -1>;
  readonly name: string;
}

/**
 * For each path an index on its values, which serves filters and steps through arrays; for each index
 * of the placement one on sort keys. Values of two paths are never in one index: MongoDB refuses a
 * document that has arrays at both.
 */
function indexSpecs(collection: Collection<DocumentPlacement>): IndexSpec[] {
  const paths = keyPaths(collection);
  const specs: IndexSpec[] = [{ key: { sequence: 1, _id: 1 }, name: "sequence" }];
  for (const [number, path] of paths.entries()) {
    const field = pathNames(path).map(storedName).join(".");
    specs.push({ key: { [`record.${field}`]: 1 }, name: `values${number}` });
  }
  for (const [number, index] of indexesOf(collection).entries()) {
    const fields = index.map((path) => `keys.${keyName(paths.indexOf(path))}`);
    const ascending = fields.map((field) => [`${field}.asc`, 1] as const);
    specs.push({ key: { ...Object.fromEntries(ascending), _id: 1 }, name: `ascending${number}` });
    const [only] = fields;
    if (fields.length > 1 || only === undefined) continue;
    specs.push({ key: { [`${only}.desc`]: -1, _id: 1 }, name: `descending${number}` });
  }
  return specs;
}
