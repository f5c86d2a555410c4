import type { Filter } from "@custody/contract/filter";
import type { RelationalPlacement } from "@custody/contract/placement";
import type { SummaryDeclaration } from "@custody/contract/summary";

import type { Cell } from "../analytics/port.ts";
import type { Collection, ProjectedStore } from "../projected-store.ts";
import type { Scope } from "../scope.ts";

/** A relational collection is a table of a type's records, or a summary of them. */
export type TablePlacement =
  | { readonly table: RelationalPlacement }
  | { readonly summary: SummaryDeclaration };

/**
 * Relational tables: what reports join and applications look up, with typed columns and indexes.
 *
 * A table has `_id` and `_sequence` beside its columns. A summary has its key columns and one column
 * a measure; tables of counts are JSON objects with sorted names. Summaries are kept up to date from
 * deliveries alone and equal a full recomputation. Keys are text or null, sums are exact and shown as
 * the nearest double, extremes of RFC 3339 texts are epoch milliseconds, and a histogram's ranges are
 * named by their lower edge (`>=0.5`, below the first `<0`). Uniqueness is not enforced: the journal has
 * accepted the records, and a projection must not refuse what it holds.
 */
export interface RelationalStore extends ProjectedStore<TablePlacement> {
  readonly role: "relational";
  readonly limits: RelationalLimits;

  /**
   * Rows that meet a filter whose paths are column names; a summary's rows have no `_id`.
   *
   * A comparison holds only within a column's type; a `text[]` column meets it with any element, a
   * `json` column is compared as canonical JSON text, and of vectors and tables of counts only
   * `$exists` can be asked. A null comes before every value in ascending order, ties are broken by id
   * (a summary's by key). A collection that was never prepared is empty.
   *
   * @throws StoreError `refused` for an unknown column, a comparison the column does not know, or a
   *   malformed cursor, `limit` for a page beyond the limits.
   */
  select(
    scope: Scope,
    collection: Collection<TablePlacement>,
    query: TableQuery,
  ): Promise<TablePage>;

  /**
   * The engine's own plan for a query, one step a line, for people; none for a collection that was
   * never prepared.
   *
   * @throws StoreError `refused` and `limit` as {@link select} does.
   */
  explain(
    scope: Scope,
    collection: Collection<TablePlacement>,
    query: TableQuery,
  ): Promise<readonly string[]>;
}

export interface RelationalLimits {
  /** Rows in a page. */
  readonly pageMax: number;
}

export interface TableQuery {
  readonly filter: Filter;
  readonly orderBy?: readonly { readonly column: string; readonly direction: "asc" | "desc" }[];
  readonly limit: number;
  readonly cursor?: string;
}

export interface TablePage {
  readonly rows: readonly Readonly<Record<string, Cell>>[];
  readonly cursor?: string;
  readonly checkpoint: number;
}
