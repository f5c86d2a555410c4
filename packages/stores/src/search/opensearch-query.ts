import { memberOf } from "../drivers/opensearch-errors.ts";
import type { OpensearchCluster } from "../drivers/opensearch.ts";
import type { Scope } from "../scope.ts";
import { termsOf } from "./expression.ts";
import { hitsOf, numberOf, totalOf } from "./opensearch-answers.ts";
import { facetRequests, facetsOf } from "./opensearch-facets.ts";
import { compileFilter } from "./opensearch-filter.ts";
import type { OpensearchCollection } from "./opensearch-index.ts";
import { compileMatch } from "./opensearch-match.ts";
import type { OpensearchQuery } from "./opensearch-match.ts";
import type { Preference } from "./opensearch-state.ts";
import type { OpensearchWords } from "./opensearch-words.ts";
import type { SearchLimits, SearchPage, SearchQuery } from "./port.ts";
import { checkQuery, readSearchCursor, writeSearchCursor } from "./search-page.ts";

/** What a query is run on. */
export interface QueryTarget {
  readonly cluster: OpensearchCluster;
  readonly scope: Scope;
  readonly held: OpensearchCollection;
  readonly preference: Preference;
  readonly words: OpensearchWords;
  readonly limits: SearchLimits;
}

/** Finds a page of hits. */
export async function queryPage(
  target: QueryTarget,
  query: SearchQuery,
): Promise<Omit<SearchPage, "checkpoint">> {
  const { cluster, scope, held, preference, limits } = target;
  const body = await searchBody(target, query);
  const { body: answer } = await cluster.send(scope, {
    doing: `search ${held.name}`,
    method: "POST",
    path: [held.alias, "_search"],
    query: { preference, allow_partial_search_results: false },
    body: {
      ...body,
      size: query.limit + 1,
      track_total_hits: true,
      aggs: facetRequests(held, query.facets ?? [], limits.facetValuesMax),
    },
  });
  const hits = hitsOf(answer).map(({ id, sequence, sort: [score] }) => ({
    id,
    sequence,
    score: numberOf(score),
  }));
  const page = hits.slice(0, query.limit);
  const last = page.at(-1);
  const found = {
    hits: page,
    total: totalOf(answer),
    facets: await facetsOf({ ...target, query: body.query }, query.facets ?? [], answer),
  };
  return hits.length > page.length && last !== undefined
    ? { ...found, cursor: writeSearchCursor(query, last) }
    : found;
}

/** The server's own reading of a search: what it looks for in its index. */
export async function explainPage(
  target: QueryTarget,
  query: SearchQuery,
): Promise<readonly string[]> {
  const { cluster, scope, held } = target;
  const body = await searchBody(target, query);
  const { body: answer } = await cluster.send(scope, {
    doing: `explain a search of ${held.name}`,
    method: "POST",
    path: [held.alias, "_validate", "query"],
    query: { explain: true, rewrite: true },
    body: { query: body.query },
  });
  const explanations = memberOf(answer, "explanations");
  const readings = Array.isArray(explanations)
    ? explanations.map((one) => memberOf(one, "explanation") ?? memberOf(one, "error"))
    : [];
  return [
    `index ${held.index}, one shard`,
    ...readings.map((reading) => `find ${String(reading)}`),
    `sort by score, then id${body.search_after === undefined ? "" : ", after a position"}`,
  ];
}

interface SearchBody {
  readonly query: OpensearchQuery;
  readonly sort: readonly object[];
  readonly _source: false;
  readonly docvalue_fields: readonly string[];
  readonly search_after?: readonly unknown[];
}

async function searchBody(target: QueryTarget, query: SearchQuery): Promise<SearchBody> {
  const { scope, held, words, limits } = target;
  const texts = termsOf(query.expression, "all").map(({ text }) => text);
  const fold = await words.learn(scope, held.alias, texts);
  const match = compileMatch(query.expression, { mapping: held.mapping, fold });
  checkQuery(held.mapping, query, limits);
  const filter =
    query.filter === undefined ? [] : [compileFilter(query.filter, held.mapping.filterNames)];
  const after = readSearchCursor(query);
  return {
    query: { bool: { must: [match], filter } },
    sort: [{ _score: "desc" }, { id: "asc" }],
    _source: false,
    docvalue_fields: ["id", "s"],
    ...(after === undefined ? {} : { search_after: [after.score, after.id] }),
  };
}
