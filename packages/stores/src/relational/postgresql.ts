import { DigestSums, rowHash } from "../content-form.ts";
import { sql } from "../drivers/postgresql-sql.ts";
import { openPostgresql } from "../drivers/postgresql.ts";
import { pageOfRows, rangeStart } from "../row-pages.ts";
import type { RowRange } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import type { ServerEngine } from "../server-engine.ts";
import type { RelationalLimits, RelationalStore, TablePage, TableQuery } from "./port.ts";
import { EVERY_ROW, ROWS_READ_MAX } from "./postgresql-relation.ts";
import type { PgRange } from "./postgresql-relation.ts";
import { pageOf, pageStatement } from "./postgresql-select.ts";
import { RelationRegistry } from "./postgresql-table-registry.ts";
import { RelationalCalls } from "./postgresql-table-calls.ts";

/** Which PostgreSQL keeps the tables. */
export interface PostgresqlRelationalOptions {
  /**
   * `postgresql://user:password@host:port/database?schema=custody&role=custody_app&ca=/etc/ca.pem`.
   *
   * `schema` (default `custody`) begins the names of all schemas: the tables of a pack lie in
   * `<schema>_<pack>` under the names of its documents, what is known of them in `<schema>_relational`.
   * The other options are those of `PostgresqlOptions`.
   */
  readonly url: string;
  /** Secret under which an owner's name becomes a space's; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
}

const LIMITS: RelationalLimits = { pageMax: 10_000 };

/**
 * Relational tables and summaries in PostgreSQL 15 or newer: a table for each type and mapping, whose
 * rows are told apart by their space, the first column of every key and index. Connects at the first
 * call, and works behind a pooler that pools transactions.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the client library is missing.
 */
export async function openPostgresqlRelational(
  options: PostgresqlRelationalOptions,
): Promise<RelationalStore & ServerEngine> {
  const pg = await openPostgresql({ ...options, clock: () => Date.now() });
  const registry = new RelationRegistry(pg);
  const calls = new RelationalCalls(pg, registry);
  return {
    role: "relational",
    engine: "postgresql",
    limits: LIMITS,

    prepare: async (scope, collection) => {
      await registry.ready(scope);
      await registry.prepare(scope, collection);
    },
    apply: (scope, collection, delivery) => calls.apply(scope, collection, delivery),
    repair: (scope, collection, batch) => calls.repair(scope, collection, batch),
    checkpoint: async (scope, collection) => {
      await registry.ready(scope);
      return registry.checkpoint(scope, collection);
    },
    discard: async (scope, collection) => {
      await registry.ready(scope);
      await registry.discard(scope, collection);
    },
    settle: (scope) => calls.settle(scope),
    statistics: (scope) => calls.statistics(scope),
    ...comparing(calls),
    ...querying(calls),

    health: () => pg.health(),
    [Symbol.asyncDispose]: () => pg[Symbol.asyncDispose](),
  };
}

function comparing(calls: RelationalCalls): Pick<RelationalStore, "digest" | "list"> {
  return {
    digest: (scope, collection, bucketSize) =>
      calls.read(scope, `digest ${collection.name}`, collection, {
        empty: [],
        work: async ({ relation }, session, space) => {
          const sums = new DigestSums(bucketSize);
          for await (const rows of relation.contents(session, space, EVERY_ROW)) {
            for (const { id, sequence, content } of rows) {
              sums.add(sequence, rowHash(id, sequence, content));
            }
          }
          return sums.digests();
        },
      }),

    list: async (scope, collection, range) => {
      const of = rangeOf(range);
      return calls.read(scope, `list ${collection.name}`, collection, {
        empty: { rows: [] },
        work: async ({ relation }, session, space) => {
          const found = [];
          for await (const rows of relation.contents(session, space, of)) {
            found.push(...rows);
            if (found.length > Math.min(range.limit, LIMITS.pageMax)) break;
          }
          return pageOfRows(found, range.limit);
        },
      });
    },
  };
}

/** Where a list begins: behind its cursor, and never before the range. */
function rangeOf(range: RowRange): PgRange {
  const start = rangeStart(range);
  const { fromSequence, toSequence, limit } = range;
  return {
    start: start.sequence < fromSequence ? { sequence: fromSequence, id: "" } : start,
    toSequence,
    rowsMax: Math.min(limit + 1, ROWS_READ_MAX),
  };
}

function querying(calls: RelationalCalls): Pick<RelationalStore, "select" | "explain"> {
  return {
    select: async (scope, collection, query) => {
      checkPage(query);
      return calls.ask<TablePage>(scope, `select from ${collection.name}`, collection, {
        empty: { rows: [], checkpoint: 0 },
        statement: ({ source }, space) => pageStatement(source, space, query),
        answer: ({ relation: { source }, checkpoint }, rows) => ({
          ...pageOf(rows, source, query),
          checkpoint,
        }),
      });
    },

    explain: async (scope, collection, query) => {
      checkPage(query);
      return calls.ask<readonly string[]>(scope, `explain ${collection.name}`, collection, {
        empty: [],
        statement: ({ source }, space) => sql`EXPLAIN ${pageStatement(source, space, query)}`,
        answer: (_, plan) => plan.map((step) => String(step["QUERY PLAN"])),
      });
    },
  };
}

function checkPage({ limit }: TableQuery): void {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= LIMITS.pageMax) return;
  throw new StoreError("limit", `a page holds 1 to ${LIMITS.pageMax} rows`);
}
