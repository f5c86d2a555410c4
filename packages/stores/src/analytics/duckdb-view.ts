import { quoteName, STORE_CATALOG } from "../drivers/duckdb.ts";

/** A collection's place in a tenant's own SQL. */
export interface SqlView {
  readonly schema: string;
  /** `pack.name` in lower case. */
  readonly key: string;
  readonly schemaSqlName: string;
  readonly sqlName: string;
}

/** Where a collection stands in a tenant's own SQL: `pack.name`. */
export function viewOf(name: string): SqlView {
  const cut = name.indexOf("/");
  const schema = cut < 0 ? "main" : name.slice(0, cut);
  const view = name.slice(cut + 1);
  // In full, as a pack may be named like one of the engine's own catalogues: `system`, `temp`.
  const schemaSqlName = `${quoteName(STORE_CATALOG)}.${quoteName(schema)}`;
  return {
    schema,
    schemaSqlName,
    // DuckDB compares names without regard to case.
    key: `${schema}.${view}`.toLowerCase(),
    sqlName: `${schemaSqlName}.${quoteName(view)}`,
  };
}
