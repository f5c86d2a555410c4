import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { dirname, join } from "node:path";

import { DuckDBInstance } from "@duckdb/node-api";

import { joinDuckdbPool } from "../drivers/duckdb-pool.ts";
import type { DuckdbStoreName } from "../drivers/duckdb-protocol.ts";
import type { Scope } from "../scope.ts";
import { scopeFor } from "./scope.ts";
import type { ProjectionFaults } from "./conformance-projection.ts";
import { withoutPrivileges } from "./without-privileges.ts";

/** The tenant whose files are hurt. */
const TENANT = scopeFor("tenant-a");

/** Statements that alter, lose and invent a row, whose id is `$1`. */
export type Tampering = Readonly<Record<"alter" | "lose" | "invent", string>>;

/** The ways to hurt a tenant's DuckDB file, for both roles. */
export function duckdbFaults(store: DuckdbStoreName, tampering: Tampering): ProjectionFaults {
  const fileOf = (home: string): string => join(home, "tenants", "tenant-a", `${store}.duckdb`);
  return {
    tamper: async (home, how, id) => {
      const file = await DuckDBInstance.create(fileOf(home));
      const connection = await file.connect();
      await connection.run(tampering[how], [id]);
      connection.closeSync();
      file.closeSync();
    },
    corrupt: async (home) => {
      const { size } = statSync(fileOf(home));
      const file = openSync(fileOf(home), "r+");
      // The first three blocks of 4 KiB are headers (duckdb.org/docs/stable/internals/storage).
      writeSync(file, new Uint8Array(size - 12_288).fill(0xa5), 0, size - 12_288, 12_288);
      closeSync(file);
    },
    whileReadOnly: async (home, work) => {
      const tenant = dirname(fileOf(home));
      for (const path of [home, dirname(tenant), tenant]) await chmod(path, 0o777);
      await chmod(fileOf(home), 0o444);
      await withoutPrivileges(work);
    },
    whileLocked: async (home, work) => {
      await endDuckdbProcess(home);
      const file = await DuckDBInstance.create(fileOf(home));
      try {
        await work();
      } finally {
        file.closeSync();
      }
    },
  };
}

/** Kills the process that owns the tenant's files, and waits until it is gone. */
export async function endDuckdbProcess(home: string, scope: Scope = TENANT): Promise<void> {
  const { pool, release } = joinDuckdbPool({ directory: home });
  const processId = pool.processId(scope);
  if (processId !== undefined) {
    process.kill(processId, "SIGKILL");
    while (pool.processId(scope) === processId) await new Promise((turn) => setImmediate(turn));
  }
  await release();
}
