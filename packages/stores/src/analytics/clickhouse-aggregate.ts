import { StoreError } from "../errors.ts";
import type { LiveCollection } from "./clickhouse-catalogue.ts";
import { filterSql, knownColumns, requireColumn } from "./clickhouse-filter.ts";
import type { KnownColumn, KnownColumns } from "./clickhouse-filter.ts";
import { isList, ofBuild } from "./clickhouse-layout.ts";
import { readable } from "./clickhouse-read.ts";
import type { AggregateFunction, AggregateQuery } from "./port.ts";

/** A statement and the names of what it answers, in order. */
export interface AggregateSql {
  readonly sql: string;
  readonly names: readonly string[];
}

/** Builds the statement of an aggregate query. @throws StoreError `refused`. */
export function aggregateSql(live: LiveCollection, query: AggregateQuery): AggregateSql {
  const columns = knownColumns(live.table);
  const groups = query.groupBy.map((group) => groupSql(group, columns));
  const values = Object.entries(query.measures).map(([name, measure]) => ({
    name,
    sql: measureSql(measure, columns),
  }));
  const answers = [...groups, ...values];
  const names = answers.map(({ name }) => name);
  if (new Set(names).size < names.length) {
    throw new StoreError("refused", "two groups or measures have the same name");
  }
  if (names.length === 0) throw new StoreError("refused", "there is neither group nor measure");
  const filter = query.filter === undefined ? "" : `AND ${filterSql(query.filter, columns)}`;
  const keys = groups.map((_, index) => alias(index));
  const sql = [
    `SELECT ${answers.map((answer, index) => `${answer.sql} AS ${alias(index)}`).join(", ")}`,
    `FROM ${live.table.sqlName} FINAL WHERE ${ofBuild(live)} ${filter}`,
    keys.length === 0 ? "" : `GROUP BY ${keys.join(", ")}`,
    orderSql(query, names, keys),
    `LIMIT ${query.limit}`,
  ].join(" ");
  return { sql, names };
}

// An alias stands for its expression everywhere, so it must not be a column's name.
function alias(index: number): string {
  return `_custody_answer_${index}`;
}

type Group = AggregateQuery["groupBy"][number];

function groupSql(group: Group, columns: KnownColumns): { name: string; sql: string } {
  if (typeof group === "string") {
    const { sql, type } = requireColumn(columns, group);
    return { name: group, sql: readable(sql, type) };
  }
  const { column, bucketMs } = group;
  const { sql, type } = requireColumn(columns, column);
  if (type !== "timestamp") {
    throw new StoreError("refused", `${column} is no timestamp and cannot be cut into buckets`);
  }
  if (!Number.isSafeInteger(bucketMs) || bucketMs < 1) {
    throw new StoreError("refused", `a bucket is 1 or more whole milliseconds, not ${bucketMs}`);
  }
  const ms = readable(sql, type);
  return { name: column, sql: `${ms} - positiveModulo(${ms}, ${bucketMs})` };
}

const QUANTILES: Readonly<Partial<Record<AggregateFunction, number>>> = {
  p50: 0.5,
  p90: 0.9,
  p95: 0.95,
  p99: 0.99,
};

type Measure = AggregateQuery["measures"][string];

function measureSql({ fn, column: name }: Measure, columns: KnownColumns): string {
  if (name === undefined) {
    if (fn === "count") return "count()";
    throw new StoreError("refused", `${fn} needs a column`);
  }
  const column = requireColumn(columns, name);
  const { sql, type, present } = column;
  switch (fn) {
    case "count":
      return `countIf(${present})`;
    case "countDistinct":
      return `uniqExactIf(${sql}, ${present})`;
    case "min":
    case "max":
      if (isList(type)) {
        throw new StoreError("refused", `${name} holds lists, which have no ${fn}`);
      }
      return `${fn}OrNull(${readable(sql, type)})`;
    case "sum":
      // Beyond 64 bits a sum of whole numbers would begin again from the other end.
      return type === "real"
        ? `sumOrNull(${sql})`
        : `sumOrNull(toInt128(${numeric(column, name)}))`;
    case "mean":
      return `avgOrNull(${numeric(column, name)})`;
    case "p50":
    case "p90":
    case "p95":
    case "p99":
      return `quantileExactInclusiveOrNull(${QUANTILES[fn]})(toFloat64(${numeric(column, name)}))`;
  }
  throw new StoreError("refused", `there is no function ${JSON.stringify(fn)}`);
}

function numeric({ sql, type }: KnownColumn, name: string): string {
  if (type === "integer" || type === "real") return sql;
  if (type === "boolean") return `toUInt8(${sql})`;
  throw new StoreError("refused", `${name} holds no numbers`);
}

function orderSql(
  { orderBy = [] }: AggregateQuery,
  names: readonly string[],
  keys: readonly string[],
): string {
  const order = orderBy.map(({ name, direction }) => {
    const index = names.indexOf(name);
    if (index < 0) {
      throw new StoreError("refused", `nothing is named ${JSON.stringify(name)} to order by`);
    }
    return `${alias(index)} ${direction === "desc" ? "DESC NULLS LAST" : "ASC NULLS FIRST"}`;
  });
  // Groups come last, so that the order is the same at every call.
  const all = [...order, ...keys.map((key) => `${key} ASC NULLS FIRST`)];
  return all.length === 0 ? "" : `ORDER BY ${all.join(", ")}`;
}
