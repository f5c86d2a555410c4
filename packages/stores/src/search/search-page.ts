import { hash } from "node:crypto";

import { canonicalJson } from "@custody/contract/json";

import { cursorOf, cursorParts } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import type { SearchMapping } from "./content.ts";
import type { SearchLimits, SearchPage, SearchQuery } from "./port.ts";

/** Where a page of hits ended: the next begins after it. */
export interface SearchPosition {
  readonly score: number;
  readonly id: string;
}

/** Checks what every engine refuses. @throws StoreError `limit`, or `refused` for an unknown facet. */
export function checkQuery(
  { filterNames }: SearchMapping,
  { limit, facets = [] }: SearchQuery,
  limits: SearchLimits,
): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > limits.pageMax) {
    throw new StoreError("limit", `a page holds 1 to ${limits.pageMax} hits`);
  }
  if (facets.length > limits.facetsMax) {
    throw new StoreError("limit", `a query counts at most ${limits.facetsMax} facets`);
  }
  const unknown = facets.find((name) => !filterNames.includes(name));
  if (unknown !== undefined) {
    throw new StoreError("refused", `the search has no filter ${JSON.stringify(unknown)}`);
  }
}

/** What a search of a collection that was never prepared finds. */
export function emptyPage({ facets = [] }: SearchQuery): SearchPage {
  const counts = Object.fromEntries(facets.map((name) => [name, []]));
  return { hits: [], total: 0, facets: counts, checkpoint: 0 };
}

/** Writes a cursor that only the same search takes. */
export function writeSearchCursor(query: SearchQuery, { score, id }: SearchPosition): string {
  return cursorOf([queryKey(query), score, id]);
}

/** Where a query goes on; `undefined` for the first page. @throws StoreError `refused`. */
export function readSearchCursor(query: SearchQuery): SearchPosition | undefined {
  if (query.cursor === undefined) return undefined;
  const [of, score, id] = cursorParts(query.cursor);
  if (of === queryKey(query) && typeof score === "number" && typeof id === "string") {
    return { score, id };
  }
  throw new StoreError("refused", "this is no cursor of this search");
}

function queryKey({ expression, filter }: SearchQuery): string {
  return hash("sha256", canonicalJson({ expression, filter }), "hex").slice(0, 16);
}
