import type { Filter } from "@custody/contract/filter";
import type { SearchPlacement } from "@custody/contract/placement";

import type { Collection, ProjectedStore } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import type { SearchExpression } from "./expression.ts";

/** Search: texts of records found by their words, narrowed by exact values, counted by facet. */
export interface SearchStore extends ProjectedStore<SearchPlacement> {
  readonly role: "search";
  readonly capabilities: SearchCapabilities;
  readonly limits: SearchLimits;

  /**
   * Lists hits, best first, ties by id.
   *
   * @throws StoreError `unsupported` for a fuzzy term where `capabilities.isFuzzy` is false,
   *   `refused` for a malformed cursor or an unknown field.
   */
  search(
    scope: Scope,
    collection: Collection<SearchPlacement>,
    query: SearchQuery,
  ): Promise<SearchPage>;

  /**
   * Marks what the expression meets in given texts, with the engine's own tokenizer and rules. Each
   * hit is put between `mark.open` and `mark.close`; texts longer than `lengthMax` characters are
   * cut around the hits.
   */
  highlight(
    scope: Scope,
    collection: Collection<SearchPlacement>,
    request: HighlightRequest,
  ): Promise<readonly Readonly<Record<string, string>>[]>;
}

export interface SearchCapabilities {
  /** Whether terms can match within an edit distance. */
  readonly isFuzzy: boolean;
  /** Whether the searched text can be read back, so that an altered text is found by `digest`. */
  readonly readsTextBack: boolean;
}

export interface SearchLimits {
  readonly pageMax: number;
  readonly facetsMax: number;
}

export interface SearchQuery {
  readonly expression: SearchExpression;
  /** A filter whose paths are names in the placement's `filters`. */
  readonly filter?: Filter;
  /** Names in the placement's `filters` to count hits by, most frequent first. */
  readonly facets?: readonly string[];
  readonly limit: number;
  readonly cursor?: string;
}

export interface SearchHit {
  readonly id: string;
  readonly sequence: number;
  /** Higher is better; comparable within one answer only. */
  readonly score: number;
}

export interface SearchPage {
  readonly hits: readonly SearchHit[];
  /** All hits, not only this page's. */
  readonly total: number;
  readonly facets: Readonly<
    Record<string, readonly { readonly value: string; readonly count: number }[]>
  >;
  readonly cursor?: string;
  readonly checkpoint: number;
}

export interface HighlightRequest {
  readonly expression: SearchExpression;
  /** For each record, the texts by field name. */
  readonly texts: readonly Readonly<Record<string, string>>[];
  readonly mark: { readonly open: string; readonly close: string };
  readonly lengthMax: number;
}
