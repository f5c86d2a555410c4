import { parseFilter } from "@custody/contract/filter";
import type { Filter } from "@custody/contract/filter";
import { parseJson } from "@custody/contract/json";
import { asText, compileValue } from "@custody/contract/value-expression";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { DocumentQuery } from "@custody/stores/document/port";
import type { Scope } from "@custody/stores/scope";
import type { SearchQuery } from "@custody/stores/search/port";
import type { SearchExpression } from "@custody/stores/search/expression";
import { parseSearch } from "@custody/stores/search/query-language";

import type { Answers } from "../cache/answers.ts";
import type {
  Custody,
  FindOptions,
  FoundPage,
  FoundRecord,
  SearchAnswer,
  SearchOptions,
} from "../custody.ts";
import { CoreError } from "../errors.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import { tenantScope } from "../projection/owner-scope.ts";
import type { CompiledType } from "../records/compiled-type.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { ProjectedRole, ProjectedStoresByRole, Stores } from "../stores.ts";
import type { Readiness, ReadyCollection } from "./readiness.ts";

export interface ReadsParts {
  readonly registry: TypeRegistry;
  readonly stores: Stores;
  readonly journal: JournalStore;
  readonly reader: JournalReader;
  readonly readiness: Readiness;
  readonly answers: Answers;
}

type ReadMethods = Pick<
  Custody,
  "get" | "find" | "count" | "search" | "series" | "aggregate" | "table" | "graph" | "sql"
>;

const PAGE_DEFAULT = 100;
const HITS_DEFAULT = 10;
// A build is dropped once in a rebuild; a store that goes back again and again is no store.
const TRIES_MAX = 4;
const HIGHLIGHT_LENGTH = 240;
const MARK = { open: "«", close: "»" };
/** Bounds of a SELECT that names none. */
export const SQL_DEFAULTS = { rowsMax: 1_000, timeMs: 30_000 } as const;

/** Makes the reading half of the library: each method finds its store, waits as asked, and answers. */
export function createReads(reads: Reads, parts: Pick<ReadsParts, "stores">): ReadMethods {
  return {
    get: (scope, type, id) => reads.get(scope, type, id),
    find: (scope, type, options) => reads.find(scope, type, options),
    count: (scope, type, options) => reads.count(scope, type, options),
    search: (scope, type, options) => reads.search(scope, type, options),
    series: (scope, type, { after, ...query }) =>
      reads.ask(scope, { role: "series", name: type, after }, (at) =>
        reads.answer(at, "query", query, () => at.store.query(at.scope, at.collection, query)),
      ),
    aggregate: async (scope, type, { after, filter, ...query }) => {
      const parsed = filter === undefined ? {} : { filter: parseFilter(filter) };
      const asked = { ...query, ...parsed };
      return reads.ask(scope, { role: "analytics", name: type, after }, (at) =>
        reads.answer(at, "aggregate", asked, () =>
          at.store.aggregate(at.scope, at.collection, asked),
        ),
      );
    },
    table: async (scope, name, { after, filter, ...query }) => {
      const asked = { ...query, filter: filterOf(filter) };
      return reads.ask(scope, { role: "relational", name, after }, (at) =>
        reads.answer(at, "select", asked, () => at.store.select(at.scope, at.collection, asked)),
      );
    },
    graph: {
      neighbours: (scope, { after, ...query }) =>
        reads.ask(scope, { role: "graph", name: "graph", after }, (at) =>
          reads.answer(at, "neighbours", query, () =>
            at.store.neighbours(at.scope, at.collection, query),
          ),
        ),
      paths: (scope, { after, ...query }) =>
        reads.ask(scope, { role: "graph", name: "graph", after }, (at) =>
          reads.answer(at, "paths", query, () => at.store.paths(at.scope, at.collection, query)),
        ),
      query: (scope, { after, ...request }) =>
        reads.ask(scope, { role: "graph", name: "graph", after }, (at) =>
          reads.answer(at, "query", request, () =>
            at.store.query(at.scope, at.collection, request),
          ),
        ),
    },
    sql: async (scope, statement, { after, ...bounds } = {}) => {
      const at = await reads.sqlScope(scope, after);
      const analytics = await parts.stores.projected("analytics");
      return analytics.sql(at, { statement, ...SQL_DEFAULTS, ...bounds });
    },
  };
}

/** A store with the collection that answers, read as far as was asked. */
export interface ReadyStore<Role extends ProjectedRole> extends ReadyCollection {
  readonly store: ProjectedStoresByRole[Role];
  readonly type: CompiledType | undefined;
}

