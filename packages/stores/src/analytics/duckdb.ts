import type { AnalyticsPlacement, ColumnType } from "@custody/contract/placement";
import type { ColumnValue } from "@custody/contract/value-expression";

import { DuckdbClient, tableNameOf } from "../drivers/duckdb-client.ts";
import type { DuckdbMapping } from "../drivers/duckdb-client.ts";
import type { PackedColumn, PackedKind } from "../drivers/duckdb-columns.ts";
import { joinDuckdbPool } from "../drivers/duckdb-pool.ts";
import type { DuckdbOptions, DuckdbPool } from "../drivers/duckdb-pool.ts";
import type { DuckdbPart } from "../drivers/duckdb-protocol.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import { checkedTotals, compileColumns, storedInstant } from "./content.ts";
import type { AnalyticsColumn } from "./content.ts";
import type { AnalyticsLimits, AnalyticsStore, SqlRequest } from "./port.ts";

// SQL text is parsed and its tree walked before it runs; answers are held whole on their way.
const LIMITS: AnalyticsLimits = { sqlBytesMax: 64 * 1024, rowsMax: 100_000 };

/**
 * Embedded analytics in DuckDB, in a process of its own for each tenant.
 *
 * The process owns the files `analytics.duckdb` and `series.duckdb` of the tenant; stores opened in
 * the same thread for the same directory share it.
 */
export async function openDuckdbAnalytics(options: DuckdbOptions): Promise<AnalyticsStore> {
  const { pool, release } = joinDuckdbPool(options);
  const client = new DuckdbClient<AnalyticsPlacement>(pool, MAPPING);
  return Object.assign(client, {
    role: "analytics" as const,
    engine: "duckdb",
    limits: LIMITS,
    ...reads(client, pool),
    [Symbol.asyncDispose]: release,
  });
}

type Reads = Pick<
  AnalyticsStore,
  "aggregate" | "similar" | "publish" | "sql" | "explain" | "explainSql"
>;

function reads(client: DuckdbClient<AnalyticsPlacement>, pool: DuckdbPool): Reads {
  return {
    async aggregate(scope, collection, { measures, ...query }) {
      checkLimit(query.limit, "limit");
      const answer: { names: string[]; rows: unknown[][]; checkpoint: number } = await client.call(
        scope,
        "aggregate",
        // A list, as an object's member named `__proto__` would not arrive as one.
        { table: tableNameOf(collection), query, measures: Object.entries(measures) },
      );
      const { names, rows, checkpoint } = answer;
      const objects = rows.map((row) =>
        Object.fromEntries(names.map((name, index) => [name, row[index] as never])),
      );
      return { rows: objects, checkpoint };
    },

    async similar(scope, collection, query) {
      checkLimit(query.top, "top");
      if (query.vector.length === 0 || !query.vector.every(Number.isFinite)) {
        throw new StoreError(
          "refused",
          "a vector has at least one number, and finite numbers only",
        );
      }
      return await client.call(scope, "similar", { table: tableNameOf(collection), ...query });
    },

    async publish(scope, collection) {
      await client.call(scope, "publish", tableNameOf(collection));
    },

    sql: async (scope, request) => (await userSql(pool, scope, "sql", request)) as never,

    async explain(scope, collection, { measures, ...query }) {
      checkLimit(query.limit, "limit");
      return await client.call(scope, "explain", {
        table: tableNameOf(collection),
        query,
        measures: Object.entries(measures),
      });
    },

    explainSql: async (scope, request) =>
      (await userSql(pool, scope, "explainSql", request)) as never,
  };
}

async function userSql(
  pool: DuckdbPool,
  scope: Scope,
  method: "sql" | "explainSql",
  { statement, rowsMax, timeMs }: SqlRequest,
): Promise<unknown> {
  checkLimit(rowsMax, "rowsMax");
  const bytes = Buffer.byteLength(statement);
  if (bytes > LIMITS.sqlBytesMax) {
    throw new StoreError("limit", `SQL has ${bytes} bytes; at most ${LIMITS.sqlBytesMax}`);
  }
  // For DuckDB a text ends at its first NUL: what is checked must be all there is.
  if (statement.includes("\0")) throw new StoreError("refused", "SQL has no NUL");
  const argument = { statement, rowsMax, timeMs };
  return await pool.call(scope, { store: "analytics", method, argument, timeMs, isQuery: true });
}

function checkLimit(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > LIMITS.rowsMax) {
    throw new StoreError("limit", `${name} is ${value}; 1 to ${LIMITS.rowsMax}`);
  }
}

