import type { PgMigration } from "../drivers/postgresql-migration.ts";
import type { PgSession } from "../drivers/postgresql-session.ts";
import { pgName, prepared, sql, storedText } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgRow } from "../drivers/postgresql-statements.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { confinedTable } from "../drivers/postgresql-confinement.ts";
import type { Scope } from "../scope.ts";
import { layoutWidth, onlyPlacements, seriesLayout } from "./measurement-layout.ts";
import type { SeriesLayout } from "./measurement-layout.ts";
import type { SeriesPlacements } from "./port.ts";
import { hypertableStatements, timescaleSchema } from "./timescale.ts";

/** A collection as a space holds it. */
export interface HeldSeries {
  readonly name: string;
  readonly generation: number;
  readonly layout: SeriesLayout;
  readonly checkpoint: number;
  /** The highest sequence any row may have: a repair can write ahead of the checkpoint. */
  readonly highest: number;
  readonly tableNo: number;
  /** True where TimescaleDB keeps the points: it makes its partitions itself. */
  readonly isHypertable: boolean;
  /** Quoted, with their schema. */
  readonly points: string;
  readonly rollups: string;
}

/** A collection's name, without its placements. */
export type SeriesName = Pick<Collection<unknown>, "name" | "generation">;

const COMPONENT = "series";

// A table for each mapping that a generation of a collection has; all spaces that hold it share it.
const MIGRATION: PgMigration = {
  component: COMPONENT,
  steps: [
    (schema) => `
CREATE TABLE ${schema}.point_table (table_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL, generation bigint NOT NULL, layout text COLLATE "C" NOT NULL,
  is_hypertable boolean NOT NULL, holders bigint NOT NULL);
CREATE INDEX ON ${schema}.point_table (name, generation);
CREATE TABLE ${schema}.collection (_space text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  generation bigint NOT NULL, table_no bigint NOT NULL REFERENCES ${schema}.point_table,
  checkpoint bigint NOT NULL, highest bigint NOT NULL, PRIMARY KEY (_space, name, generation))
  WITH (fillfactor = 50);
${confinedTable(`${schema}.collection`).join(";\n")};
CREATE TABLE ${schema}.rollup_made (_space text COLLATE "C" NOT NULL, table_no bigint NOT NULL,
  measurement bigint NOT NULL, bucket_ms bigint NOT NULL,
  PRIMARY KEY (_space, table_no, measurement, bucket_ms));
${confinedTable(`${schema}.rollup_made`).join(";\n")};`,
  ],
};

/** Which series each space of an installation holds, where their points are, and how far each has read. */
export class SeriesRegistry {
  readonly #pg: Postgresql;
  readonly #schema: string;

  constructor(pg: Postgresql) {
    this.#pg = pg;
    this.#schema = pg.schema(COMPONENT);
  }

  /** Makes the registry's own tables, once. */
  async ready(scope: Scope): Promise<void> {
    await this.#pg.migrate(scope, MIGRATION);
  }

  /** Makes a collection's tables where there are none, and notes that the space holds it. */
  async prepare(scope: Scope, collection: Collection<SeriesPlacements>): Promise<void> {
    const layout = JSON.stringify(seriesLayout(onlyPlacements(collection)));
    const space = this.#pg.space(scope);
    const isHeld = async (session: PgSession): Promise<boolean> => {
      const held = await this.find(session, space, collection);
      if (held === undefined) return false;
      if (JSON.stringify(held.layout) === layout) return true;
      throw new StoreError(
        "refused",
        `${collection.name} generation ${collection.generation} exists with another mapping`,
      );
    };
    await this.#pg.transaction(
      scope,
      `prepare ${collection.name}`,
      async (session) => {
        if (await isHeld(session)) return;
        await session.run(this.#lock());
        if (await isHeld(session)) return;
        const tableNo = await this.#tableFor(session, collection, layout);
        await session.runAll([
          sql`UPDATE ${this.#table("point_table")} SET holders = holders + 1 WHERE table_no = ${tableNo}`,
          sql`INSERT INTO ${this.#table("collection")} VALUES
            (${space}, ${storedText(collection.name)}, ${collection.generation}, ${tableNo}, 0, 0)`,
        ]);
      },
      { durability: "projection" },
    );
  }

