import type { DocumentPlacement } from "@custody/contract/placement";
import type { Filter } from "@custody/contract/filter";

import type { Collection, ProjectedStore } from "../projected-store.ts";
import type { Scope } from "../scope.ts";

/**
 * Document: whole records as JSON documents, found by the value of any field.
 *
 * The hot store of evidence, raw collector output, policies, templates and playbooks.
 */
export interface DocumentStore extends ProjectedStore<DocumentPlacement> {
  readonly role: "document";
  readonly limits: DocumentLimits;

  /**
   * Lists documents that meet the filter.
   *
   * Comparison follows MongoDB's: `gt` and its kin hold only within one kind (text or number), text
   * by code point; `eq null` holds for absent fields too; `ne` and `nin` hold where `eq` and `in`
   * do not. A path names own members only, a `[]` in it changes nothing, and a number is a name. Ties
   * in `sort` are broken by id. A document sorts by its least value at the path (greatest for `desc`);
   * absent is less than numbers, numbers less than text, text less than objects, then false, true.
   * A collection that was never prepared is empty.
   *
   * @throws StoreError `refused` for a malformed cursor or one of another query, `limit` for a page or
   *   a sort beyond the limits.
   */
  find(
    scope: Scope,
    collection: Collection<DocumentPlacement>,
    query: DocumentQuery,
  ): Promise<DocumentPage>;

  /** How many documents meet the filter. */
  count(scope: Scope, collection: Collection<DocumentPlacement>, filter: Filter): Promise<number>;

  /** The engine's own plan for a query, one step a line, for people. */
  explain(
    scope: Scope,
    collection: Collection<DocumentPlacement>,
    query: DocumentQuery,
  ): Promise<readonly string[]>;
}

export interface DocumentQuery {
  /** `{op: "and", filters: []}` meets everything. */
  readonly filter: Filter;
  /** Paths with direction; default by id ascending. */
  readonly sort?: readonly { readonly path: string; readonly direction: "asc" | "desc" }[];
  /** 1 to `limits.pageMax`. */
  readonly limit: number;
  readonly cursor?: string;
}

export interface FoundDocument {
  readonly id: string;
  readonly sequence: number;
  /** JSON text of the fields. */
  readonly text: string;
}

export interface DocumentPage {
  readonly documents: readonly FoundDocument[];
  readonly cursor?: string;
  /** The projection's checkpoint in the snapshot that answered. */
  readonly checkpoint: number;
}

export interface DocumentLimits {
  /** Bytes of one document's JSON text. */
  readonly documentBytesMax: number;
  /** Documents in a page. */
  readonly pageMax: number;
  /** Objects and arrays within one another in one document; a deeper one is `refused`. */
  readonly depthMax: number;
}
