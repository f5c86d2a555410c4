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
 * deliveries alone and equal a full recomputation.
 */
export interface RelationalStore extends ProjectedStore<TablePlacement> {
  readonly role: "relational";

  /** Rows that meet a filter whose paths are column names. @throws StoreError `refused` for an unknown column. */
  select(
    scope: Scope,
    collection: Collection<TablePlacement>,
    query: TableQuery,
  ): Promise<TablePage>;
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
