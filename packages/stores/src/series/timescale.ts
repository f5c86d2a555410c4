import type { PgSession } from "../drivers/postgresql-session.ts";
import { pgName, sql } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";

/** The schema in which TimescaleDB's functions lie, quoted; `undefined` where it is not installed. */
export async function timescaleSchema(session: PgSession): Promise<string | undefined> {
  const [row] =
    await session.rows(sql`SELECT home.nspname AS name FROM pg_catalog.pg_extension AS made
    JOIN pg_catalog.pg_namespace AS home ON home.oid = made.extnamespace
    WHERE made.extname = 'timescaledb'`);
  return row === undefined ? undefined : pgName(String(row["name"]));
}

// A month in milliseconds, the width of native partitions.
const CHUNK_MS = 30 * 86_400_000;

/**
 * The statements that make a new table one of TimescaleDB's, which then keeps chunks by time
 * (docs.tigerdata.com/api/latest/hypertable/create_hypertable_old: the form that every 2.x takes).
 */
export function hypertableStatements(schema: string, table: string): readonly PgFragment[] {
  return [
    sql`SELECT ${verbatim(schema)}.create_hypertable(${table}::regclass, '_at',
      chunk_time_interval => ${CHUNK_MS}::bigint, create_default_indexes => false)`,
  ];
}
