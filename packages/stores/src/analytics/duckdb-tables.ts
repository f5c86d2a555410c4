import type { AnalyticsTotals } from "@custody/contract/placement";

import { BIGINT, DuckDBListValue, FLOAT, LIST } from "../drivers/duckdb-values.ts";
import type { DuckDBConnection } from "@duckdb/node-api";

import { plainValue } from "../drivers/duckdb-columns.ts";
import type { DuckdbRowForm } from "../drivers/duckdb-digest.ts";
import type { DuckdbTableName } from "../drivers/duckdb-protocol.ts";
import { DuckdbRoleTables, openTables } from "../drivers/duckdb-role.ts";
import type { OpenedTables } from "../drivers/duckdb-role.ts";
import { INTERNAL_SCHEMA, listTables, requireTable } from "../drivers/duckdb-tables.ts";
import type { StoredTable } from "../drivers/duckdb-tables.ts";
import { quoteName } from "../drivers/duckdb.ts";
import type { DuckdbFileOptions } from "../drivers/duckdb.ts";
import { StoreError } from "../errors.ts";
import { analyticsContent } from "./content.ts";
import { plainNumber } from "./cell.ts";
import { aggregateSql } from "./duckdb-aggregate.ts";
import type { AggregateRequest } from "./duckdb-aggregate.ts";
import { requireKind } from "./duckdb-filter.ts";
import type { KnownColumns } from "./duckdb-filter.ts";
import { DuckdbUserSql, planLines } from "./duckdb-user-sql.ts";
import { viewOf } from "./duckdb-view.ts";
import type { Cell, SqlRequest } from "./port.ts";

const FORM: DuckdbRowForm = {
  isGrouped: false,
  rowOrder: "",
  compile: () => (rows) => {
    const [observedAt, ...values] = rows[0] ?? [];
    return analyticsContent(typeof observedAt === "number" ? observedAt : null, values);
  },
};

/** The analytics tables of one tenant, inside its DuckDB process. */
export class DuckdbAnalyticsTables extends DuckdbRoleTables {
  readonly #userSql: DuckdbUserSql;

  private constructor(opened: OpenedTables, userSql: DuckdbUserSql) {
    super(opened, FORM, "true");
    this.#userSql = userSql;
    this.handle<DuckdbTableName>("publish", (name) => this.#publish(name));
    this.handle<DuckdbTableName>("discard", (name) => this.tables.discard(name, dropView));
    this.handle<AggregateRequest & { table: DuckdbTableName }>("aggregate", (query, { signal }) =>
      this.#aggregate(query, signal),
    );
    this.handle<SimilarRequest>("similar", (query, { signal }) => this.#similar(query, signal));
    this.handle<SqlRequest>("sql", (request, { signal }) => userSql.run(request, signal));
    this.handle<SqlRequest>("explainSql", (request, { signal }) =>
      userSql.explain(request, signal),
    );
    this.handle<AggregateRequest & { table: DuckdbTableName }>("explain", (query, { signal }) =>
      this.#explain(query, signal),
    );
  }

  static async open(options: DuckdbFileOptions): Promise<DuckdbAnalyticsTables> {
    const opened = await openTables(options);
    return new DuckdbAnalyticsTables(opened, await DuckdbUserSql.open(opened.file));
  }

  override endQueries(): boolean {
    return this.#userSql.endAll();
  }

  async #publish(name: DuckdbTableName): Promise<void> {
    await this.tables.writer.transaction(`publish ${name.name}`, async (connection) => {
      const table = await requireTable(connection, name);
      const view = viewOf(name.name);
      const others = await listTables(connection);
      const twin = others.find(
        (other) =>
          other.isPublished && other.name !== name.name && viewOf(other.name).key === view.key,
      );
      if (twin !== undefined || view.schema.toLowerCase() === INTERNAL_SCHEMA) {
        throw new StoreError("refused", `in SQL the name ${name.name} is taken`);
      }
      await connection.run(`CREATE SCHEMA IF NOT EXISTS ${view.schemaSqlName}`);
      await connection.run(`CREATE OR REPLACE VIEW ${view.sqlName} AS ${shownRows(table)}`);
      await connection.run(
        `UPDATE ${quoteName(INTERNAL_SCHEMA)}.collections SET is_published = (generation = $2)
         WHERE name = $1`,
        [name.name, name.generation],
      );
    });
  }

  async #aggregate(
    request: AggregateRequest & { readonly table: DuckdbTableName },
    signal: AbortSignal,
  ): Promise<{ names: readonly string[]; rows: Cell[][]; checkpoint: number }> {
    const doing = `aggregate ${request.table.name}`;
    return await this.tables.reader.snapshot(doing, signal, async (connection) => {
      const table = await requireTable(connection, request.table);
      const { sql, parameters, names } = aggregateSql(table.sqlName, columnsOf(table), request);
      const result = await connection.runAndReadAll(sql, parameters.values, parameters.types);
      const rows = result.getRows().map((row) => row.map((value) => cellOf(plainValue(value))));
      return { names, rows, checkpoint: table.checkpoint };
    });
  }

