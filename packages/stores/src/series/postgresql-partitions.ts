import { pgName, sql } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import type { Scope } from "../scope.ts";
import type { HeldSeries } from "./postgresql-tables.ts";

// Within a century a partition holds a month; all that lies before, or after, shares one each. So
// there are never more than 1,202, whatever instants records have.
const FIRST_YEAR = 2000;
const LAST_YEAR = 2099;

/** A part of a table: the instants from the first on, before the second. */
export interface TimePartition {
  /** The end of its name. */
  readonly key: string;
  /** As `FOR VALUES` has it. */
  readonly from: string;
  readonly to: string;
}

/** The partition that an instant belongs to. */
export function partitionOf(at: number): TimePartition {
  const first = Date.UTC(FIRST_YEAR, 0);
  const end = Date.UTC(LAST_YEAR + 1, 0);
  if (at < first) return { key: "before", from: "MINVALUE", to: String(first) };
  if (at >= end) return { key: "after", from: String(end), to: "MAXVALUE" };
  const day = new Date(at);
  const [year, month] = [day.getUTCFullYear(), day.getUTCMonth()];
  const key = `${year}${String(month + 1).padStart(2, "0")}`;
  return { key, from: String(Date.UTC(year, month)), to: String(Date.UTC(year, month + 1)) };
}

/** Makes partitions as points arrive, before they are written. */
export class TimePartitions {
  readonly #pg: Postgresql;
  readonly #made = new Set<string>();

  constructor(pg: Postgresql) {
    this.#pg = pg;
  }

  /** Makes the partitions of these instants where they are missing; other writers go on meanwhile. */
  async make(
    scope: Scope,
    { tableNo, points }: HeldSeries,
    instants: Iterable<number>,
  ): Promise<void> {
    const missing = new Map<string, TimePartition>();
    for (const at of instants) {
      const partition = partitionOf(at);
      if (!this.#made.has(`${tableNo} ${partition.key}`)) missing.set(partition.key, partition);
    }
    if (missing.size === 0) return;
    const schema = this.#pg.schema("series");
    const lock = sql`SELECT pg_advisory_xact_lock(hashtextextended(${`custody:${schema}:${tableNo}`}, 0))`;
    const statements: PgFragment[] = [
      lock,
      // Tables belong to the user who logs in; the role that is acted as only uses them.
      sql`SELECT set_config('role', 'none', true)`,
      ...[...missing.values()].map((partition) =>
        attaching({ schema, table: `points_${tableNo}`, points }, partition),
      ),
    ];
    await this.#pg.ask(scope, "make partitions", statements);
    for (const key of missing.keys()) this.#made.add(`${tableNo} ${key}`);
  }
}

/**
 * A table is made and then attached: that takes a lock which lets others read and write
 * (postgresql.org/docs/current/ddl-partitioning.html, 5.12.2.2).
 */
function attaching(
  of: { readonly schema: string; readonly table: string; readonly points: string },
  { key, from, to }: TimePartition,
): PgFragment {
  const name = pgName(of.schema, `${of.table}_${key}`);
  return verbatim(`DO $custody$ BEGIN
    IF to_regclass('${name.replaceAll("'", "''")}') IS NULL THEN
      CREATE TABLE ${name} (LIKE ${of.points} INCLUDING DEFAULTS);
      ALTER TABLE ${of.points} ATTACH PARTITION ${name} FOR VALUES FROM (${from}) TO (${to});
    END IF;
  END $custody$`);
}
