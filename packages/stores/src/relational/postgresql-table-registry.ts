import { canonicalJson } from "@custody/contract/json";

import type { PgMigration } from "../drivers/postgresql-migration.ts";
import type { PgSession } from "../drivers/postgresql-session.ts";
import {
  pgName,
  prepared,
  serverNameOf,
  sql,
  storedText,
  textArray,
} from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgRow } from "../drivers/postgresql-statements.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { notPrepared, onlyPlacement } from "../collections.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import type { TablePlacement } from "./port.ts";
import { numberCell, textCell } from "./postgresql-columns.ts";
import { confinedTable } from "../drivers/postgresql-confinement.ts";
import type { PgPlace, PgRelation } from "./postgresql-relation.ts";
import { createSummary, openSummary, summaryNames } from "./postgresql-summary.ts";
import { createTable, openTable } from "./postgresql-table.ts";

/** A collection that a space holds. */
export interface HeldRelation {
  readonly name: string;
  readonly generation: number;
  readonly checkpoint: number;
  readonly place: PgPlace;
  readonly relation: PgRelation;
}

// A relation is a table, or a summary's view and its tables: one for each mapping that a generation of a
// collection has, as generations are counted by tenant. All spaces that hold it share it.
const MIGRATION: PgMigration = {
  component: "relational",
  steps: [
    (schema) => `
CREATE TABLE ${schema}.relation (relation_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL, generation bigint NOT NULL, type text COLLATE "C" NOT NULL,
  placement text COLLATE "C" NOT NULL, schema_name text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL, holders bigint NOT NULL, UNIQUE (schema_name, table_name));
CREATE INDEX ON ${schema}.relation (name, generation);
CREATE TABLE ${schema}.collection (_space text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  generation bigint NOT NULL, relation_no bigint NOT NULL REFERENCES ${schema}.relation,
  checkpoint bigint NOT NULL, PRIMARY KEY (_space, name, generation)) WITH (fillfactor = 50);
${confinedTable(`${schema}.collection`).join(";\n")};`,
  ],
};

/** Which collections each space of an installation holds, where their rows are, and how far each has read. */
export class RelationRegistry {
  readonly #pg: Postgresql;
  readonly #relation: PgFragment;
  readonly #collection: PgFragment;
  readonly #opened = new Map<string, PgRelation>();
  readonly #known = new Map<string, PgRelation>();

  constructor(pg: Postgresql) {
    this.#pg = pg;
    const schema = pg.schema(MIGRATION.component);
    this.#relation = verbatim(pgName(schema, "relation"));
    this.#collection = verbatim(pgName(schema, "collection"));
  }

  /** Makes the registry's own tables, once. */
  async ready(scope: Scope): Promise<void> {
    await this.#pg.migrate(scope, MIGRATION);
  }

  /** Makes a collection's relation where there is none, and notes that the space holds it. */
  async prepare(scope: Scope, collection: Collection<TablePlacement>): Promise<void> {
    const space = this.#pg.space(scope);
    await this.#pg.transaction(
      scope,
      `prepare ${collection.name}`,
      async (session) => {
        if ((await this.find(session, space, collection)) !== undefined) return;
        await session.run(this.#lock());
        if ((await this.find(session, space, collection)) !== undefined) return;
        const relationNo = await this.#relationFor(session, collection);
        await session.runAll([
          sql`UPDATE ${this.#relation} SET holders = holders + 1 WHERE relation_no = ${relationNo}`,
          sql`INSERT INTO ${this.#collection} VALUES
            (${space}, ${storedText(collection.name)}, ${collection.generation}, ${relationNo}, 0)`,
        ]);
      },
      { durability: "projection" },
    );
  }

  /**
   * The collection as the space holds it, `undefined` when it was never prepared.
   *
   * @throws StoreError `refused` when it is held with another mapping.
   */
  async find(
    session: PgSession,
    space: string,
    collection: Collection<TablePlacement>,
  ): Promise<HeldRelation | undefined> {
    const [row] = await session.rows(this.finding(space, collection));
    return this.found(row, space, collection);
  }

  /** The statement whose row {@link found} reads. */
  finding(space: string, { name, generation }: Collection<unknown>): PgFragment {
    return prepared`${this.#heldRelations()} WHERE held._space = ${space}
      AND held.name = ${storedText(name)} AND held.generation = ${generation}`;
  }