  async #explain(
    request: AggregateRequest & { readonly table: DuckdbTableName },
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const doing = `explain an aggregate of ${request.table.name}`;
    return await this.tables.reader.snapshot(doing, signal, async (connection) => {
      const table = await requireTable(connection, request.table);
      const { sql, parameters } = aggregateSql(table.sqlName, columnsOf(table), request);
      const plan = await connection.runAndReadAll(
        `EXPLAIN ${sql}`,
        parameters.values,
        parameters.types,
      );
      return planLines(plan.getRows());
    });
  }

  async #similar(
    request: SimilarRequest,
    signal: AbortSignal,
  ): Promise<{ rows: { id: string; similarity: number }[]; checkpoint: number }> {
    const { column, vector, top } = request;
    const doing = `compare vectors of ${request.table.name}`;
    return await this.tables.reader.snapshot(doing, signal, async (connection) => {
      const table = await requireTable(connection, request.table);
      if (requireKind(columnsOf(table), column) !== "vector") {
        throw new StoreError("refused", `${column} holds no vectors`);
      }
      const name = quoteName(column);
      // CASE keeps DuckDB from comparing vectors of unequal length, which is an error; a vector of
      // zeros has no direction, and DuckDB would call it opposite to every other.
      const result = await connection.runAndReadAll(
        `SELECT _id, similarity FROM (SELECT _id, CASE WHEN len(${name}) = $2
           AND list_dot_product(${name}, ${name}) > 0 AND list_dot_product($1, $1) > 0
           THEN list_cosine_similarity(${name}, $1) END AS similarity FROM ${table.sqlName})
         WHERE similarity IS NOT NULL AND isfinite(similarity)
         ORDER BY similarity DESC, _id LIMIT $3`,
        [new DuckDBListValue([...vector]), BigInt(vector.length), BigInt(top)],
        [LIST(FLOAT), BIGINT, BIGINT],
      );
      const rows = result
        .getRows()
        .map(([id, similarity]) => ({ id: String(id), similarity: Number(similarity) }));
      return { rows, checkpoint: table.checkpoint };
    });
  }
}

interface SimilarRequest {
  readonly table: DuckdbTableName;
  readonly column: string;
  readonly vector: readonly number[];
  readonly top: number;
}

function columnsOf(table: StoredTable): KnownColumns {
  return new Map([
    ["_id", "text"],
    ["_sequence", "integer"],
    ...table.columns.map(({ name, kind }) => [name, kind] as const),
  ]);
}

function cellOf(value: unknown): Cell {
  if (typeof value === "bigint") return plainNumber(value);
  return value as Cell;
}

/** The rows that SQL sees of a table: as they are, or their totals. */
function shownRows({ sqlName, columns, note }: StoredTable): string {
  if (note === "") return `FROM ${sqlName}`;
  const totals = JSON.parse(note) as AnalyticsTotals;
  const shown = columns
    .filter(({ name }) => name !== "_observed_at")
    .map(({ name }) => {
      const column = quoteName(name);
      if (totals.by.includes(name)) return column;
      if (totals.sum.includes(name)) return `sum(${column}) AS ${column}`;
      return `last(${column} ORDER BY _sequence, _id) AS ${column}`;
    });
  return `SELECT ${shown.join(", ")} FROM ${sqlName} GROUP BY ${totals.by.map(quoteName).join(", ")}`;
}

async function dropView(connection: DuckDBConnection, table: StoredTable): Promise<void> {
  if (!table.isPublished) return;
  await connection.run(`DROP VIEW IF EXISTS ${viewOf(table.name).sqlName}`);
}
