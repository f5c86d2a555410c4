import type { FindCursor, Sort } from "mongodb";

import type { Filter } from "@custody/contract/filter";
import type { DocumentPlacement } from "@custody/contract/placement";

import type { MongoCall, MongoQuery, MongoRow as Row } from "../drivers/mongodb.ts";
import { isCommandNotFound } from "../drivers/mongodb-errors.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { queryMark, readCursor, writeCursor } from "./cursor.ts";
import type { Position } from "./cursor.ts";
import { FirstRows } from "./first-rows.ts";
import { heldCollection, keyName, keyPaths, plainPath } from "./mongodb-collection.ts";
import type { HeldCollection } from "./mongodb-collection.ts";
import { compileFilter } from "./mongodb-filter.ts";
import type { CompiledFilter } from "./mongodb-filter.ts";
import { fromStored, storedName, storedText } from "./mongodb-record.ts";
import { planLines } from "./mongodb-plan.ts";
import type { StoredRecord } from "./mongodb-record.ts";
import { meetsFilter, pathNames } from "./path-values.ts";
import type { DocumentPage, DocumentQuery, FoundDocument } from "./port.ts";
import { sortKeys } from "./sort-key.ts";

/** Documents in one page at most. */
export const PAGE_MAX = 1_000;
const SORT_PATHS_MAX = 8;
// Rows the server sends at once where each is looked at here.
const BATCH_SIZE = 500;

type SortPath = NonNullable<DocumentQuery["sort"]>[number];

/** One page: by the server's index where the sort's paths have one, else by looking at every row's keys. */
export async function findDocuments(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  query: DocumentQuery,
): Promise<DocumentPage> {
  const { sort = [], limit } = query;
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX) {
    throw new StoreError("limit", `a page holds 1 to ${PAGE_MAX} documents, not ${limit}`);
  }
  if (sort.length > SORT_PATHS_MAX) {
    throw new StoreError("limit", `a query sorts by at most ${SORT_PATHS_MAX} paths`);
  }
  const held = await heldCollection(call, collection);
  if (held === undefined) return { documents: [], checkpoint: 0 };
  const mark = queryMark(collection, query);
  const position =
    query.cursor === undefined ? undefined : readCursor(mark, query.cursor, sort.length);
  const search = new PageSearch(call, { held, collection, query, position });
  const found = await search.rows(limit + 1);
  const last = found.length > limit ? found[limit - 1] : undefined;
  return {
    documents: found.slice(0, limit).map(({ document }) => document),
    checkpoint: held.checkpoint,
    ...(last === undefined ? {} : { cursor: writeCursor(mark, last.position) }),
  };
}

/** How many rows meet the filter. */
export async function countDocuments(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  filter: Filter,
): Promise<number> {
  const held = await heldCollection(call, collection);
  if (held === undefined) return 0;
  if (filter.op === "and" && filter.filters.length === 0) return await countVisible(call, held);
  const compiled = compileFilter(filter, call.server);
  const query = { $and: [visible(held), compiled.query] };
  if (compiled.isExact) return held.rows.countDocuments(query, call.timed);
  let count = 0;
  const cursor = held.rows.find(query, {
    projection: RECORD,
    batchSize: BATCH_SIZE,
    ...call.timed,
  });
  for await (const row of cursor) {
    if (meetsFilter(fromStored(row as unknown as StoredRecord), filter)) count += 1;
  }
  return count;
}

/** The server's plan for the first page, a line for each stage. */
export async function explainQuery(
  call: MongoCall,
  collection: Collection<DocumentPlacement>,
  query: DocumentQuery,
): Promise<readonly string[]> {
  const held = await heldCollection(call, collection);
  if (held === undefined) return [];
  const search = new PageSearch(call, { held, collection, query, position: undefined });
  return [...search.remarks(), ...(await explained(search.cursor().limit(query.limit)))];
}

