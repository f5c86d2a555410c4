import type { PgMigration } from "../drivers/postgresql-migration.ts";
import { pgName } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import type { Scope } from "../scope.ts";

const TENANT_TABLES = [
  "head",
  "entry",
  "entry_lines",
  "record_id",
  "id_count",
  "tree_node",
  "tree_head",
  "segment",
  "intent",
  "receipt",
  "state",
  "quarantine",
] as const;

/** The journal's own tables. */
export const JOURNAL_TABLES: readonly JournalTableName[] = [
  "tenant",
  "type",
  "declared_table",
  ...TENANT_TABLES,
];

/** The journal's tables on a PostgreSQL server. */
export interface JournalDatabase {
  readonly pg: Postgresql;
  /** One of the journal's own tables, quoted. */
  readonly table: (name: JournalTableName) => PgFragment;
}

/** A table of the journal's own. */
export type JournalTableName =
  | "tenant"
  | "type"
  | "declared_table"
  | (typeof TENANT_TABLES)[number];

/** The journal's tables in a database, made at the first call that uses them. */
export function journalDatabase(pg: Postgresql): JournalDatabase {
  const schema = pg.schema(JOURNAL_MIGRATION.component);
  return { pg, table: (name) => verbatim(pgName(schema, name)) };
}

/** The journal belongs to tenants, whoever in them acts. */
export function tenantScope({ tenant, actor, deadline }: Scope): Scope {
  return { tenant, actor, deadline };
}

/** What `custody.space` is when the names of all tenants are listed; no tenant's name. */
export const EVERY_TENANT = "*";

/**
 * Statements that show only rows of the tenant whose space is set. The name is looked up
 * once a statement, and not trusted to the numbers that this program keeps.
 */
export function rowSecurity(schema: string, table: string, column: string): readonly string[] {
  const tenantNo = `(SELECT tenant_no FROM ${schema}.tenant
    WHERE name = current_setting('custody.space', true))`;
  return [
    `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
    `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`,
    `CREATE POLICY custody_tenant ON ${table} USING (${column} = ${tenantNo})
      WITH CHECK (${column} = ${tenantNo})`,
  ];
}

/**
 * The journal's tables.
 *
 * Tenants and types are numbers in every key, as in the embedded engine. Texts are compared by their
 * bytes, so that pages come in the order of code points. Of `record_id` and `entry`, which only grow,
 * the statistics and the frozen rows are kept fresh by inserts; `head` and `id_count` have room for
 * their next version on their page, as each commit changes them.
 */
export const JOURNAL_MIGRATION: PgMigration = {
  component: "journal",
  steps: [
    (schema) => `
CREATE TABLE ${schema}.tenant (tenant_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE ${schema}.type (type_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE ${schema}.head (tenant_no int PRIMARY KEY REFERENCES ${schema}.tenant,
  timeline text NOT NULL, sequence bigint NOT NULL, last_entry_hash bytea NOT NULL,
  last_received_at bigint NOT NULL, frontier bytea NOT NULL) WITH (fillfactor = 25);
CREATE TABLE ${schema}.entry (tenant_no int NOT NULL, sequence bigint NOT NULL, type_no int NOT NULL,
  count int NOT NULL, received_at bigint NOT NULL, first_line bigint, hash bytea NOT NULL,
  commit_id text COLLATE "C" NOT NULL, operation text COLLATE "C" NOT NULL, segment_id text COLLATE "C",
  bytes bytea NOT NULL, PRIMARY KEY (tenant_no, sequence))
  WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE INDEX entry_type ON ${schema}.entry (tenant_no, type_no, sequence);
CREATE TABLE ${schema}.entry_lines (tenant_no int NOT NULL, sequence bigint NOT NULL, lines bytea NOT NULL,
  PRIMARY KEY (tenant_no, sequence));
ALTER TABLE ${schema}.entry_lines ALTER COLUMN lines SET STORAGE EXTERNAL;
CREATE TABLE ${schema}.record_id (sequence bigint NOT NULL, tenant_no int NOT NULL, type_no int NOT NULL,
  place int NOT NULL, id text COLLATE "C" NOT NULL, content_hash bytea NOT NULL,
  PRIMARY KEY (tenant_no, type_no, id, sequence))
  WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE TABLE ${schema}.id_count (tenant_no int NOT NULL, type_no int NOT NULL, live bigint NOT NULL,
  total bigint NOT NULL, PRIMARY KEY (tenant_no, type_no)) WITH (fillfactor = 25);
CREATE TABLE ${schema}.tree_node (tenant_no int NOT NULL, level int NOT NULL, position bigint NOT NULL,
  hash bytea NOT NULL, PRIMARY KEY (tenant_no, level, position));
CREATE TABLE ${schema}.tree_head (tenant_no int NOT NULL, size bigint NOT NULL, head bytea NOT NULL,
  PRIMARY KEY (tenant_no, size));
CREATE TABLE ${schema}.segment (tenant_no int NOT NULL, segment_id text COLLATE "C" NOT NULL,
  blob_key text COLLATE "C" NOT NULL, bytes bigint NOT NULL, lines bigint NOT NULL, hash bytea NOT NULL,
  period text COLLATE "C" NOT NULL, PRIMARY KEY (tenant_no, segment_id));
CREATE TABLE ${schema}.intent (tenant_no int NOT NULL, segment_id text COLLATE "C" NOT NULL,
  blob_key text COLLATE "C" NOT NULL, expires_at bigint NOT NULL,
  PRIMARY KEY (tenant_no, segment_id));
CREATE TABLE ${schema}.receipt (tenant_no int NOT NULL, kind text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL, receipt text COLLATE "C" NOT NULL, PRIMARY KEY (tenant_no, kind, key));
CREATE TABLE ${schema}.state (tenant_no int NOT NULL, name text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL, PRIMARY KEY (tenant_no, name));
CREATE TABLE ${schema}.quarantine (tenant_no int NOT NULL, role text COLLATE "C" NOT NULL,
  collection text COLLATE "C" NOT NULL, type text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL,
  sequence bigint NOT NULL, reason text COLLATE "C" NOT NULL, at bigint NOT NULL,
  PRIMARY KEY (tenant_no, role, collection, type, id));
CREATE TABLE ${schema}.declared_table (name text COLLATE "C" PRIMARY KEY, columns text NOT NULL,
  is_unique text NOT NULL);
ALTER TABLE ${schema}.tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${schema}.tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY custody_tenant ON ${schema}.tenant
  USING (current_setting('custody.space', true) IN (name, '${EVERY_TENANT}'))
  WITH CHECK (name = current_setting('custody.space', true));
${TENANT_TABLES.flatMap((name) => rowSecurity(schema, `${schema}.${name}`, "tenant_no")).join(";\n")};
CREATE POLICY custody_every_tenant ON ${schema}.head FOR SELECT
  USING (current_setting('custody.space', true) = '${EVERY_TENANT}');
`,
    (schema) => `
ALTER TABLE ${schema}.quarantine ADD COLUMN since bigint, ADD COLUMN passed_by bigint;
`,
  ],
};