  /** The collection as the space holds it; `undefined` when it was never prepared. */
  async find(
    session: PgSession,
    space: string,
    { name, generation }: SeriesName,
    lock: "locked" | "unlocked" = "unlocked",
  ): Promise<HeldSeries | undefined> {
    const forUpdate = verbatim(lock === "locked" ? "FOR UPDATE OF held" : "");
    const [row] = await session.rows(prepared`${this.#held()} WHERE held._space = ${space}
      AND held.name = ${storedText(name)} AND held.generation = ${generation} ${forUpdate}`);
    return row === undefined ? undefined : this.#heldOf(row);
  }

  /** As {@link find}. @throws StoreError `refused` when it was never prepared. */
  async require(
    session: PgSession,
    space: string,
    name: SeriesName,
    lock: "locked" | "unlocked" = "unlocked",
  ): Promise<HeldSeries> {
    const held = await this.find(session, space, name, lock);
    if (held !== undefined) return held;
    throw new StoreError("refused", `${name.name} generation ${name.generation} is not prepared`);
  }

  /** Every collection that the space holds. */
  async list(session: PgSession, space: string): Promise<readonly HeldSeries[]> {
    const rows = await session.rows(prepared`${this.#held()}
      WHERE held._space = ${space} ORDER BY held.name, held.generation`);
    return rows.map((row) => this.#heldOf(row));
  }

  /** The statement that notes how far a collection has read. */
  advance(
    space: string,
    { name, generation }: HeldSeries,
    to: { readonly checkpoint: number; readonly highest: number },
  ): PgFragment {
    return prepared`UPDATE ${this.#table("collection")}
      SET checkpoint = greatest(checkpoint, ${to.checkpoint}), highest = greatest(highest, ${to.highest})
      WHERE _space = ${space} AND name = ${storedText(name)} AND generation = ${generation}`;
  }

  /** A write that changes nothing; once it is durable, so is what was written before. */
  touch(space: string): PgFragment {
    return prepared`UPDATE ${this.#table("collection")} SET checkpoint = checkpoint
      WHERE _space = ${space}`;
  }

  /** Whether a rollup of that width was ever made. */
  async hasRollup(session: PgSession, space: string, rollup: RollupName): Promise<boolean> {
    const [row] = await session.rows(prepared`SELECT 1 AS made FROM ${this.#table("rollup_made")}
      WHERE _space = ${space} AND table_no = ${rollup.tableNo}
        AND measurement = ${rollup.measurement} AND bucket_ms = ${rollup.bucketMs}`);
    return row !== undefined;
  }

  /** The statement that notes that a rollup is made. */
  noteRollup(space: string, { tableNo, measurement, bucketMs }: RollupName): PgFragment {
    return sql`INSERT INTO ${this.#table("rollup_made")}
      VALUES (${space}, ${tableNo}, ${measurement}, ${bucketMs}) ON CONFLICT DO NOTHING`;
  }

  /** Removes a space's rows and checkpoint, and the tables where no space holds them any more. */
  async discard(scope: Scope, name: SeriesName): Promise<void> {
    const space = this.#pg.space(scope);
    await this.#pg.transaction(
      scope,
      `discard ${name.name}`,
      async (session) => {
        await session.run(this.#lock());
        const held = await this.find(session, space, name, "locked");
        if (held === undefined) return;
        const { tableNo, points, rollups } = held;
        const [, , left] = await session.runAll([
          sql`DELETE FROM ${this.#table("collection")} WHERE _space = ${space}
            AND name = ${storedText(name.name)} AND generation = ${name.generation}`,
          sql`DELETE FROM ${this.#table("rollup_made")}
            WHERE _space = ${space} AND table_no = ${tableNo}`,
          sql`UPDATE ${this.#table("point_table")} SET holders = holders - 1
            WHERE table_no = ${tableNo} RETURNING holders`,
        ]);
        if (Number(left?.rows[0]?.["holders"]) > 0) {
          await session.runAll(
            [points, rollups].map(
              (table) => sql`DELETE FROM ${verbatim(table)} WHERE _space = ${space}`,
            ),
          );
          return;
        }
        await session.define([
          verbatim(`DROP TABLE IF EXISTS ${points}`),
          verbatim(`DROP TABLE IF EXISTS ${rollups}`),
        ]);
        await session.run(
          sql`DELETE FROM ${this.#table("point_table")} WHERE table_no = ${tableNo}`,
        );
      },
      { durability: "projection" },
    );
  }

  #held(): PgFragment {
    return sql`SELECT held.name, held.generation, held.checkpoint, held.highest, held.table_no,
      made.layout, made.is_hypertable FROM ${this.#table("collection")} AS held
      JOIN ${this.#table("point_table")} AS made USING (table_no)`;
  }

