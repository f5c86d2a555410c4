import { isServerError } from "../drivers/postgresql-errors.ts";
import type { PgSession } from "../drivers/postgresql-session.ts";
import { prepared, sql, textArray } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";

/**
 * The numbers of tenants and types. They are given in transactions of their own and never taken
 * back, so that what one process has seen stays true, unless the server is replaced by an older state of
 * itself: a standby that had not everything, a restored backup. There a number may be somebody else's, so
 * whatever uses one lets the server confirm it.
 */
export interface JournalNumbers {
  /** The number of a tenant or type; `undefined` for one never written. */
  find(scope: Scope, kind: NumberedKind, name: string): Promise<number | undefined>;
  /** The number of a tenant or type, given now if need be. */
  make(scope: Scope, kind: NumberedKind, name: string): Promise<number>;
  /** The numbers of types, given now if need be; looked for in a transaction that is open. */
  makeTypes(
    scope: Scope,
    session: PgSession,
    types: readonly string[],
  ): Promise<ReadonlyMap<string, number>>;
  /** Runs work that confirms its numbers; when one was wrong, all are forgotten and it is run again. */
  trusting<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Fails the statements it is sent with, where a number is not that name's. */
  confirm(used: UsedNumbers): PgFragment;
}

/** What has numbers in the journal's tables. */
export type NumberedKind = "tenant" | "type";

/** Numbers that a call uses, with whose they should be. */
export interface UsedNumbers {
  readonly tenant: string;
  readonly tenantNo: number;
  readonly type?: { readonly name: string; readonly typeNo: number };
}

/** Thrown where the server says that a number is another's; within `trusting`. */
export class WrongNumber extends StoreError {
  constructor(options?: ErrorOptions) {
    super("unavailable", "the journal's server is another than it was; ask again", options);
  }
}

// A name is about 50 bytes: a bound on what many tenants' names may take.
const NAMES_MAX = 10_000;

/** The numbers in a database, kept in memory once seen. */
export function journalNumbers({ pg, table }: JournalDatabase): JournalNumbers {
  const known = new Map<string, number>();
  const note = (kind: NumberedKind, name: string, number: number): number => {
    if (!Number.isSafeInteger(number)) throw new WrongNumber();
    if (known.size >= NAMES_MAX) known.clear();
    known.set(`${kind}:${name}`, number);
    return number;
  };
  const find: JournalNumbers["find"] = async (scope, kind, name) => {
    const number = known.get(`${kind}:${name}`);
    if (number !== undefined) return number;
    const select = sql`SELECT ${COLUMNS[kind]} AS no FROM ${table(kind)} WHERE name = ${name}`;
    const [found] = await pg.ask(scope, `find a ${kind}`, [select]);
    const row = found?.rows[0];
    return row === undefined ? undefined : note(kind, name, Number(row["no"]));
  };
  const give: JournalNumbers["make"] = async (scope, kind, name) => {
    const insert = sql`INSERT INTO ${table(kind)} (name) VALUES (${name}) ON CONFLICT DO NOTHING`;
    const select = sql`SELECT ${COLUMNS[kind]} AS no FROM ${table(kind)} WHERE name = ${name}`;
    // A tenant's head is there from the start, so that its first commit has a row to lock.
    const head = sql`INSERT INTO ${table("head")} (tenant_no, timeline, sequence, last_entry_hash,
        last_received_at, frontier)
      SELECT tenant_no, '', 0, '', 0, '' FROM ${table("tenant")} WHERE name = ${name}
      ON CONFLICT DO NOTHING`;
    const statements = kind === "tenant" ? [insert, select, head] : [insert, select];
    const given = await pg.ask(scope, `number a ${kind}`, statements, "journal");
    return note(kind, name, Number(given[1]?.rows[0]?.["no"]));
  };
  return {
    find,
    make: async (scope, kind, name) =>
      (await find(scope, kind, name)) ?? (await give(scope, kind, name)),
    async makeTypes(scope, session, types) {
      const unknown = types.filter((type) => !known.has(`type:${type}`));
      if (unknown.length > 0) {
        // On the transaction's own connection: behind a pooler another might not be had while it is open.
        const rows = await session.rows(prepared`SELECT name, type_no FROM ${table("type")}
          WHERE name = ANY (${textArray(unknown)})`);
        for (const row of rows) note("type", String(row["name"]), Number(row["type_no"]));
      }
      const numbers = new Map<string, number>();
      for (const type of types) {
        numbers.set(type, known.get(`type:${type}`) ?? (await give(scope, "type", type)));
      }
      return numbers;
    },
    async trusting(work) {
      try {
        return await work();
      } catch (cause) {
        if (!isWrongNumber(cause)) throw cause;
        known.clear();
        return await work().catch((again: unknown) => {
          throw isWrongNumber(again) ? new WrongNumber({ cause: again }) : again;
        });
      }
    },
    confirm({ tenant, tenantNo, type }) {
      const ofTenant = sql`1 / (SELECT count(*) FROM ${table("tenant")}
        WHERE tenant_no = ${tenantNo} AND name = ${tenant})`;
      return type === undefined
        ? prepared`SELECT ${ofTenant}`
        : prepared`SELECT ${ofTenant}, 1 / (SELECT count(*) FROM ${table("type")}
            WHERE type_no = ${type.typeNo} AND name = ${type.name})`;
    },
  };
}

/** Nothing else that the journal asks divides. */
function isWrongNumber(cause: unknown): boolean {
  if (cause instanceof WrongNumber) return true;
  return (
    cause instanceof StoreError && isServerError(cause.cause) && cause.cause.code === "22012" // division_by_zero
  );
}

const COLUMNS = {
  tenant: sql`tenant_no`,
  type: sql`type_no`,
} as const satisfies Record<NumberedKind, unknown>;
