import type { ClickhouseServer } from "../drivers/clickhouse.ts";
import { isNotThere } from "../drivers/clickhouse-errors.ts";
import { quoteClickhouseName } from "../drivers/clickhouse-text.ts";
import type { Scope } from "../scope.ts";
import type { ClickhouseCatalogue } from "./clickhouse-catalogue.ts";
import { OWN_COLUMNS, shownRows } from "./clickhouse-layout.ts";
import type { ClickhouseLayout, RowTable } from "./clickhouse-layout.ts";

/** What views are made with. */
export interface ViewMaker {
  readonly server: ClickhouseServer;
  readonly layout: ClickhouseLayout;
  readonly catalogue: ClickhouseCatalogue;
}

/**
 * Makes the view that bears the type's own name for the operator and dashboards: the published rows of
 * all tenants, each with its tenant in `_custody_space`. Grants and row policies are the operator's.
 */
export async function publishView(
  { server, layout, catalogue }: ViewMaker,
  scope: Scope,
  name: string,
): Promise<void> {
  const doing = `publish ${name}`;
  const parts = await catalogue.published(scope, name);
  if (parts.length === 0) {
    await server.run(scope, { doing, sql: `DROP VIEW IF EXISTS ${layout.view(name)}` });
    return;
  }
  // Tenants may be at different mappings: a column that one has not, or of another type, is empty there.
  const types = new Map<string, string>();
  for (const { name: column, type } of parts.flatMap(({ table }) => table.columns)) {
    types.set(column, types.get(column) ?? type);
  }
  const selects = parts.map(({ table, builds }) => selectPart(table, builds, types));
  const view = layout.view(name);
  try {
    const sql = `CREATE OR REPLACE VIEW ${view} AS ${selects.join(" UNION ALL ")}`;
    await server.run(scope, { doing, sql });
  } catch (cause) {
    // Another tenant's table was dropped behind our back: until it is built anew there is no such view.
    if (!isNotThere(cause)) throw cause;
    await server.run(scope, { doing, sql: `DROP VIEW IF EXISTS ${view}` });
  }
}

function selectPart(table: RowTable, builds: string, types: ReadonlyMap<string, string>): string {
  const { columns, grouping } = shownRows(table);
  const shown = new Set(columns.map(({ name }) => name));
  const stored = new Map(table.columns.map(({ name, type }) => [name, type]));
  const own = [...types].map(([name, type]) => {
    const empty = type === "text[]" || type === "vector" ? "[]" : "NULL";
    const column = quoteClickhouseName(name);
    return stored.get(name) === type ? column : `${empty} AS ${column}`;
  });
  const rest = OWN_COLUMNS.map(({ name }) => (shown.has(name) ? name : `NULL AS ${name}`));
  const group = grouping === "" ? "" : `${grouping}, _custody_space`;
  // Layer by layer, as an alias stands for its expression wherever its name is met.
  const list = columns.map(({ name, sql }) => `${sql} AS ${quoteClickhouseName(name)}`);
  const rows = `SELECT * FROM ${table.sqlName} FINAL WHERE (_custody_space, _custody_build) IN (${builds})`;
  return `SELECT ${[...own, ...rest].join(", ")}, _custody_space
    FROM (SELECT ${list.join(", ")}, _custody_space FROM (${rows}) ${group})`;
}
