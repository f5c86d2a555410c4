import { DuckDBInstance } from "@duckdb/node-api";
import { expect, test } from "vitest";

import { loadAllowedFunctions } from "./duckdb-sql-functions.ts";

const REFUSED = [
  "col_description combine current_catalog current_connection_id current_database",
  "current_query current_query_id current_role current_schema current_schemas",
  "current_setting current_transaction_id current_user currval error finalize",
  "format_pg_type format_type get_block_size getvariable has_any_column_privilege",
  "has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege",
  "has_function_privilege has_language_privilege has_schema_privilege",
  "has_sequence_privilege has_server_privilege has_table_privilege",
  "has_tablespace_privilege in_search_path inet_client_addr inet_client_port",
  "inet_server_addr inet_server_port json_deserialize_sql json_serialize_plan",
  "json_serialize_sql map_to_pg_oid nextval obj_description parse_duckdb_log_message",
  "pg_collation_is_visible pg_conf_load_time pg_conversion_is_visible",
  "pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_viewdef",
  "pg_has_role pg_is_other_temp_schema pg_my_temp_schema pg_opclass_is_visible",
  "pg_operator_is_visible pg_opfamily_is_visible pg_postmaster_start_time",
  "pg_size_pretty pg_sleep pg_table_is_visible pg_ts_config_is_visible",
  "pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible",
  "pg_type_is_visible pg_typeof regexp_split_to_table session_user setseed",
  "shobj_description sleep_ms stats txid_current user vector_type version write_log",
].join(" ");

// A new version of DuckDB changes these numbers: look at what is new, then at what it can reach.
test("the functions a tenant may call are those that were looked at", async () => {
  const instance = await DuckDBInstance.create(":memory:", {
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
  });
  const connection = await instance.connect();
  const allowed = await loadAllowedFunctions(connection);
  const result = await connection.runAndReadAll(
    "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type IN ('scalar', 'macro', 'aggregate')",
  );
  const refused = result
    .getRows()
    .map(([name]) => String(name))
    .filter((name) => !allowed.has(name) && !name.startsWith("__internal"))
    .sort();
  connection.closeSync();
  instance.closeSync();
  expect(allowed.size).toBe(723);
  expect(refused.join(" ")).toBe(REFUSED);
});
