import { quoteName } from "../drivers/duckdb.ts";

/** Where a collection stands in a tenant's own SQL: `pack.name`. */
export function viewOf(name: string): { schema: string; key: string; sqlName: string } {
  const cut = name.indexOf("/");
  const schema = cut < 0 ? "main" : name.slice(0, cut);
  const view = name.slice(cut + 1);
  return {
    schema,
    // DuckDB compares names without regard to case.
    key: `${schema}.${view}`.toLowerCase(),
    sqlName: `${quoteName(schema)}.${quoteName(view)}`,
  };
}