  /** As {@link find}, from the row that {@link finding} answered. */
  found(
    row: PgRow | undefined,
    space: string,
    collection: Collection<TablePlacement>,
  ): HeldRelation | undefined {
    const key = knownKey(space, collection);
    this.#known.delete(key);
    if (row === undefined) return undefined;
    const { name, generation } = collection;
    const [type, placement] = onlyPlacement(collection);
    if (row["placement"] !== canonicalJson(placement) || row["type"] !== type) {
      throw new StoreError(
        "refused",
        `${name} is held with another mapping in generation ${generation}; use a new generation`,
      );
    }
    const held = this.#held(row);
    this.#known.set(key, held.relation);
    const [oldest] = this.#known.keys();
    if (this.#known.size > KNOWN_MAX && oldest !== undefined) this.#known.delete(oldest);
    return held;
  }

  /** What {@link found} answered last: most likely still so, and a round trip less to ask together. */
  known(space: string, collection: Collection<unknown>): PgRelation | undefined {
    return this.#known.get(knownKey(space, collection));
  }

  /** Forgets what is known, so that it is looked up. */
  forget(): void {
    this.#known.clear();
  }

  /** The collection, its row locked against other writers. @throws StoreError `refused` when not prepared. */
  async lock(
    session: PgSession,
    space: string,
    collection: Collection<TablePlacement>,
  ): Promise<HeldRelation> {
    const statement = prepared`${this.finding(space, collection)} FOR UPDATE OF held`;
    const [row] = await session.rows(statement);
    const held = this.found(row, space, collection);
    if (held === undefined) throw notPrepared(collection);
    return held;
  }

  /** Every collection that the space holds, by name and generation. */
  async list(session: PgSession, space: string): Promise<readonly HeldRelation[]> {
    const rows = await session.rows(prepared`${this.#heldRelations()}
      WHERE held._space = ${space} ORDER BY held.name, held.generation`);
    return rows.map((row) => this.#held(row));
  }

  /** Reads the checkpoint, whatever the mapping; 0 when the space does not hold the collection. */
  async checkpoint(scope: Scope, { name, generation }: Collection<unknown>): Promise<number> {
    const space = this.#pg.space(scope);
    const [result] = await this.#pg.ask(scope, "read a checkpoint", [
      prepared`SELECT checkpoint FROM ${this.#collection} WHERE _space = ${space}
        AND name = ${storedText(name)} AND generation = ${generation}`,
    ]);
    const [row] = result?.rows ?? [];
    return row === undefined ? 0 : numberCell(row["checkpoint"]);
  }

  /** The statement that writes how far a collection has read. */
  advance(space: string, { name, generation }: HeldRelation, checkpoint: number): PgFragment {
    return prepared`UPDATE ${this.#collection} SET checkpoint = ${checkpoint}
      WHERE _space = ${space} AND name = ${storedText(name)} AND generation = ${generation}`;
  }

  /** A write that changes nothing; once it is durable, so is what was written before. */
  touch(space: string): PgFragment {
    return prepared`UPDATE ${this.#collection} SET checkpoint = checkpoint WHERE _space = ${space}`;
  }

