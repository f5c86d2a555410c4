import type { SeriesPlacement } from "@custody/contract/placement";

import type { Collection, ProjectedStore } from "../projected-store.ts";
import type { Scope } from "../scope.ts";

/** What a series collection maps a type by: one or more measurements. */
export type SeriesPlacements = readonly SeriesPlacement[];

/**
 * Series: numbers over time, by measurement and tags.
 *
 * Points with equal tags and instant are kept apart: a point belongs to its record.
 */
export interface SeriesStore extends ProjectedStore<SeriesPlacements> {
  readonly role: "series";
  readonly limits: SeriesLimits;

  /**
   * Aggregates points into buckets aligned to the epoch, ordered by bucket then group.
   *
   * @throws StoreError `refused` for an unknown measurement, tag or field, `limit` for more buckets
   *   than `limits.bucketsMax`, `unsupported` for a range that reaches beyond `limits.instantMin` or
   *   `limits.instantMax`.
   */
  query(
    scope: Scope,
    collection: Collection<SeriesPlacements>,
    query: SeriesQuery,
  ): Promise<SeriesAnswer>;

  /** The engine's own plan for a query, one step a line, for people. */
  explain(
    scope: Scope,
    collection: Collection<SeriesPlacements>,
    query: SeriesQuery,
  ): Promise<readonly string[]>;

  /**
   * Folds points older than `before` into buckets of `bucketMs` kept beside them, so that they can be
   * dropped by a retention rule; folding again changes nothing. Answers how many buckets were written.
   */
  rollup(
    scope: Scope,
    collection: Collection<SeriesPlacements>,
    options: { readonly measurement: string; readonly bucketMs: number; readonly before: number },
  ): Promise<number>;
}

export type SeriesFunction =
  | "count"
  | "sum"
  | "mean"
  | "min"
  | "max"
  | "first"
  | "last"
  | "p50"
  | "p90"
  | "p95"
  | "p99";

export interface SeriesQuery {
  readonly measurement: string;
  /** Epoch milliseconds, inclusive. */
  readonly from: number;
  /** Epoch milliseconds, exclusive. */
  readonly to: number;
  /** Width of a bucket in milliseconds. */
  readonly bucketMs: number;
  /** What to compute, by the name it is given in the answer. */
  readonly values: Readonly<
    Record<string, { readonly field: string; readonly fn: SeriesFunction }>
  >;
  /** Keeps points whose tag has one of these values. */
  readonly where?: Readonly<Record<string, readonly string[]>>;
  readonly groupBy?: readonly string[];
  /** What stands in empty buckets: no row (default), null, 0, the value before, or a straight line. */
  readonly fill?: "none" | "null" | "zero" | "previous" | "linear";
  /** `points` (default) or the rollup of this bucket width, where `rollup` has made it. */
  readonly source?: "points" | { readonly rollupMs: number };
}

export interface SeriesRow {
  /** Start of the bucket, epoch milliseconds. */
  readonly bucketAt: number;
  readonly tags: Readonly<Record<string, string | null>>;
  readonly values: Readonly<Record<string, number | null>>;
}

export interface SeriesAnswer {
  readonly rows: readonly SeriesRow[];
  readonly checkpoint: number;
}

export interface SeriesLimits {
  readonly bucketsMax: number;
  /**
   * The earliest and the latest instant that a query may ask for, in epoch milliseconds. Points
   * beyond are kept, listed and digested, as the record has them, and no query meets them.
   */
  readonly instantMin: number;
  readonly instantMax: number;
}
