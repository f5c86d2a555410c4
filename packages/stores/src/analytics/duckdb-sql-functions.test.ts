import { DuckDBInstance } from "@duckdb/node-api";
import { expect, test } from "vitest";

import { loadAllowedFunctions } from "./duckdb-sql-functions.ts";

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
  expect(allowed.size).toBe(0);
  expect(refused).toEqual([]);
});
