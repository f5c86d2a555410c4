import { canonicalJson } from "@custody/contract/json";
import type { DocumentPlacement } from "@custody/contract/placement";

import { DURABLE, checkpointConcern } from "../drivers/mongodb.ts";
import { isDuplicateKey, isNamespaceNotFound } from "../drivers/mongodb-errors.ts";
import type { MongoCall, MongoDocuments, MongoRow } from "../drivers/mongodb.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { storedName } from "./mongodb-record.ts";
import { pathNames } from "./path-values.ts";

/** A collection as MongoDB holds it. */
export interface HeldCollection {
  readonly rows: MongoDocuments;
  /** Everything up to here is in it. */
  readonly checkpoint: number;
  /** How often the collection was made: whoever still writes to an earlier one moves no checkpoint of this. */
  readonly build: number;
}

type DocumentCollection = Collection<DocumentPlacement>;
type Named = Pick<Collection<unknown>, "name" | "generation">;

/** The paths a collection keeps sort keys of, in the order of their numbers. */
export function keyPaths(collection: DocumentCollection): readonly string[] {
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

/** A collection that is noted. */
export interface NotedCollection extends HeldCollection, Named {}

/** All collections of the scope, by name. */
export async function notedCollections(call: MongoCall): Promise<readonly NotedCollection[]> {
  const found = await notes(call)
    .find({}, { sort: { _id: 1 }, ...checkpointConcern(call.server), ...call.timed })
    .toArray();
  return found.flatMap((note) => {
    const named = { name: String(note["name"]), generation: Number(note["generation"]) };
    const held = heldOf(call, named, note);
    return held === undefined ? [] : [{ ...named, ...held }];
  });
}

/** The collection, when it was prepared. */
export async function heldCollection(
  call: MongoCall,
  collection: DocumentCollection,
): Promise<HeldCollection | undefined> {
  return heldOf(call, collection, await noteOf(call, collection));
}

// Each attempt loses to another process that makes or discards the collection at the same time.
const ATTEMPTS_MAX = 5;

/** The collection, made with its indexes where it is not there. @throws StoreError `refused` for another mapping. */
export async function preparedCollection(
  call: MongoCall,
  collection: DocumentCollection,
): Promise<HeldCollection> {
  const mapping = canonicalJson(collection.placements);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const note = await noteOf(call, collection);
    const held = heldOf(call, collection, note);
    if (held === undefined) await makeCollection(call, collection, { note, mapping });
    else if (note?.["mapping"] === mapping) return held;
    else throw new StoreError("refused", `${collection.name} is held with another mapping`);
  }
  throw new StoreError("unavailable", `${collection.name} is made and discarded by others`);
}

/**
 * Notes that everything up to the checkpoint is in the collection; an older one changes nothing.
 *
 * @throws StoreError `conflict` when the collection is another's or stands before `after` by now.
 */
export async function noteCheckpoint(
  call: MongoCall,
  collection: DocumentCollection,
  {
    build,
    after,
    checkpoint,
  }: { readonly build: number; readonly after: number; readonly checkpoint: number },
): Promise<void> {
  const { matchedCount } = await notes(call).updateOne(
    { _id: noteId(collection), build, isGone: false, checkpoint: { $gte: after } },
    { $max: { checkpoint } },
    { ...DURABLE, ...call.timed },
  );
  if (matchedCount > 0) return;
  throw new StoreError("conflict", `${collection.name} was made anew while it was written`);
}

/** The note goes first: what is half dropped then counts as never prepared. */
export async function dropCollection(call: MongoCall, collection: Named): Promise<void> {
  const note = await noteOf(call, collection);
  if (note === null) return;
  const build = Number(note["build"]);
  const gone = { $set: { isGone: true, checkpoint: 0 }, $unset: { mapping: "" } } as const;
  await notes(call).updateOne({ _id: noteId(collection), build }, gone, {
    ...DURABLE,
    ...call.timed,
  });
  await dropRows(call, rowsName(collection, build));
}