/** What find asks of the document store. */
export function findQuery(at: ReadyStore<"document">, options: FindOptions): DocumentQuery {
  const { sort, cursor, limit = PAGE_DEFAULT } = options;
  return {
    filter: filterOf(options.filter),
    limit: Math.min(limit, at.store.limits.pageMax),
    ...(sort === undefined ? {} : { sort }),
    ...(cursor === undefined ? {} : { cursor }),
  };
}

/** What search asks of the search store. */
export function searchQuery(at: ReadyStore<"search">, options: SearchOptions): SearchQuery {
  const { facets, cursor, filter, limit = HITS_DEFAULT } = options;
  return {
    expression: parseSearch(options.query),
    limit: Math.min(limit, at.store.limits.pageMax),
    ...(filter === undefined ? {} : { filter: parseFilter(filter) }),
    ...(facets === undefined ? {} : { facets }),
    ...(cursor === undefined ? {} : { cursor }),
  };
}

/** Reads: finds the store that answers, and asks it. */
export class Reads {
  readonly #parts: ReadsParts;

  constructor(parts: ReadsParts) {
    this.#parts = parts;
  }

  /** The store and collection that answer for a type or summary in a role, read as far as asked. */
  async at<Role extends ProjectedRole>(
    scope: Scope,
    role: Role,
    name: string,
    after: FindOptions["after"],
  ): Promise<ReadyStore<Role>> {
    const { registry, readiness, stores } = this.#parts;
    const isSummary = registry.summaries.some((summary) => summary.name === name);
    const type = isSummary || role === "graph" ? undefined : registry.require(name);
    const home = type === undefined ? scope : registry.home(scope, type);
    const ready = await readiness.collection(home, role, name, after);
    return { ...ready, store: await stores.projected(role), type };
  }

  /** Waits until every analytics table has read as far as asked, and answers whose tables SQL sees. */
  async sqlScope(scope: Scope, after: FindOptions["after"]): Promise<Scope> {
    const { readiness, stores } = this.#parts;
    await readiness.role(scope, "analytics", after);
    if (scope.owner === undefined) return scope;
    return readiness.ownerTables(scope, await stores.projected("analytics"));
  }

  /**
   * Asks the store that answers for a name; anew where the build that was to answer was dropped meanwhile,
   * or its store came back older than it was.
   *
   * @throws CoreError `failed` when that happens again and again.
   */
  async ask<Role extends ProjectedRole, Answer>(
    scope: Scope,
    { role, name, after }: Asked<Role>,
    question: (at: ReadyStore<Role>) => Promise<Answer>,
  ): Promise<Answer> {
    for (let tries = 1; ; tries += 1) {
      const at = await this.at(scope, role, name, after);
      try {
        return await question(at);
      } catch (cause) {
        if (!(cause instanceof MovedError) || tries === TRIES_MAX) throw cause;
        at.forget();
      }
    }
  }

