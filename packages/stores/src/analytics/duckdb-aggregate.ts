import { BIGINT } from "../drivers/duckdb-values.ts";

import { bucketSql, quoteName } from "../drivers/duckdb.ts";
import type { PackedKind } from "../drivers/duckdb-columns.ts";
import { StoreError } from "../errors.ts";
import { DuckdbParameters, filterSql, requireKind } from "./duckdb-filter.ts";
import type { KnownColumns } from "./duckdb-filter.ts";
import type { AggregateFunction, AggregateQuery } from "./port.ts";

type Measure = AggregateQuery["measures"][string];

/** A query with its measures as a list, as it reaches the process. */
export interface AggregateRequest {
  readonly query: Omit<AggregateQuery, "measures">;
  readonly measures: readonly (readonly [string, Measure])[];
}

/** A statement, its parameters and the names of what it answers. */
export interface AggregateSql {
  readonly sql: string;
  readonly parameters: DuckdbParameters;
  readonly names: readonly string[];
}

/** Builds the statement of an aggregate query. @throws StoreError `refused`. */
export function aggregateSql(
  tableName: string,
  columns: KnownColumns,
  { query, measures }: AggregateRequest,
): AggregateSql {
  const parameters = new DuckdbParameters();
  const groups = query.groupBy.map((group) => groupSql(group, columns));
  const values = measures.map(([name, measure]) => ({ name, sql: measureSql(measure, columns) }));
  const answers = [...groups, ...values];
  const names = answers.map(({ name }) => name);
  if (new Set(names).size < names.length) {
    throw new StoreError("refused", "two groups or measures have the same name");
  }
  if (names.length === 0) throw new StoreError("refused", "there is neither group nor measure");
  const where =
    query.filter === undefined ? "" : `WHERE ${filterSql(query.filter, columns, parameters)}`;
  const positions = groups.map((_, index) => String(index + 1));
  const sql = [
    `SELECT ${answers.map((answer) => answer.sql).join(", ")} FROM ${tableName} ${where}`,
    positions.length === 0 ? "" : `GROUP BY ${positions.join(", ")}`,
    orderSql(query, names, positions),
    `LIMIT ${parameters.add(BigInt(query.limit), BIGINT)}`,
  ].join(" ");
  return { sql, parameters, names };
}

type Group = AggregateQuery["groupBy"][number];

function groupSql(group: Group, columns: KnownColumns): { name: string; sql: string } {
  if (typeof group === "string") {
    return { name: group, sql: readable(quoteName(group), requireKind(columns, group)) };
  }
  const { column, bucketMs } = group;
  if (requireKind(columns, column) !== "timestamp") {
    throw new StoreError("refused", `${column} is no timestamp and cannot be cut into buckets`);
  }
  if (!Number.isSafeInteger(bucketMs) || bucketMs < 1) {
    throw new StoreError("refused", `a bucket is 1 or more whole milliseconds, not ${bucketMs}`);
  }
  return { name: column, sql: bucketSql(`epoch_ms(${quoteName(column)})`, bucketMs) };
}

function readable(sql: string, kind: PackedKind): string {
  return kind === "timestamp" ? `epoch_ms(${sql})` : sql;
}

const QUANTILES: Readonly<Partial<Record<AggregateFunction, number>>> = {
  p50: 0.5,
  p90: 0.9,
  p95: 0.95,
  p99: 0.99,
};

function measureSql({ fn, column }: Measure, columns: KnownColumns): string {
  if (column === undefined) {
    if (fn === "count") return "count(*)";
    throw new StoreError("refused", `${fn} needs a column`);
  }
  const kind = requireKind(columns, column);
  const name = quoteName(column);
  switch (fn) {
    case "count":
      return `count(${name})`;
    case "countDistinct":
      return `count(DISTINCT ${name})`;
    case "min":
    case "max":
      if (kind === "text[]" || kind === "vector") {
        throw new StoreError("refused", `${column} holds lists, which have no ${fn}`);
      }
      return readable(`${fn}(${name})`, kind);
    case "sum":
      return `sum(${numeric(name, column, kind)})`;
    case "mean":
      return `avg(${numeric(name, column, kind)})`;
    case "p50":
    case "p90":
    case "p95":
    case "p99":
      return `quantile_cont(${numeric(name, column, kind)}::DOUBLE, ${QUANTILES[fn]})`;
  }
  throw new StoreError("refused", `there is no function ${JSON.stringify(fn)}`);
}

function numeric(sql: string, column: string, kind: PackedKind): string {
  if (kind === "integer" || kind === "real") return sql;
  if (kind === "boolean") return `${sql}::INTEGER`;
  throw new StoreError("refused", `${column} holds no numbers`);
}

function orderSql(
  { orderBy = [] }: Pick<AggregateQuery, "orderBy">,
  names: readonly string[],
  positions: readonly string[],
): string {
  const order = orderBy.map(({ name, direction }) => {
    const position = names.indexOf(name) + 1;
    if (position === 0) {
      throw new StoreError("refused", `nothing is named ${JSON.stringify(name)} to order by`);
    }
    return direction === "desc" ? `${position} DESC NULLS LAST` : `${position} ASC NULLS FIRST`;
  });
  // Groups come last, so that the order is the same at every call.
  const all = [...order, ...positions.map((position) => `${position} ASC NULLS FIRST`)];
  return all.length === 0 ? "" : `ORDER BY ${all.join(", ")}`;
}