/** Drops what is left of discarded collections: a writer given up for dead makes a dropped one anew. */
export async function dropRemains(call: MongoCall): Promise<void> {
  const all = await notes(call).find({}, call.timed).toArray();
  if (all.length === 0) return;
  const listed = await call.database
    .listCollections({}, { nameOnly: true, ...call.timed })
    .toArray();
  const names = new Set(listed.map(({ name }) => name));
  for (const note of all) {
    const named = { name: String(note["name"]), generation: Number(note["generation"]) };
    const isGone = note["isGone"] === true;
    for (let build = Number(note["build"]) - (isGone ? 0 : 1); build >= 1; build--) {
      const name = rowsName(named, build);
      if (names.has(name)) await dropRows(call, name);
    }
  }
}

async function dropRows({ database, timed }: MongoCall, name: string): Promise<void> {
  try {
    await database.collection(name).drop(timed);
  } catch (cause) {
    // Servers before MongoDB 7 say so when there is none.
    if (!isNamespaceNotFound(cause)) throw cause;
  }
}

/** Notes the next build of a collection of which there is none; another process may do so first. */
async function makeCollection(
  call: MongoCall,
  collection: DocumentCollection,
  { note, mapping }: { readonly note: MongoRow | null; readonly mapping: string },
): Promise<void> {
  const _id = noteId(collection);
  const before = note === null ? 0 : Number(note["build"]);
  const build = before + 1;
  if (call.server.hasIndexes) {
    const rows = call.database.collection(rowsName(collection, build));
    await rows.createIndexes(indexSpecs(collection), call.timed);
  }
  const { name, generation } = collection;
  const made = { name, generation, mapping, build, checkpoint: 0, isGone: false };
  try {
    await (note === null
      ? notes(call).updateOne(
          { _id },
          { $setOnInsert: made },
          { upsert: true, ...DURABLE, ...call.timed },
        )
      : notes(call).updateOne(
          { _id, build: before, isGone: true },
          { $set: made },
          { ...DURABLE, ...call.timed },
        ));
  } catch (cause) {
    if (!isDuplicateKey(cause)) throw cause;
  }
}

/** What is noted of every collection: its mapping and its checkpoint. */
function notes({ database }: MongoCall): MongoDocuments {
  return database.collection("_collections");
}

async function noteOf(call: MongoCall, collection: Named): Promise<MongoRow | null> {
  const options = { ...checkpointConcern(call.server), ...call.timed };
  return await notes(call).findOne({ _id: noteId(collection) }, options);
}

function heldOf(
  { database }: MongoCall,
  named: Named,
  note: MongoRow | null,
): HeldCollection | undefined {
  if (note === null || note["isGone"] === true) return undefined;
  const build = Number(note["build"]);
  const rows: MongoDocuments = database.collection(rowsName(named, build));
  return { rows, build, checkpoint: Number(note["checkpoint"]) };
}

/** `redteam.session_evidence` for generation 1, with its number for another; `~2` when it was made anew. */
function rowsName({ name, generation }: Named, build: number): string {
  const plain = name.replace("/", ".");
  return `${plain}${generation === 1 ? "" : `#${generation}`}${build === 1 ? "" : `~${build}`}`;
}

function noteId({ name, generation }: Named): string {
  return `${name}#${generation}`;
}

function indexesOf({ placements }: DocumentCollection): readonly (readonly string[])[] {
  const [placement] = Object.values(placements);
  return (placement?.indexes ?? []).map((paths) => paths.map(plainPath));
}

interface IndexSpec {
  readonly key: Record<string, 1 | -1>;
  readonly name: string;
  readonly sparse?: boolean;
}

// MongoDB keeps 64 in a collection (mongodb.com/docs/manual/reference/limits), one of which is that of `_id`.
const INDEXES_MAX = 63;

/**
 * For each path an index on its values, which serves filters and steps through arrays; for each index
 * of the placement one on sort keys. Values of two paths are never in one index: MongoDB refuses a
 * document that has arrays at both. Where there are too many, those of orders are left out: answers
 * are the same, and slower.
 */
export function indexSpecs(collection: DocumentCollection): IndexSpec[] {
  const paths = keyPaths(collection);
  const specs: IndexSpec[] = [
    { key: { sequence: 1, _id: 1 }, name: "sequence" },
    // Deleted rows alone have it.
    { key: { at: 1 }, name: "gone", sparse: true },
  ];
  const descending: IndexSpec[] = [];
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
    descending.push({ key: { [`${only}.desc`]: -1, _id: 1 }, name: `descending${number}` });
  }
  return [...specs, ...descending].slice(0, INDEXES_MAX);
}
