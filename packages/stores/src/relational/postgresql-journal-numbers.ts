import { sql } from "../drivers/postgresql-sql.ts";
import type { Scope } from "../scope.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";

/**
 * The numbers of tenants and types. They are given in transactions of their own and never taken
 * back, so that what one process has seen stays true.
 */
export interface JournalNumbers {
  /** The number of a tenant or type; `undefined` for one never written. */
  find(scope: Scope, kind: NumberedKind, name: string): Promise<number | undefined>;
  /** The number of a tenant or type, given now if need be. */
  make(scope: Scope, kind: NumberedKind, name: string): Promise<number>;
}

/** What has numbers in the journal's tables. */
export type NumberedKind = "tenant" | "type";

// A name is about 50 bytes: a bound on what many tenants' names may take.
const NAMES_MAX = 10_000;

/** The numbers in a database, kept in memory once seen. */
export function journalNumbers({ pg, table }: JournalDatabase): JournalNumbers {
  const known = new Map<string, number>();
  const note = (kind: NumberedKind, name: string, number: number): void => {
    if (known.size >= NAMES_MAX) known.clear();
    known.set(`${kind}:${name}`, number);
  };
  const find: JournalNumbers["find"] = async (scope, kind, name) => {
    const number = known.get(`${kind}:${name}`);
    if (number !== undefined) return number;
    const select = sql`SELECT ${COLUMNS[kind]} AS no FROM ${table(kind)} WHERE name = ${name}`;
    const [found] = await pg.ask(scope, `find a ${kind}`, [select]);
    const row = found?.rows[0];
    if (row === undefined) return undefined;
    note(kind, name, Number(row["no"]));
    return Number(row["no"]);
  };
  return {
    find,
    async make(scope, kind, name) {
      const number = await find(scope, kind, name);
      if (number !== undefined) return number;
      const insert = sql`INSERT INTO ${table(kind)} (name) VALUES (${name}) ON CONFLICT DO NOTHING`;
      const select = sql`SELECT ${COLUMNS[kind]} AS no FROM ${table(kind)} WHERE name = ${name}`;
      // A tenant's head is there from the start, so that its first commit has a row to lock.
      const head = sql`INSERT INTO ${table("head")} (tenant_no, timeline, sequence, last_entry_hash,
          last_received_at, frontier)
        SELECT tenant_no, '', 0, '', 0, '' FROM ${table("tenant")} WHERE name = ${name}
        ON CONFLICT DO NOTHING`;
      const statements = kind === "tenant" ? [insert, select, head] : [insert, select];
      const given = await pg.ask(scope, `number a ${kind}`, statements, "journal");
      const made = Number(given[1]?.rows[0]?.["no"]);
      note(kind, name, made);
      return made;
    },
  };
}

const COLUMNS = {
  tenant: sql`tenant_no`,
  type: sql`type_no`,
} as const satisfies Record<NumberedKind, unknown>;
