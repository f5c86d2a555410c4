import type { PgSession } from "../drivers/postgresql-session.ts";
import { sql, textArray } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgRow } from "../drivers/postgresql-statements.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { onlyPlacement } from "../collections.ts";
import { refuseGap, requireSameStart } from "../delivery-start.ts";
import { StoreError } from "../errors.ts";
import type { Collection, StoreStatistics } from "../projected-store.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import type { TablePlacement } from "./port.ts";
import type { PgRelation } from "./postgresql-relation.ts";
import type { HeldRelation, RelationRegistry } from "./postgresql-table-registry.ts";

// A tenth more rows change what the planner should know of a table; of fewer it hears from the server.
const ROWS_ANALYSED_MIN = 5_000;

/** The calls of the relational store on collections that are prepared. */
export class RelationalCalls {
  readonly #pg: Postgresql;
  readonly #registry: RelationRegistry;
  /** Rows written by this process to each table of each space since it was settled. */
  readonly #unsettled = new Map<string, Map<string, number>>();

  constructor(pg: Postgresql, registry: RelationRegistry) {
    this.#pg = pg;
    this.#registry = registry;
  }

  async apply(
    scope: Scope,
    collection: Collection<TablePlacement>,
    delivery: Delivery,
  ): Promise<void> {
    checkTypes(collection, delivery.batches);
    await this.#registry.ready(scope);
    const { isAppendOnly = false } = collection;
    const isNew = delivery.batches.every((batch) => isAppendOnly || batch.isNew === true);
    try {
      await this.#apply(scope, collection, delivery, isNew);
    } catch (cause) {
      // A row that was repaired before is there already: looked for after all.
      const isThere = cause instanceof StoreError && cause.code === "conflict";
      const isTable = "table" in onlyPlacement(collection)[1];
      if (!isNew || !isThere || !isTable) throw cause;
      await this.#apply(scope, collection, delivery, false);
    }
  }

