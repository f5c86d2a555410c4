import type { Filter } from "@custody/contract/filter";
import type { AnalyticsPlacement } from "@custody/contract/placement";

import type { Collection, ProjectedStore } from "../projected-store.ts";
import type { Scope } from "../scope.ts";

/**
 * Analytics: every type as a columnar table, for grouping over millions of rows and for SQL.
 *
 * Core fills in `columns` before a collection is prepared; each table also has `_id` (text),
 * `_sequence` (integer) and `_observed_at` (timestamp). In SQL a tenant's tables are named
 * `pack.name`; the current generation bears the plain name.
 */
export interface AnalyticsStore extends ProjectedStore<AnalyticsPlacement> {
  readonly role: "analytics";
  readonly limits: AnalyticsLimits;

  /** Groups rows and computes measures. @throws StoreError `refused` for an unknown column. */
  aggregate(
    scope: Scope,
    collection: Collection<AnalyticsPlacement>,
    query: AggregateQuery,
  ): Promise<AggregateAnswer>;

  /** The rows whose vector column is nearest by cosine similarity, nearest first. */
  similar(
    scope: Scope,
    collection: Collection<AnalyticsPlacement>,
    query: { readonly column: string; readonly vector: readonly number[]; readonly top: number },
  ): Promise<{
    readonly rows: readonly { readonly id: string; readonly similarity: number }[];
    readonly checkpoint: number;
  }>;

  /** Makes this generation the one that bears the plain table name. */
  publish(scope: Scope, collection: Collection<AnalyticsPlacement>): Promise<void>;

  /**
   * Runs one SELECT over the tenant's published tables, in the engine's own dialect: no file, network,
   * setting or other tenant can be reached, and memory, temporary space, rows and time are bounded.
   *
   * @throws StoreError `refused` when the text is not exactly one SELECT or names something
   *   forbidden, `limit` when it runs over a bound.
   */
  sql(scope: Scope, request: SqlRequest): Promise<SqlAnswer>;

  /**
   * The engine's own plan for an aggregate, one step a line, for people.
   *
   * @throws StoreError `refused` and `limit` as {@link aggregate} does.
   */
  explain(
    scope: Scope,
    collection: Collection<AnalyticsPlacement>,
    query: AggregateQuery,
  ): Promise<readonly string[]>;

  /**
   * The engine's own plan for a SELECT that {@link sql} would run, one step a line, for people.
   *
   * @throws StoreError `refused` and `limit` as {@link sql} does.
   */
  explainSql(scope: Scope, request: SqlRequest): Promise<readonly string[]>;
}

export type AggregateFunction =
  | "count"
  | "countDistinct"
  | "sum"
  | "mean"
  | "min"
  | "max"
  | "p50"
  | "p90"
  | "p95"
  | "p99";

export interface AggregateQuery {
  /** Column names, or a timestamp column cut into buckets. */
  readonly groupBy: readonly (string | { readonly column: string; readonly bucketMs: number })[];
  readonly measures: Readonly<
    Record<string, { readonly fn: AggregateFunction; readonly column?: string }>
  >;
  /** A filter whose paths are column names. */
  readonly filter?: Filter;
  /** Measure or group names; default by the groups ascending. */
  readonly orderBy?: readonly { readonly name: string; readonly direction: "asc" | "desc" }[];
  readonly limit: number;
}

/** A cell: timestamps are epoch milliseconds in `aggregate` and RFC 3339 text in `sql`. */
export type Cell =
  | null
  | string
  | number
  | bigint
  | boolean
  | readonly Cell[]
  | { readonly [name: string]: Cell };

export interface AggregateAnswer {
  readonly rows: readonly Readonly<Record<string, Cell>>[];
  readonly checkpoint: number;
}

export interface SqlRequest {
  readonly statement: string;
  readonly rowsMax: number;
  readonly timeMs: number;
}

export interface SqlAnswer {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly Cell[])[];
  /** True when more rows than `rowsMax` were found. */
  readonly isTruncated: boolean;
}

export interface AnalyticsLimits {
  readonly sqlBytesMax: number;
  readonly rowsMax: number;
}
