import type { ClickhouseServer } from "../drivers/clickhouse.ts";
import { isNotThere } from "../drivers/clickhouse-errors.ts";
import { quoteClickhouseName, textLiteral } from "../drivers/clickhouse-text.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { createRowTable, mappingText, parseMapping } from "./clickhouse-layout.ts";
import type { Build, ClickhouseLayout, RowTable, StoredMapping } from "./clickhouse-layout.ts";

/** A collection that is prepared. */
export interface LiveCollection extends Build {
  readonly name: string;
  readonly generation: number;
  readonly table: RowTable;
  /** True where it bears the plain name in SQL. */
  readonly isPublished: boolean;
}

interface CollectionName {
  readonly name: string;
  readonly generation: number;
}

interface Entry extends CollectionName {
  readonly incarnation: number;
  readonly mapping: string;
  readonly published: number;
  readonly isDiscarded: boolean;
}

// Far more than anyone will rebuild one generation; builds stay within whole numbers of a double.
const INCARNATIONS = 1_000_000;

/**
 * Which collections there are, in one table whose rows only ever grow: every column is a maximum, so
 * that two processes that write at once lose nothing, and the order of their writes plays no part.
 *
 * What is discarded and prepared again is another incarnation: rows that a slow writer adds to the
 * old one are seen by nobody.
 */
export class ClickhouseCatalogue {
  readonly #server: ClickhouseServer;
  readonly #layout: ClickhouseLayout;

  constructor(server: ClickhouseServer, layout: ClickhouseLayout) {
    this.#server = server;
    this.#layout = layout;
  }

  /** Every live collection of a space, by name and generation. */
  async list(scope: Scope, space: string): Promise<readonly LiveCollection[]> {
    const entries = await this.#entries(scope, `space = ${textLiteral(space)}`);
    return this.#live(space, entries);
  }