  /**
   * Answers a question of a store, from the cache where its answer is known.
   *
   * @throws MovedError when the store has not read as far as it had when it was chosen.
   */
  async answer<Answer extends { readonly checkpoint: number }>(
    at: ReadyStore<ProjectedRole>,
    operation: string,
    query: unknown,
    ask: () => Promise<Answer>,
  ): Promise<Answer> {
    const { store, collection, checkpoint, type } = at;
    // A newer version of a type gives its records another form, at the same checkpoint.
    const version = type?.declaration.version ?? 0;
    const place = `${store.role} ${store.engine} ${collection.name} ${collection.generation} ${version}`;
    const question = { place, checkpoint, operation, query };
    const answer = await this.#parts.answers.answer(at.scope, question, async () => {
      const told = await ask();
      await requireStill(at, told.checkpoint);
      return told;
    });
    return { ...answer, checkpoint };
  }

  async get(scope: Scope, name: string, id: string): Promise<FoundRecord | undefined> {
    const { registry, journal, reader } = this.#parts;
    const type = registry.require(name);
    const home = registry.home(scope, type);
    const [position] = await journal.lookup(home, name, [id]);
    if (position === undefined || position.isDeleted) return undefined;
    const { text } = await reader.recordAt(home, position);
    const fields = parseFields(text);
    if (!isVisible(type, scope, fields)) return undefined;
    return { type: name, id, version: position.sequence, fields };
  }

  async find(scope: Scope, name: string, options: FindOptions = {}): Promise<FoundPage> {
    const asked = { role: "document", name, after: options.after } as const;
    const page = await this.ask(scope, asked, (at) => {
      const query = findQuery(at, options);
      return this.answer(at, "find", query, () => at.store.find(at.scope, at.collection, query));
    });
    return {
      records: page.documents.map(({ id, sequence, text }) => ({
        type: name,
        id,
        version: sequence,
        fields: parseFields(text),
      })),
      checkpoint: page.checkpoint,
      ...(page.cursor === undefined ? {} : { cursor: page.cursor }),
    };
  }

  async count(
    scope: Scope,
    name: string,
    options: Pick<FindOptions, "filter" | "after"> = {},
  ): Promise<{ readonly count: number; readonly checkpoint: number }> {
    const filter = filterOf(options.filter);
    const asked = { role: "document", name, after: options.after } as const;
    return this.ask(scope, asked, (at) =>
      this.answer(at, "count", filter, async () => ({
        count: await at.store.count(at.scope, at.collection, filter),
        checkpoint: await at.store.checkpoint(at.scope, at.collection),
      })),
    );
  }

  async search(scope: Scope, name: string, options: SearchOptions): Promise<SearchAnswer> {
    const asked = { role: "search", name, after: options.after } as const;
    return this.ask(scope, asked, (at) => this.#searchAt(at, scope, options));
  }

  async #searchAt(
    at: ReadyStore<"search">,
    scope: Scope,
    options: SearchOptions,
  ): Promise<SearchAnswer> {
    const name = at.collection.name;
    const query = searchQuery(at, options);
    const page = await this.answer(at, "search", query, () =>
      at.store.search(at.scope, at.collection, query),
    );
    const records = await Promise.all(page.hits.map(({ id }) => this.get(scope, name, id)));
    const highlights = await this.#highlight(at, query.expression, records);
    const { total, facets: counted } = page;
    return {
      hits: page.hits.map(({ id, sequence, score }, index) => ({
        type: name,
        id,
        version: sequence,
        score,
        fields: records[index]?.fields ?? {},
        highlights: highlights[index] ?? {},
      })),
      total,
      facets: counted,
      checkpoint: at.checkpoint,
      ...(page.cursor === undefined ? {} : { cursor: page.cursor }),
    };
  }

  #highlight(
    at: ReadyStore<"search">,
    expression: SearchExpression,
    records: readonly (FoundRecord | undefined)[],
  ): Promise<readonly Readonly<Record<string, string>>[]> {
    const fields = Object.entries(at.type?.declaration.placements.search?.fields ?? {}).map(
      ([name, { from }]) => [name, compileValue(from)] as const,
    );
    const texts = records.map((record) =>
      Object.fromEntries(
        fields.flatMap(([name, take]) => {
          const value = take(record?.fields);
          return value === undefined ? [] : [[name, asText(value)]];
        }),
      ),
    );
    const request = { expression, texts, mark: MARK, lengthMax: HIGHLIGHT_LENGTH };
    return at.store.highlight(at.scope, at.collection, request);
  }
}

/** Whether a record is one of the owner's for whom is asked; of all, where none is named. */
function isVisible({ ownerOf }: CompiledType, { owner }: Scope, fields: unknown): boolean {
  return ownerOf === undefined || owner === undefined || ownerOf(fields) === owner;
}

/** Where a reader looks, and how far it must have been read. */
interface Asked<Role extends ProjectedRole> {
  readonly role: Role;
  readonly name: string;
  readonly after: FindOptions["after"];
}

/** MovedError: the store that was to answer does not stand where it did when it was chosen. */
class MovedError extends CoreError {
  constructor({ name, generation }: ReadyCollection["collection"]) {
    super(
      "failed",
      `${name} generation ${generation} was dropped or went back while it was read, as a rebuild in another process does; ask again`,
    );
  }
}

/**
 * A build that was dropped answers as an empty one. What is kept per owner is looked at in the tenant's
 * file: an owner's own only knows of the deliveries that brought it something.
 *
 * @throws MovedError
 */
async function requireStill(
  { store, scope, collection, stands }: ReadyStore<ProjectedRole>,
  told: number,
): Promise<void> {
  const now =
    scope.owner === undefined ? told : await store.checkpoint(tenantScope(scope), collection);
  if (now < stands) throw new MovedError(collection);
}

const EVERYTHING: Filter = { op: "and", filters: [] };

/** The filter that was given; without one everything meets it. */
export function filterOf(filter: unknown): Filter {
  return filter === undefined ? EVERYTHING : parseFilter(filter);
}

function parseFields(text: string): Readonly<Record<string, unknown>> {
  return parseJson(text) as Readonly<Record<string, unknown>>;
}
