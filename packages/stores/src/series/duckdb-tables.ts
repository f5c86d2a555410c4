import type { DuckDBConnection } from "@duckdb/node-api";

import type { DuckdbRowForm } from "../drivers/duckdb-digest.ts";
import { DuckdbRoleTables, openTables } from "../drivers/duckdb-role.ts";
import type { OpenedTables } from "../drivers/duckdb-role.ts";
import type { DuckdbTableName } from "../drivers/duckdb-protocol.ts";
import { requireTable } from "../drivers/duckdb-tables.ts";
import type { StoredTable } from "../drivers/duckdb-tables.ts";
import type { DuckdbFileOptions } from "../drivers/duckdb.ts";
import { seriesContent } from "./content.ts";
import type { SeriesPoint } from "./content.ts";
import { layoutWidth } from "./measurement-layout.ts";
import type { SeriesLayout } from "./measurement-layout.ts";
import { explainSeries, querySeries } from "./duckdb-query.ts";
import type { SeriesRequest } from "./duckdb-query.ts";
import { dropRollups, foldRollup, prepareRollups } from "./duckdb-rollup.ts";
import type { RollupRequest } from "./duckdb-rollup.ts";
import type { FilledRow } from "./fill.ts";

const FORM: DuckdbRowForm = {
  isGrouped: true,
  rowOrder: "_ordinal",
  compile(table) {
    const point = compilePoint(table);
    return (rows) => seriesContent(rows.map(point));
  },
};

/** The series of one tenant, inside its DuckDB process. */
export class DuckdbSeriesTables extends DuckdbRoleTables {
  private constructor(opened: OpenedTables) {
    super(opened, FORM, "_ordinal = 0");
    this.handle<DuckdbTableName>("discard", (name) => this.tables.discard(name, dropRollups));
    this.handle<SeriesRequest>("query", (request, { signal }) => this.#query(request, signal));
    this.handle<SeriesRequest>("explain", (request, { signal }) => this.#explain(request, signal));
    this.handle<RollupRequest>("rollup", (request) => foldRollup(this.tables.writer, request));
  }

  static async open(options: DuckdbFileOptions): Promise<DuckdbSeriesTables> {
    const opened = await openTables(options);
    await opened.tables.writer.transaction("make the list of rollups", prepareRollups);
    return new DuckdbSeriesTables(opened);
  }

  async #query(
    request: SeriesRequest,
    signal: AbortSignal,
  ): Promise<{ rows: readonly FilledRow[]; checkpoint: number }> {
    const work = async (
      connection: DuckDBConnection,
    ): Promise<{ rows: readonly FilledRow[]; checkpoint: number }> => {
      const table = await requireTable(connection, request.table);
      const rows = await querySeries(connection, table, request);
      return { rows, checkpoint: table.checkpoint };
    };
    return await this.tables.reader.snapshot(`query ${request.table.name}`, signal, work);
  }

  async #explain(request: SeriesRequest, signal: AbortSignal): Promise<readonly string[]> {
    const work = async (connection: DuckDBConnection): Promise<readonly string[]> =>
      await explainSeries(connection, await requireTable(connection, request.table), request);
    return await this.tables.reader.snapshot(`explain ${request.table.name}`, signal, work);
  }
}

/** Makes a point of a stored row, with the names that its measurement gives its columns. */
function compilePoint(table: StoredTable): (row: readonly unknown[]) => SeriesPoint {
  const layout = JSON.parse(table.note) as SeriesLayout;
  const width = layoutWidth(layout);
  return (row) => {
    const [, measurement, at, ...values] = row;
    const names = layout.measurements[Number(measurement)];
    const tags = values.slice(0, width.tags);
    const fields = values.slice(width.tags);
    return {
      measurement: names?.name ?? "",
      at: Number(at),
      tags: new Map(named(names?.tags ?? [], tags).map(([name, tag]) => [name, String(tag)])),
      fields: new Map(
        named(names?.fields ?? [], fields).map(([name, field]) => [name, Number(field)]),
      ),
    };
  };
}

function named(names: readonly string[], values: readonly unknown[]): [string, unknown][] {
  return names.flatMap((name, slot) => {
    const value = values[slot] ?? null;
    return value === null ? [] : [[name, value] satisfies [string, unknown]];
  });
}
