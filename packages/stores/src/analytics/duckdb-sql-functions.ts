import type { DuckDBConnection } from "@duckdb/node-api";

/**
 * Functions a tenant's SQL may call: those the engine itself calls consistent (the same answer for the
 * same arguments), plus a few named ones, less those that show or change more than their arguments.
 *
 * What is new in a later DuckDB and not consistent stays out by itself; a test pins what is let in.
 */
export async function loadAllowedFunctions(
  connection: DuckDBConnection,
): Promise<ReadonlySet<string>> {
  const result = await connection.runAndReadAll(
    `SELECT DISTINCT lower(function_name), function_type FROM duckdb_functions()
     WHERE function_type = 'aggregate' OR function_type = 'macro'
       OR (function_type = 'scalar' AND stability = 'CONSISTENT')`,
  );
  const allowed = new Set(ALSO_ALLOWED);
  for (const [name, type] of result.getRows()) {
    if (typeof name !== "string" || REFUSED.has(name) || REFUSED_NAMES.test(name)) continue;
    if (type !== "macro" || ALLOWED_MACROS.test(name)) allowed.add(name);
  }
  return allowed;
}

// Settings, variables, plans with the names of what lies behind views, logs, and states of aggregates,
// which are bytes that the engine trusts.
const REFUSED = new Set([
  "combine",
  "current_setting",
  "finalize",
  "getvariable",
  "json_deserialize_sql",
  "json_serialize_plan",
  "json_serialize_sql",
  "parse_duckdb_log_message",
  "vector_type",
  "version",
]);
const REFUSED_NAMES = /^(?:__internal|pg_|current_(?:connection|query|transaction))/;

const ALSO_ALLOWED = [
  "count_star",
  "current_date",
  "gen_random_uuid",
  "get_current_time",
  "get_current_timestamp",
  "now",
  "random",
  "today",
  "transaction_timestamp",
  "unnest",
  "uuid",
  "uuidv4",
  "uuidv7",
];

// Macros are SQL of the engine's own; those of other names look into its catalogue or settings.
const ALLOWED_MACROS =
  /^(?:list_|array_|json_group_|map_contains_|md5_number_).*|^(?:ago|date_add|days_in_month|fdiv|fmod|generate_subscripts|geomean|geometric_mean|json|nullif|round_even|roundbankers|split_part|wavg|weighted_avg)$/;

/** Table functions a tenant's SQL may call: they make rows of their arguments alone. */
export const ALLOWED_TABLE_FUNCTIONS: ReadonlySet<string> = new Set([
  "generate_series",
  "json_each",
  "json_tree",
  "range",
  "unnest",
]);