  async #apply(
    scope: Scope,
    collection: Collection<TablePlacement>,
    delivery: Delivery,
    isNew: boolean,
  ): Promise<void> {
    const space = this.#pg.space(scope);
    const { batches } = delivery;
    const written = await this.#pg.transaction(
      scope,
      `apply ${collection.name}`,
      async (session) => {
        const held = await this.#registry.lock(session, space, collection);
        const { checkpoint, relation } = held;
        if (delivery.checkpoint <= checkpoint) return undefined;
        const checkStart = relation.isMadeOfSeveral ? requireSameStart : refuseGap;
        checkStart(collection, delivery, checkpoint);
        const writing = { space, batches, checkpoint, isForced: false, isNew };
        const last = [this.#registry.advance(space, held, delivery.checkpoint)];
        await relation.write(session, writing, last);
        return held;
      },
      { durability: "projection" },
    );
    if (written !== undefined) this.#note(space, written, batches);
  }

  async repair(
    scope: Scope,
    collection: Collection<TablePlacement>,
    batch: RecordBatch,
  ): Promise<void> {
    checkTypes(collection, [batch]);
    await this.#registry.ready(scope);
    const space = this.#pg.space(scope);
    await this.#pg.transaction(
      scope,
      `repair ${collection.name}`,
      async (session) => {
        const held = await this.#registry.lock(session, space, collection);
        const writing = { space, batches: [batch], checkpoint: 0, isForced: true, isNew: false };
        await held.relation.write(session, writing, []);
        this.#note(space, held, [batch]);
      },
      { durability: "projection" },
    );
  }

  /** Reads a prepared collection in one state of the database; answers `empty` for any other. */
  async read<Result>(
    scope: Scope,
    doing: string,
    collection: Collection<TablePlacement>,
    reading: {
      readonly empty: Result;
      readonly work: (held: HeldRelation, session: PgSession, space: string) => Promise<Result>;
    },
  ): Promise<Result> {
    return this.#reading(scope, doing, async (session, space) => {
      const held = await this.#registry.find(session, space, collection);
      return held === undefined ? reading.empty : reading.work(held, session, space);
    });
  }

  /** Reads rows by one statement, in one round trip where the relation is known. */
  async ask<Result>(
    scope: Scope,
    doing: string,
    collection: Collection<TablePlacement>,
    asking: {
      readonly empty: Result;
      readonly statement: (relation: PgRelation, space: string) => PgFragment;
      readonly answer: (held: HeldRelation, rows: readonly PgRow[]) => Result;
    },
  ): Promise<Result> {
    const { empty, statement, answer } = asking;
    return this.#reading(scope, doing, async (session, space) => {
      const known = this.#registry.known(space, collection);
      const finding = this.#registry.finding(space, collection);
      const asked = known === undefined ? [] : [statement(known, space)];
      const [found, rows] = await session.runAll([finding, ...asked]);
      const held = this.#registry.found(found?.rows[0], space, collection);
      if (held === undefined) return empty;
      if (held.relation === known && rows !== undefined) return answer(held, rows.rows);
      return answer(held, await session.rows(statement(held.relation, space)));
    });
  }

  async #reading<Result>(
    scope: Scope,
    doing: string,
    work: (session: PgSession, space: string) => Promise<Result>,
  ): Promise<Result> {
    await this.#registry.ready(scope);
    const space = this.#pg.space(scope);
    const once = (): Promise<Result> =>
      this.#pg.read(scope, doing, (session) => work(session, space));
    try {
      return await once();
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== "corrupt") throw cause;
      // A table that is gone was discarded since the registry was read: read anew, it is not held.
      this.#registry.forget();
      return once();
    }
  }

  async statistics(scope: Scope): Promise<StoreStatistics> {
    await this.#registry.ready(scope);
    const space = this.#pg.space(scope);
    return this.#pg.read(scope, "count rows", async (session) => {
      const held = await this.#registry.list(session, space);
      const counts = await session.runAll(
        held.map(
          ({ relation }) => sql`SELECT counted.count,
          (SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(${textArray(relation.tables)}) AS name)
            AS bytes,
          (SELECT max(reltuples) FROM pg_class WHERE oid = ${relation.tables[0] ?? ""}::regclass) AS all_rows
          FROM (${relation.count(space)}) AS counted`,
        ),
      );
      const rows = counts.map(({ rows: [row] }) => ({
        records: Number(row?.["count"] ?? 0),
        bytes: Number(row?.["bytes"] ?? 0),
        allRows: Number(row?.["all_rows"] ?? 0),
      }));
      return {
        collections: held.map(({ name, generation }, index) => ({
          name,
          generation,
          records: rows[index]?.records ?? 0,
        })),
        // Spaces share tables: a space has as much of one as it has of its rows.
        bytes: rows.reduce((sum, { records, bytes, allRows }) => {
          const part = records === 0 ? 0 : records / Math.max(records, allRows);
          return sum + Math.round(bytes * part);
        }, 0),
      };
    });
  }

  /** Makes what was applied durable, and tells the planner of what was loaded. */
  async settle(scope: Scope): Promise<void> {
    const space = this.#pg.space(scope);
    const unsettled = this.#unsettled.get(space);
    if (unsettled === undefined) return;
    this.#unsettled.delete(space);
    const loaded = [...unsettled].filter(([, rows]) => rows >= ROWS_ANALYSED_MIN);
    try {
      await this.#pg.transaction(
        scope,
        "settle",
        async (session) => {
          if (loaded.length > 0) {
            await session.define([
              verbatim(`ANALYZE ${loaded.map(([table]) => table).join(", ")}`),
            ]);
          }
          // The log is written in order: when this is durable, what was written before is.
          await session.run(this.#registry.touch(space));
        },
        { durability: "journal" },
      );
    } catch (cause) {
      this.#unsettled.set(space, unsettled);
      throw cause;
    }
  }

  #note(
    space: string,
    { relation: { tables } }: HeldRelation,
    batches: readonly RecordBatch[],
  ): void {
    const written = batches.reduce((sum, { ids }) => sum + ids.length, 0);
    const unsettled = this.#unsettled.get(space) ?? new Map<string, number>();
    this.#unsettled.set(space, unsettled);
    for (const table of tables) unsettled.set(table, (unsettled.get(table) ?? 0) + written);
  }
}

function checkTypes(collection: Collection<TablePlacement>, batches: readonly RecordBatch[]): void {
  const [type] = onlyPlacement(collection);
  const other = batches.find((batch) => batch.type !== type);
  if (other === undefined) return;
  throw new StoreError("refused", `${collection.name} holds no ${other.type}`);
}