const KINDS: Readonly<Record<ColumnType, PackedKind>> = {
  text: "text",
  json: "text",
  integer: "integer",
  real: "real",
  boolean: "boolean",
  timestamp: "timestamp",
  "text[]": "text[]",
  vector: "vector",
};

const MAPPING: DuckdbMapping<AnalyticsPlacement> = {
  store: "analytics",

  table(collection) {
    const columns = compileColumns(onlyPlacement(collection));
    // DuckDB's names differ by more than case (duckdb.org/docs/stable/sql/dialect/keywords_and_identifiers).
    const names = new Set(["_id", "_sequence", "_observed_at"]);
    for (const { name } of columns) {
      const lower = name.toLowerCase();
      if (names.has(lower) || name === "" || name.includes("\0")) {
        throw new StoreError(
          "refused",
          `DuckDB cannot have the column ${JSON.stringify(name)} here`,
        );
      }
      names.add(lower);
    }
    const totals = checkedTotals(onlyPlacement(collection));
    return {
      name: collection.name,
      generation: collection.generation,
      columns: [
        { name: "_observed_at", kind: "timestamp" },
        ...columns.map(({ name, type }) => ({ name, kind: KINDS[type] })),
      ],
      note: totals === undefined ? "" : JSON.stringify(totals),
    };
  },

  rowsPerRecord: () => 1,

  part: (collection, batch, indexes) => packPart(columnsOf(collection), batch, indexes),
};

const compiled = new WeakMap<AnalyticsPlacement, readonly AnalyticsColumn[]>();

function columnsOf(collection: Collection<AnalyticsPlacement>): readonly AnalyticsColumn[] {
  const placement = onlyPlacement(collection);
  const columns = compiled.get(placement) ?? compileColumns(placement);
  compiled.set(placement, columns);
  return columns;
}

function onlyPlacement({ name, placements }: Collection<AnalyticsPlacement>): AnalyticsPlacement {
  const [placement, ...more] = Object.values(placements);
  if (placement !== undefined && more.length === 0) return placement;
  throw new StoreError("unsupported", `${name}: an analytics table holds exactly one type`);
}

function packPart(
  columns: readonly AnalyticsColumn[],
  batch: RecordBatch,
  indexes: readonly number[],
): DuckdbPart {
  const present = indexes.filter((index) => batch.removed[index] !== 1);
  // Row by row, so that no more than one parsed record is held.
  const cells = columns.map((): ColumnValue[] => []);
  for (const index of present) {
    const record = batchRecord(batch, index);
    for (const [slot, { take }] of columns.entries()) cells[slot]?.push(take(record));
  }
  const sequence = (index: number): number => batch.sequences[index] ?? 0;
  return {
    ids: indexes.map((index) => batch.ids[index] ?? ""),
    sequences: Float64Array.from(indexes, sequence),
    hasRemoved: present.length < indexes.length,
    rows: [
      { kind: "text", values: present.map((index) => batch.ids[index] ?? "") },
      {
        kind: "integer",
        values: BigInt64Array.from(present, (index) => BigInt(sequence(index))),
        absent: new Uint8Array(present.length),
      },
      {
        kind: "timestamp",
        values: Float64Array.from(
          present,
          (index) => storedInstant(batch.observedAt[index] ?? Number.NaN) ?? Number.NaN,
        ),
      },
      ...columns.map((column, slot) => packColumn(column, cells[slot] ?? [])),
    ],
  };
}

function packColumn({ type }: AnalyticsColumn, values: readonly ColumnValue[]): PackedColumn {
  switch (type) {
    case "text":
    case "json":
      return {
        kind: "text",
        values: values.map((value) => (value === null ? null : String(value))),
      };
    case "real":
    case "timestamp":
      return {
        kind: type,
        values: Float64Array.from(values, (value) => (value === null ? Number.NaN : Number(value))),
      };
    case "integer":
      return {
        kind: "integer",
        values: BigInt64Array.from(values, (value) =>
          typeof value === "bigint" ? value : BigInt(Number(value)),
        ),
        absent: Uint8Array.from(values, (value) => (value === null ? 1 : 0)),
      };
    case "boolean":
      return {
        kind: "boolean",
        values: Uint8Array.from(values, (value) => (value === null ? 2 : Number(value))),
      };
    case "text[]":
      return {
        kind: "text[]",
        values: values.map((value) => (Array.isArray(value) ? value : null)),
      };
    case "vector":
      return {
        kind: "vector",
        values: values.map((value) => (Array.isArray(value) ? value : null)),
      };
  }
}