/** How many rows a reader may see, by the index on sequences: the rows themselves are not read. */
export async function countVisible(
  { server, timed }: MongoCall,
  held: HeldCollection,
): Promise<number> {
  const { rows, checkpoint } = held;
  if (!server.hasIndexes) return await rows.countDocuments(visible(held), timed);
  const read = { $lte: checkpoint };
  const counts = await Promise.all([
    rows.countDocuments({ sequence: read }, timed),
    rows.countDocuments({ at: { $gte: 0 }, sequence: read }, timed),
    // Changed by a delivery that is under way, and there before it.
    rows.countDocuments({ sequence: { $gt: checkpoint }, first: read }, timed),
  ]);
  const [all, gone, changing] = counts;
  return all - gone + changing;
}

async function explained(cursor: FindCursor<Row>): Promise<readonly string[]> {
  try {
    const plan = await cursor.explain("queryPlanner");
    return planLines(plan);
  } catch (cause) {
    if (!isCommandNotFound(cause)) throw cause;
    return ["the server does not tell its plans"];
  }
}

/** What a reader at this checkpoint may see. */
export function visible({ checkpoint }: HeldCollection): MongoQuery {
  return { first: { $lte: checkpoint } };
}

const RECORD = { _id: 1, sequence: 1, record: 1, digits: 1 } as const;

interface FoundRow {
  readonly document: FoundDocument;
  readonly position: Position;
}

interface PageParts {
  readonly held: HeldCollection;
  readonly collection: Collection<DocumentPlacement>;
  readonly query: DocumentQuery;
  readonly position: Position | undefined;
}

/** The rows of one page, in order. */
class PageSearch {
  readonly #call: MongoCall;
  readonly #parts: PageParts;
  readonly #filter: CompiledFilter;
  /** The field of each sort path's keys; none where a path is not indexed. */
  readonly #fields: readonly string[] | undefined;