  /** Finds a live collection. `undefined` when it was never prepared. */
  async find(
    scope: Scope,
    space: string,
    name: CollectionName,
  ): Promise<LiveCollection | undefined> {
    const entries = await this.#entries(
      scope,
      `space = ${textLiteral(space)} AND name = ${textLiteral(name.name)}`,
    );
    return this.#live(space, entries).find(({ generation }) => generation === name.generation);
  }

  /** Finds a collection that must exist. @throws StoreError `refused` when it was never prepared. */
  async require(scope: Scope, space: string, name: CollectionName): Promise<LiveCollection> {
    const found = await this.find(scope, space, name);
    if (found !== undefined) return found;
    throw new StoreError("refused", `${name.name} generation ${name.generation} is not prepared`);
  }

  /** Makes the collection's table. @throws StoreError `refused` when it has another mapping. */
  async prepare(
    scope: Scope,
    space: string,
    wanted: CollectionName & { readonly mapping: StoredMapping },
  ): Promise<void> {
    const known = await this.find(scope, space, wanted);
    if (known === undefined) {
      await this.#create(scope, this.#layout.rowTable(wanted.name, wanted.mapping), wanted.name);
      const incarnation = await this.#nextIncarnation(scope, space, wanted);
      await this.#write(scope, space, {
        name: wanted.name,
        generation: wanted.generation,
        incarnation,
        mapping: mappingText(wanted.mapping),
        published: 0,
        isDiscarded: false,
      });
    }
    const { table } = known ?? (await this.require(scope, space, wanted));
    if (mappingText(table) !== mappingText(wanted.mapping)) {
      throw new StoreError(
        "refused",
        `${wanted.name} generation ${wanted.generation} is prepared with another mapping`,
      );
    }
  }

  /** Makes a collection bear the plain name. */
  async publish(scope: Scope, collection: LiveCollection): Promise<void> {
    if (collection.isPublished) return;
    const { space, name } = collection;
    const entries = await this.#entries(
      scope,
      `space = ${textLiteral(space)} AND name = ${textLiteral(name)}`,
    );
    const published = 1 + Math.max(0, ...entries.map((entry) => entry.published));
    await this.#write(scope, space, { ...entryOf(collection), published });
  }

  /** Forgets a collection; its rows are then nobody's. */
  async discard(scope: Scope, collection: LiveCollection): Promise<void> {
    await this.#write(scope, collection.space, { ...entryOf(collection), isDiscarded: true });
  }

  /** The mappings under which a type is published in any space, and the SQL that names those builds. */
  async published(
    scope: Scope,
    name: string,
  ): Promise<readonly { readonly table: RowTable; readonly builds: string }[]> {
    const where = `name = ${textLiteral(name)}`;
    const { rows } = await this.#server.select(scope, {
      doing: `list where ${name} is published`,
      sql: `SELECT DISTINCT mapping FROM (${this.#bearers(where)}) ORDER BY mapping`,
    });
    return rows.map(([mapping]) => ({
      table: this.#layout.rowTable(name, parseMapping(String(mapping))),
      builds: `SELECT space, build FROM (${this.#bearers(where)}) WHERE mapping = ${textLiteral(String(mapping))}`,
    }));
  }

  #bearers(where: string): string {
    // The last published of a name bears it, unless it was discarded since.
    return `SELECT space, argMax(mapping, rank) AS mapping, argMax(build, rank) AS build FROM (
      SELECT space, generation * ${INCARNATIONS} + incarnation AS build, max(mapping) AS mapping,
        (max(published), generation) AS rank, max(discarded) AS is_gone FROM ${this.#layout.collections}
      WHERE ${where} GROUP BY space, generation, incarnation)
      GROUP BY space HAVING max(rank).1 > 0 AND argMax(is_gone, rank) = 0`;
  }

  async #create(scope: Scope, table: RowTable, name: string): Promise<void> {
    const doing = `prepare ${name}`;
    const pack = quoteClickhouseName(this.#layout.packDatabase(name));
    for (const sql of [
      `CREATE DATABASE IF NOT EXISTS ${this.#layout.database}`,
      `CREATE DATABASE IF NOT EXISTS ${pack}`,
      `CREATE TABLE IF NOT EXISTS ${this.#layout.collections} (
        space String, name String, generation UInt32, incarnation UInt32,
        mapping SimpleAggregateFunction(max, String),
        published SimpleAggregateFunction(max, UInt64),
        discarded SimpleAggregateFunction(max, UInt8))
        ENGINE = AggregatingMergeTree ORDER BY (space, name, generation, incarnation)`,
      createRowTable(table),
    ]) {
      await this.#server.run(scope, { doing, sql });
    }
  }

  async #nextIncarnation(scope: Scope, space: string, of: CollectionName): Promise<number> {
    const entries = await this.#entries(
      scope,
      `space = ${textLiteral(space)} AND name = ${textLiteral(of.name)} AND generation = ${of.generation}`,
    );
    const gone = entries.filter(({ isDiscarded }) => isDiscarded);
    return 1 + Math.max(-1, ...gone.map(({ incarnation }) => incarnation));
  }

  async #write(scope: Scope, space: string, entry: Entry): Promise<void> {
    const { name, generation, incarnation, mapping, published, isDiscarded } = entry;
    await this.#server.run(scope, {
      doing: `note ${name}`,
      sql: `INSERT INTO ${this.#layout.collections} VALUES (${[
        textLiteral(space),
        textLiteral(name),
        generation,
        incarnation,
        textLiteral(mapping),
        published,
        isDiscarded ? 1 : 0,
      ].join(", ")})`,
      settings: { async_insert: 0 },
    });
  }

  async #entries(scope: Scope, where: string): Promise<readonly Entry[]> {
    try {
      const { rows } = await this.#server.select(scope, {
        doing: "list collections",
        sql: `SELECT name, generation, incarnation, max(mapping), max(published), max(discarded)
          FROM ${this.#layout.collections} WHERE ${where} GROUP BY name, generation, incarnation
          ORDER BY name, generation, incarnation`,
      });
      return rows.map(([name, generation, incarnation, mapping, published, discarded]) => ({
        name: String(name),
        generation: Number(generation),
        incarnation: Number(incarnation),
        mapping: String(mapping),
        published: Number(published),
        isDiscarded: Number(discarded) === 1,
      }));
    } catch (cause) {
      // Before anything was prepared there is no such table.
      if (isNotThere(cause)) return [];
      throw cause;
    }
  }

  #live(space: string, entries: readonly Entry[]): LiveCollection[] {
    const bearers = new Map<string, Entry>();
    for (const entry of entries) {
      const bearer = bearers.get(entry.name);
      if (entry.published > 0 && entry.published >= (bearer?.published ?? 0)) {
        bearers.set(entry.name, entry);
      }
    }
    return entries
      .filter(({ isDiscarded }) => !isDiscarded)
      .map((entry) => ({
        space,
        name: entry.name,
        generation: entry.generation,
        build: entry.generation * INCARNATIONS + entry.incarnation,
        table: this.#layout.rowTable(entry.name, parseMapping(entry.mapping)),
        isPublished: bearers.get(entry.name) === entry,
      }));
  }
}

function entryOf({ name, generation, build, table, isPublished: _is }: LiveCollection): Entry {
  return {
    name,
    generation,
    incarnation: build - generation * INCARNATIONS,
    mapping: mappingText(table),
    published: 0,
    isDiscarded: false,
  };
}
