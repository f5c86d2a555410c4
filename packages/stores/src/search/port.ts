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
   * Case and diacritics are folded; a term of several words is a phrase; one without a letter or
   * digit is left out. `{op: "and", parts: []}` meets everything, with a score of 0. A fuzzy term
   * stands for the 50 nearest words (insertions, deletions and replacements of letters). Filter values
   * compare as in the document store. A score changes when records are written, so pages of one
   * search are exact only while nothing is. A collection that was never prepared is empty.
   *
   * @throws StoreError `unsupported` for a fuzzy term where `capabilities.isFuzzy` is false,
   *   `refused` for a malformed cursor, one of another search, or an unknown field or filter, `limit`
   *   for a page or a number of facets over the limits.
   */
  search(
    scope: Scope,
    collection: Collection<SearchPlacement>,
    query: SearchQuery,
  ): Promise<SearchPage>;

  /**
   * The engine's own plan for a search, one step a line, for people; none for a collection that was
   * never prepared.
   *
   * @throws StoreError `unsupported`, `refused` and `limit` as {@link search} does.
   */
  explain(
    scope: Scope,
    collection: Collection<SearchPlacement>,
    query: SearchQuery,
  ): Promise<readonly string[]>;

  /**
   * Marks what the expression meets in given texts, with the engine's own tokenizer and rules. Each
   * hit is put between `mark.open` and `mark.close`. Of a text longer than `lengthMax` characters the
   * part around the first hit is given, with "…" where it was cut; marks and dots do not count. Texts
   * are marked, not escaped: escaping for a page is the caller's, before or with marks of its own.
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
  /** Hits in a page. */
  readonly pageMax: number;
  /** Facets one query may ask for. */
  readonly facetsMax: number;
  /** Values listed for a facet, the most frequent first, then by text. */
  readonly facetValuesMax: number;
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