  #heldOf(row: PgRow): HeldSeries {
    const tableNo = Number(row["table_no"]);
    return {
      name: String(row["name"]),
      generation: Number(row["generation"]),
      layout: JSON.parse(String(row["layout"])) as SeriesLayout,
      checkpoint: Number(row["checkpoint"]),
      highest: Number(row["highest"]),
      tableNo,
      isHypertable: row["is_hypertable"] === true,
      points: pgName(this.#schema, `points_${tableNo}`),
      rollups: pgName(this.#schema, `rollups_${tableNo}`),
    };
  }

  async #tableFor(
    session: PgSession,
    { name, generation }: SeriesName,
    layout: string,
  ): Promise<number> {
    const [known] = await session.rows(sql`SELECT table_no FROM ${this.#table("point_table")}
      WHERE name = ${storedText(name)} AND generation = ${generation} AND layout = ${layout}`);
    if (known !== undefined) return Number(known["table_no"]);
    const timescale = await timescaleSchema(session);
    const [made] = await session.rows(sql`INSERT INTO ${this.#table("point_table")}
      (name, generation, layout, is_hypertable, holders)
      VALUES (${storedText(name)}, ${generation}, ${layout}, ${timescale !== undefined}, 0)
      RETURNING table_no`);
    const tableNo = Number(made?.["table_no"]);
    const [points, rollups] = [`points_${tableNo}`, `rollups_${tableNo}`];
    const table = pgName(this.#schema, points);
    await session.define([
      ...definitions(table, pgName(this.#schema, rollups), {
        layout: JSON.parse(layout) as SeriesLayout,
        isHypertable: timescale !== undefined,
      }),
      ...(timescale === undefined ? [] : hypertableStatements(timescale, table)),
      ...session.grantOn(this.#schema, points),
      ...session.grantOn(this.#schema, rollups),
    ]);
    return tableNo;
  }

  #table(name: string): PgFragment {
    return verbatim(pgName(this.#schema, name));
  }

  /** Held to the transaction's end by whoever makes or drops tables of this installation. */
  #lock(): PgFragment {
    return sql`SELECT pg_advisory_xact_lock(hashtextextended(${`custody:${this.#schema}:tables`}, 0))`;
  }
}

/** A rollup of one width. */
export interface RollupName {
  readonly tableNo: number;
  readonly measurement: number;
  readonly bucketMs: number;
}

/** Names by slot. */
export function slots(count: number, name: (slot: number) => string): string[] {
  return Array.from({ length: count }, (_, slot) => name(slot));
}

function definitions(
  points: string,
  rollups: string,
  { layout, isHypertable }: { readonly layout: SeriesLayout; readonly isHypertable: boolean },
): readonly PgFragment[] {
  const { tags, fields } = layoutWidth(layout);
  const tagColumns = slots(tags, (slot) => `, tag_${slot} text COLLATE "C"`).join("");
  const fieldColumns = slots(fields, (slot) => `, field_${slot} double precision`).join("");
  const folded = slots(
    fields,
    (slot) => `, count_${slot} bigint NOT NULL, sum_${slot} double precision,
      min_${slot} double precision, max_${slot} double precision`,
  ).join("");
  // Instants are whole milliseconds as the record has them: timestamptz begins only in 4713 BC.
  return [
    `CREATE TABLE ${points} (_space text COLLATE "C" NOT NULL, _id text COLLATE "C" NOT NULL,
      _sequence bigint NOT NULL, _ordinal int NOT NULL, _measurement int NOT NULL, _at bigint NOT NULL
      ${tagColumns}${fieldColumns}) ${isHypertable ? "" : "PARTITION BY RANGE (_at)"}`,
    `CREATE INDEX ON ${points} (_space, _measurement, _at)`,
    `CREATE INDEX ON ${points} (_space, _sequence, _id, _ordinal)`,
    `CREATE INDEX ON ${points} (_space, _id)`,
    ...confinedTable(points),
    `CREATE TABLE ${rollups} (_space text COLLATE "C" NOT NULL, measurement int NOT NULL,
      bucket_ms bigint NOT NULL, bucket bigint NOT NULL, tag_key bytea NOT NULL${tagColumns},
      points bigint NOT NULL${folded},
      PRIMARY KEY (_space, measurement, bucket_ms, bucket, tag_key))`,
    ...confinedTable(rollups),
  ].map(verbatim);
}