  constructor(call: MongoCall, parts: PageParts) {
    this.#call = call;
    this.#parts = parts;
    this.#filter = compileFilter(parts.query.filter, call.server);
    const paths = keyPaths(parts.collection);
    const fields = this.#sort.map(({ path, direction }) => {
      const number = paths.indexOf(plainPath(path));
      return number === -1 ? undefined : `keys.${keyName(number)}.${direction}`;
    });
    this.#fields = fields.every((field) => field !== undefined) ? fields : undefined;
  }

  remarks(): readonly string[] {
    return [
      ...(this.#fields === undefined
        ? ["the order is made of every row's values, as no index of the type has its paths"]
        : []),
      ...(this.#filter.isExact ? [] : ["each row found is looked at, as the server cannot tell"]),
    ];
  }

  /** At most `wanted` rows behind the position. */
  async rows(wanted: number): Promise<readonly FoundRow[]> {
    if (this.#fields === undefined) return await this.#sortedHere(wanted);
    const found: FoundRow[] = [];
    const cursor = this.cursor();
    if (this.#filter.isExact) cursor.limit(wanted);
    for await (const row of cursor) {
      if (!this.#meets(row)) continue;
      found.push({ document: documentOf(row), position: this.#positionOf(row) });
      if (found.length === wanted) break;
    }
    return found;
  }

  /** The rows behind the position in the server's order; by id alone where the order is made here. */
  cursor(): FindCursor<Row> {
    const { held, position } = this.#parts;
    const fields = this.#fields ?? [];
    const order: [string, 1 | -1][] = fields.map((field, index) => [
      field,
      this.#sort[index]?.direction === "desc" ? -1 : 1,
    ]);
    const isHere = this.#fields === undefined;
    const behind = position === undefined || isHere ? {} : this.#behind(fields, position);
    const query = { $and: [visible(held), this.#filter.query, behind] };
    const sort: Sort = [...order, ["_id", 1]];
    const projection = { ...RECORD, keys: 1 };
    return held.rows.find(query, {
      sort,
      projection,
      batchSize: BATCH_SIZE,
      // The keys of several paths have one index only where the placement says so.
      allowDiskUse: true,
      ...this.#call.timed,
    });
  }

  get #sort(): readonly SortPath[] {
    return this.#parts.query.sort ?? [];
  }

  /** Equal in all keys with a greater id, or equal in some and beyond in the next. */
  #behind(fields: readonly string[], { keys, id }: Position): MongoQuery {
    const equal = fields.map((field, index) => ({ [field]: String(keys[index]) }));
    const branches: MongoQuery[] = [{ $and: [...equal, { _id: { $gt: id } }] }];
    for (const [index, field] of fields.entries()) {
      const operator = this.#sort[index]?.direction === "desc" ? "$lt" : "$gt";
      const beyond = { [field]: { [operator]: String(keys[index]) } };
      branches.push({ $and: [...equal.slice(0, index), beyond] });
    }
    return { $or: branches };
  }

  #meets(row: Row): boolean {
    if (this.#filter.isExact) return true;
    return meetsFilter(fromStored(row as unknown as StoredRecord), this.#parts.query.filter);
  }

  #positionOf(row: Row): Position {
    const keys: unknown = row["keys"];
    const paths = keyPaths(this.#parts.collection);
    const own = this.#sort.map(({ path, direction }) =>
      String(member(member(keys, keyName(paths.indexOf(plainPath(path)))), direction)),
    );
    return { id: row._id, keys: own };
  }

  /** Looks at the sort keys of every row that meets the filter, then reads the first ones behind the position. */
  async #sortedHere(wanted: number): Promise<readonly FoundRow[]> {
    const { held, position } = this.#parts;
    const names = this.#sort.map(({ path }) => pathNames(path));
    const first = new FirstRows(wanted, this.#sort, position);
    const query = { $and: [visible(held), this.#filter.query] };
    const projection = this.#filter.isExact ? projectionOf(names) : RECORD;
    const cursor = held.rows.find(query, {
      projection,
      batchSize: BATCH_SIZE,
      ...this.#call.timed,
    });
    for await (const row of cursor) {
      if (!this.#meets(row)) continue;
      const fields = fromStored(row as unknown as StoredRecord);
      const keys = names.map((path, index) => {
        const { direction = "asc" } = this.#sort[index] ?? {};
        return sortKeys(fields, path)[direction];
      });
      first.add({ id: row._id, keys });
    }
    return await this.#read(first.rows());
  }

  /** The documents at these positions; those that went away meanwhile are left out. */
  async #read(positions: readonly Position[]): Promise<readonly FoundRow[]> {
    const documents = new Map<string, FoundDocument>();
    const ids = { _id: { $in: positions.map(({ id }) => id) } };
    const { held } = this.#parts;
    const query = { $and: [visible(held), ids] };
    const cursor = held.rows.find(query, { projection: RECORD, ...this.#call.timed });
    for await (const row of cursor) documents.set(row._id, documentOf(row));
    return positions.flatMap((position) => {
      const document = documents.get(position.id);
      return document === undefined ? [] : [{ document, position }];
    });
  }
}

/** The members at the paths, and nothing beside them. */
function projectionOf(paths: readonly (readonly string[])[]): Readonly<Record<string, 1>> {
  const fields = paths.map((names) => `record.${names.map(storedName).join(".")}`);
  // Of two paths, one within the other, a server takes the outer one alone.
  const outer = fields.filter((field) => !fields.some((other) => field.startsWith(`${other}.`)));
  return { digits: 1, ...Object.fromEntries(outer.map((field) => [field, 1 as const])) };
}

function documentOf(row: Row): FoundDocument {
  const text = storedText(row as unknown as StoredRecord);
  return { id: row._id, sequence: Number(row["sequence"]), text };
}

function member(value: unknown, name: string | number): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string | number, unknown>>)[name]
    : undefined;
}