  /**
   * Removes a space's rows and checkpoint, and the relation where no other space holds it.
   *
   * Of a table that others hold rows are deleted some at a time, so that any number takes no longer than
   * a call may; until all are gone the collection has read nothing.
   */
  async discard(scope: Scope, collection: Collection<unknown>): Promise<void> {
    let isDone = false;
    while (!isDone) {
      isDone = await this.#pg.transaction(
        scope,
        `discard ${collection.name}`,
        (session) => this.#discardSome(session, this.#pg.space(scope), collection),
        { durability: "projection" },
      );
    }
  }

  async #discardSome(
    session: PgSession,
    space: string,
    collection: Collection<unknown>,
  ): Promise<boolean> {
    await session.run(this.#lock());
    const [row] = await session.rows(
      prepared`${this.finding(space, collection)} FOR UPDATE OF held, relation`,
    );
    if (row === undefined) return true;
    const { name, generation } = collection;
    const of = sql`_space = ${space} AND name = ${storedText(name)} AND generation = ${generation}`;
    const held = this.#held(row);
    const removal = sql`DELETE FROM ${this.#collection} WHERE ${of}`;
    const relationNo = numberCell(row["relation_no"]);
    if (numberCell(row["holders"]) === 1) {
      const tables = verbatim(`DROP TABLE IF EXISTS ${held.relation.tables.join(", ")} CASCADE`);
      await session.define([tables]);
      await session.runAll([
        removal,
        sql`DELETE FROM ${this.#relation} WHERE relation_no = ${relationNo}`,
      ]);
      return true;
    }
    if ((await deleteSome(session, space, held.relation)) === "more") {
      await session.run(sql`UPDATE ${this.#collection} SET checkpoint = 0 WHERE ${of}`);
      return false;
    }
    await session.runAll([
      removal,
      sql`UPDATE ${this.#relation} SET holders = holders - 1 WHERE relation_no = ${relationNo}`,
    ]);
    return true;
  }

  #heldRelations(): PgFragment {
    return sql`SELECT held.name, held.generation, held.checkpoint, relation_no, relation.holders,
      relation.type, relation.placement, relation.schema_name, relation.table_name FROM ${this.#collection} AS held
      JOIN ${this.#relation} AS relation USING (relation_no)`;
  }

  #held(row: PgRow): HeldRelation {
    const place = placeOf(row);
    const placement = textCell(row["placement"]);
    const key = `${place.schema} ${place.table} ${placement}`;
    let relation = this.#opened.get(key);
    if (relation === undefined) {
      this.#opened.set(key, (relation = openRelation(place, placementOf(placement))));
    }
    return {
      name: textCell(row["name"]),
      generation: numberCell(row["generation"]),
      checkpoint: numberCell(row["checkpoint"]),
      place,
      relation,
    };
  }

  /** The number of the relation of this mapping, which is made where there is none. */
  async #relationFor(session: PgSession, collection: Collection<TablePlacement>): Promise<number> {
    const { name, generation } = collection;
    const [type, placement] = onlyPlacement(collection);
    const text = canonicalJson(placement);
    const [known] = await session.rows(sql`SELECT relation_no FROM ${this.#relation}
      WHERE name = ${storedText(name)} AND generation = ${generation} AND type = ${storedText(type)}
      AND placement = ${text}`);
    if (known !== undefined) return numberCell(known["relation_no"]);
    const { place, sqlNames, statements } = await this.#place(session, collection, placement);
    const schema = verbatim(`CREATE SCHEMA IF NOT EXISTS ${pgName(place.schema)}`);
    await session.define([
      schema,
      ...statements,
      ...sqlNames.flatMap((one) => session.grantOn(place.schema, one)),
    ]);
    const [made] = await session.rows(sql`INSERT INTO ${this.#relation}
      (name, generation, type, placement, schema_name, table_name, holders)
      VALUES (${storedText(name)}, ${generation}, ${storedText(type)}, ${text},
        ${place.schema}, ${place.table}, 0) RETURNING relation_no`);
    return numberCell(made?.["relation_no"]);
  }

  /** A free name for a collection's relation: the document's own, where no other has it. */
  async #place(
    session: PgSession,
    { name, generation }: Collection<TablePlacement>,
    placement: TablePlacement,
  ): Promise<{
    readonly place: PgPlace;
    readonly sqlNames: readonly string[];
    readonly statements: readonly PgFragment[];
  }> {
    const [pack = "", rest = name] = name.split(/\/(.*)/s, 2);
    const schema = serverNameOf(this.#pg.schema(pack));
    const plain = "table" in placement ? placement.table.table : rest;
    const wanted = generation === 1 ? plain : `${plain}_g${generation}`;
    for (let count = 1; ; count += 1) {
      const table = serverNameOf(count === 1 ? wanted : `${wanted}_${count}`);
      const place = { schema, table };
      const names = namesOf(place, placement);
      const [taken] = await session.rows(sql`SELECT 1 AS taken FROM pg_catalog.pg_class AS made
        JOIN pg_catalog.pg_namespace AS home ON home.oid = made.relnamespace
        WHERE home.nspname = ${schema} AND made.relname = ANY(${textArray(names)}) LIMIT 1`);
      if (taken === undefined) {
        const statements =
          "table" in placement
            ? createTable(place, placement.table)
            : createSummary(place, placement.summary);
        return { place, sqlNames: names, statements };
      }
    }
  }

  /** Held to the transaction's end by whoever makes or drops relations of this installation. */
  #lock(): PgFragment {
    const schema = this.#pg.schema(MIGRATION.component);
    return sql`SELECT pg_advisory_xact_lock(hashtextextended(${`custody:${schema}:relations`}, 0))`;
  }
}

// Spaces may be as many as there are owners.
const KNOWN_MAX = 1_000;

function knownKey(space: string, { name, generation }: Collection<unknown>): string {
  return `${space} ${generation} ${name}`;
}

function openRelation(place: PgPlace, placement: TablePlacement): PgRelation {
  return "table" in placement
    ? openTable(place, placement.table)
    : openSummary(place, placement.summary);
}

/** A placement as {@link RelationRegistry} wrote it. */
function placementOf(text: string): TablePlacement {
  return JSON.parse(text) as TablePlacement;
}

function placeOf(row: PgRow): PgPlace {
  return { schema: textCell(row["schema_name"]), table: textCell(row["table_name"]) };
}

/** The names of a relation's parts in its schema. */
function namesOf({ table }: PgPlace, placement: TablePlacement): readonly string[] {
  if ("table" in placement) return [table];
  const { groups, counts } = summaryNames(table);
  return [table, serverNameOf(groups), serverNameOf(counts)];
}

const ROWS_DELETED_MAX = 10_000;

/** Deletes rows of a space. Groups of a summary go together: half of them would be counted again. */
async function deleteSome(
  session: PgSession,
  space: string,
  { tables, isMadeOfSeveral }: PgRelation,
): Promise<"done" | "more"> {
  const all = tables.map((table) => sql`DELETE FROM ${verbatim(table)} WHERE _space = ${space}`);
  const [table = ""] = tables;
  const some = sql`DELETE FROM ${verbatim(table)} WHERE _space = ${space} AND _id IN
    (SELECT _id FROM ${verbatim(table)} WHERE _space = ${space} LIMIT ${ROWS_DELETED_MAX})`;
  const [deleted] = await session.runAll(isMadeOfSeveral ? all : [some]);
  return !isMadeOfSeveral && deleted?.count === ROWS_DELETED_MAX ? "more" : "done";
}
