import { StoreError } from "../errors.ts";
import type { CallLimit, PgConnection } from "./postgresql-connection.ts";
import { pgName, sql } from "./postgresql-sql.ts";
import { verbatim } from "./sql-fragment.ts";

/** A component's tables, as the steps that made them one after another. */
export interface PgMigration {
  /** What follows the installation's name in the schema's: `journal`. */
  readonly component: string;
  /** Each a text of statements; a step that was released is never changed. `schema` is quoted. */
  readonly steps: readonly ((schema: string) => string)[];
}

/** Where a migration goes, and for whom. */
interface MigrationTarget {
  /** Not quoted. */
  readonly schema: string;
  /** Who is to use what was made. */
  readonly role: string | undefined;
  readonly limit: () => CallLimit;
}

/**
 * Brings a schema to the version of the program, in one transaction under an advisory lock.
 *
 * @throws StoreError `unsupported` when a newer program has made it.
 */
export async function migrateSchema(
  connection: PgConnection,
  { component, steps }: PgMigration,
  options: MigrationTarget,
): Promise<void> {
  const { schema, role, limit } = options;
  const table = pgName(schema, "migration");
  const versionNow = async (): Promise<number> => {
    const [made] = await connection.run(
      [sql`SELECT to_regclass(${table}) IS NOT NULL AS made`],
      limit(),
    );
    if (made?.rows[0]?.["made"] !== true) return 0;
    const [found] = await connection.run(
      [verbatim(`SELECT coalesce(max(version), 0) AS version FROM ${table}`)],
      limit(),
    );
    const version = Number(found?.rows[0]?.["version"]);
    if (version <= steps.length) return version;
    throw new StoreError(
      "unsupported",
      `the schema ${schema} is of version ${version}: this program knows ${component} up to ${steps.length}`,
    );
  };
  if ((await versionNow()) === steps.length && (await isGranted(connection, options))) return;
  try {
    await connection.run(
      [verbatim("BEGIN ISOLATION LEVEL READ COMMITTED"), lockOf(schema)],
      limit(),
    );
    await connection.script(
      `CREATE SCHEMA IF NOT EXISTS ${pgName(schema)};
       CREATE TABLE IF NOT EXISTS ${table} (version int PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())`,
      limit(),
    );
    const version = await versionNow();
    for (const [index, step] of steps.entries()) {
      if (index < version) continue;
      await connection.script(step(pgName(schema)), limit());
      await connection.run([sql`INSERT INTO ${verbatim(table)} VALUES (${index + 1})`], limit());
    }
    if (role !== undefined) await grantAll(connection, { schema, role, limit });
    await connection.run([verbatim("COMMIT")], limit());
  } catch (cause) {
    // The server takes back what is open, and the lock with it.
    connection.destroy();
    throw cause;
  }
}

/** A lock that only this installation's schema uses, held to the transaction's end. */
function lockOf(schema: string): ReturnType<typeof sql> {
  return sql`SELECT pg_advisory_xact_lock(hashtextextended(${`custody:${schema}`}, 0))`;
}

/** Whether the role may use the schema: one may be named in the URL after the tables were made. */
async function isGranted(
  connection: PgConnection,
  { schema, role, limit }: MigrationTarget,
): Promise<boolean> {
  if (role === undefined) return true;
  const [found] = await connection.run(
    [sql`SELECT has_schema_privilege(${role}::text, ${schema}, 'USAGE') AS granted`],
    limit(),
  );
  return found?.rows[0]?.["granted"] === true;
}

/** Lets the role use the schema's tables, and those of schemas made under its name. */
async function grantAll(
  connection: PgConnection,
  { schema, role, limit }: MigrationTarget & { readonly role: string },
): Promise<void> {
  const [found] = await connection.run(
    [
      sql`SELECT nspname::text AS name FROM pg_namespace
        WHERE nspname = ${schema} OR starts_with(nspname::text, ${`${schema}_`})`,
    ],
    limit(),
  );
  for (const row of found?.rows ?? []) {
    const [name, to] = [pgName(String(row["name"])), pgName(role)];
    const text = `GRANT USAGE ON SCHEMA ${name} TO ${to};
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${name} TO ${to};
      GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${name} TO ${to}`;
    await connection.script(text, limit());
  }
}
