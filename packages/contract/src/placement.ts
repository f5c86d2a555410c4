/**
 * Placements: in which store roles a record type is held, and how it maps there.
 *
 * A placement is plain data (paths and a few ways to take values), never a function: it can be sent
 * to another thread, fingerprinted to see that it changed, and read by people.
 */

/** The ten roles a store can play. */
export const STORE_ROLES = [
  "relational",
  "document",
  "series",
  "search",
  "analytics",
  "graph",
  "blob",
  "cache",
  "queue",
  "stream",
] as const;
export type StoreRole = (typeof STORE_ROLES)[number];

/** How several values at a path become one. Default `first`. `length` is UTF-16 units of all texts. */
export type Take = "first" | "all" | "count" | "join" | "length" | "min" | "max" | "sum" | "json";

/** A value taken from a record: a path, or a path with a way to take it and a condition beside it. */
export type ValueExpression<Path extends string = string> =
  | Path
  | {
      readonly path: Path;
      readonly take?: Take;
      /** Keeps only array elements whose sibling field equals a literal: `scores[].value` of one scorer. */
      readonly where?: { readonly path: Path; readonly equals: string | number | boolean };
    };

/** Column types, mapped by each engine to its own. `timestamp` is epoch milliseconds at the port. */
export type ColumnType =
  | "text"
  | "integer"
  | "real"
  | "boolean"
  | "timestamp"
  | "json"
  | "text[]"
  | "vector";

export interface Column<Path extends string = string> {
  readonly type: ColumnType;
  readonly from: ValueExpression<Path>;
}

export interface DocumentPlacement<Path extends string = string> {
  /** Each index is a list of one or more paths; a path through `[]` stands alone and indexes each element. */
  readonly indexes?: readonly (readonly Path[])[];
}

export interface SearchPlacement<Path extends string = string> {
  /** Texts to be searched, by name; `weight` scales a hit in that field (default 1). */
  readonly fields: Readonly<
    Record<string, { readonly from: ValueExpression<Path>; readonly weight?: number }>
  >;
  /** Exact values to narrow by and to count as facets, by name. */
  readonly filters?: Readonly<Record<string, ValueExpression<Path>>>;
}

export interface AnalyticsPlacement<Path extends string = string> {
  /** Columns by name; when left out they are derived from the schema. */
  readonly columns?: Readonly<Record<string, Column<Path>>>;
  /** Column names by which rows are best ordered on disk. */
  readonly order?: readonly string[];
  /**
   * Makes SQL show totals under the type's name in place of its rows. Every other way of reading, grouping
   * included, goes by the rows.
   */
  readonly totals?: AnalyticsTotals;
}

/** One row for each combination of the `by` columns. */
export interface AnalyticsTotals {
  readonly by: readonly string[];
  /** Whole or real numbers that are added up; each other column has the value of the newest record. */
  readonly sum: readonly string[];
}

export interface SeriesPlacement<Path extends string = string> {
  readonly measurement: string;
  /** The instant of the point; default the record's observed time. */
  readonly at?: Path;
  /** What points are grouped by; a personal field is refused here. */
  readonly tags: Readonly<Record<string, ValueExpression<Path>>>;
  /** Numbers; booleans count as 0 and 1; a point without any field is not written. */
  readonly fields: Readonly<Record<string, ValueExpression<Path>>>;
}

export interface GraphNode<Path extends string = string> {
  readonly label: string;
  /** One node for each value. */
  readonly id: ValueExpression<Path>;
  readonly properties?: Readonly<Record<string, Column<Path>>>;
}

export interface GraphEdge<Path extends string = string> {
  readonly type: string;
  /** With several values on either side, every pair is joined. */
  readonly from: { readonly label: string; readonly id: ValueExpression<Path> };
  readonly to: { readonly label: string; readonly id: ValueExpression<Path> };
}

export interface GraphPlacement<Path extends string = string> {
  readonly nodes: readonly GraphNode<Path>[];
  readonly edges?: readonly GraphEdge<Path>[];
}

export interface RelationalPlacement<Path extends string = string> {
  readonly table: string;
  readonly columns: Readonly<Record<string, Column<Path>>>;
  readonly indexes?: readonly (readonly string[])[];
  /** Lists of columns; for transactional types a violation rejects the commit. */
  readonly unique?: readonly (readonly string[])[];
}

export interface BlobPlacement<Path extends string = string> {
  /** Where the record names a blob (`sha256:…`), so that the blob lives as long as the record. */
  readonly links: readonly Path[];
}

export interface StreamPlacement<Path extends string = string> {
  readonly topic: string;
  /** The fields an event carries besides id, type and sequence; a personal field is refused here. */
  readonly facts: readonly Path[];
}

/** Which roles hold a type. Every type has an analytics table, whether it is named here or not. */
export interface Placements<Path extends string = string> {
  readonly document?: DocumentPlacement<Path>;
  readonly search?: SearchPlacement<Path>;
  readonly analytics?: AnalyticsPlacement<Path>;
  readonly series?: readonly SeriesPlacement<Path>[];
  readonly graph?: GraphPlacement<Path>;
  readonly relational?: RelationalPlacement<Path>;
  readonly blob?: BlobPlacement<Path>;
  readonly stream?: StreamPlacement<Path>;
}
