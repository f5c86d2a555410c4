import type { DatabaseSync, SQLOutputValue } from "node:sqlite";

import { asText } from "@custody/contract/value-expression";

import { quoteName, sql, verbatim } from "../drivers/sqlite-fragment.ts";
import type { SqlFragment } from "../drivers/sqlite-fragment.ts";
import { numberOf, textOf } from "../drivers/sqlite-collections.ts";
import { StoreError } from "../errors.ts";
import type { SearchMapping } from "./content.ts";
import type { SearchHit, SearchLimits, SearchPage, SearchQuery } from "./port.ts";
import { readSearchCursor, writeSearchCursor } from "./search-page.ts";
import type { SearchPosition } from "./search-page.ts";
import { compileOptionalFilter, filterColumn } from "./sqlite-filter.ts";
import type { MatchSet } from "./sqlite-match.ts";
import { readFilter } from "./sqlite-table.ts";
import type { SearchTableNames } from "./sqlite-table.ts";

/** What a query is run on. */
export interface QueryTable {
  readonly database: DatabaseSync;
  readonly names: SearchTableNames;
  readonly mapping: SearchMapping;
}

/** Finds a page of hits; the caller holds the snapshot. */
export function queryPage(
  table: QueryTable,
  query: SearchQuery,
  found: MatchSet,
  limits: SearchLimits,
): Omit<SearchPage, "checkpoint"> {
  const { source, after } = sourceOf(table, query, found);
  const facets = Object.fromEntries((query.facets ?? []).map((name) => [name, [] as Facet[]]));
  if (found.match === undefined && !found.isComplement) return { hits: [], total: 0, facets };
  for (const name of Object.keys(facets)) {
    facets[name] = facetValues(table, source, name, limits.facetValuesMax);
  }
  const hits = listHits(table, source, { after, limit: query.limit + 1 });
  const page = hits.slice(0, query.limit);
  const last = page.at(-1);
  const cursor =
    hits.length > page.length && last !== undefined ? writeSearchCursor(query, last) : undefined;
  const answer = { hits: page, total: countHits(table, source), facets };
  return cursor === undefined ? answer : { ...answer, cursor };
}

/** SQLite's own plan of listing the hits, and what it is asked to match. */
export function explainPage(
  table: QueryTable,
  query: SearchQuery,
  found: MatchSet,
): readonly string[] {
  const { source, after } = sourceOf(table, query, found);
  const { text, values } = hitsSelect(table, source, { after, limit: query.limit + 1 });
  const steps = table.database
    .prepare(`EXPLAIN QUERY PLAN ${text}`)
    .all(...values)
    .map((row) => textOf(row["detail"]));
  return found.match === undefined ? steps : [`MATCH ${found.match}`, ...steps];
}

function sourceOf(
  { mapping, names }: QueryTable,
  query: SearchQuery,
  found: MatchSet,
): { readonly source: HitSource; readonly after: SearchPosition | undefined } {
  const filter = compileOptionalFilter(query.filter, {
    names: mapping.filterNames,
    valuesTable: names.values,
  });
  const source = { found, filter, hasFilter: query.filter !== undefined };
  return { source, after: readSearchCursor(query) };
}

type Facet = { readonly value: string; readonly count: number };

interface HitSource {
  readonly found: MatchSet;
  readonly filter: SqlFragment;
  readonly hasFilter: boolean;
}

/** FROM and WHERE of the hits; `r` is the rows' table. */
function hitsFrom({ names }: QueryTable, { found, filter }: HitSource): SqlFragment {
  const index = verbatim(quoteName(names.index));
  const rows = verbatim(quoteName(names.rows));
  if (found.match === undefined) return sql`${rows} AS r WHERE ${filter}`;
  if (found.isComplement) {
    return sql`${rows} AS r WHERE r.n NOT IN
      (SELECT rowid FROM ${index} WHERE ${index} MATCH ${found.match}) AND ${filter}`;
  }
  return sql`${index} JOIN ${rows} AS r ON r.n = ${index}.rowid
    WHERE ${index} MATCH ${found.match} AND ${filter}`;
}

interface HitRange {
  readonly after: SearchPosition | undefined;
  readonly limit: number;
}

function listHits(table: QueryTable, source: HitSource, range: HitRange): SearchHit[] {
  const { text, values } = hitsSelect(table, source, range);
  return table.database
    .prepare(text)
    .all(...values)
    .map((row) => ({
      id: textOf(row["id"]),
      sequence: numberOf(row["sequence"]),
      score: numberOf(row["score"]),
    }));
}

function hitsSelect(table: QueryTable, source: HitSource, { after, limit }: HitRange): SqlFragment {
  const { found } = source;
  const isRanked = found.match !== undefined && !found.isComplement;
  const weights = table.mapping.weights.map((weight) => `, ${finite(weight)}`).join("");
  const score = verbatim(isRanked ? `-bm25(${quoteName(table.names.index)}${weights})` : "0.0");
  // The inner LIMIT keeps SQLite from flattening the query, which would rank each hit several times.
  const from =
    after === undefined ? hitsFrom(table, source) : sql`${hitsFrom(table, source)} LIMIT -1`;
  const beyond =
    after === undefined
      ? sql`1`
      : sql`score < ${after.score} OR (score = ${after.score} AND id > ${after.id})`;
  return sql`SELECT * FROM (SELECT r.id AS id, r.sequence AS sequence,
    ${score} AS score FROM ${from}) WHERE ${beyond} ORDER BY score DESC, id LIMIT ${limit}`;
}

function finite(weight: number): string {
  if (Number.isFinite(weight) && weight >= 0) return weight.toFixed(6);
  throw new StoreError("refused", "a field's weight is a number of 0 or more");
}

function countHits(table: QueryTable, source: HitSource): number {
  const { found, hasFilter } = source;
  const index = verbatim(quoteName(table.names.index));
  // Without a filter the index alone knows how many there are.
  const isPlain = found.match !== undefined && !found.isComplement && !hasFilter;
  const { text, values } = isPlain
    ? sql`SELECT count(*) AS n FROM ${index} WHERE ${index} MATCH ${found.match}`
    : sql`SELECT count(*) AS n FROM ${hitsFrom(table, source)}`;
  return numberOf(table.database.prepare(text).get(...values)?.["n"]);
}

function facetValues(
  table: QueryTable,
  source: HitSource,
  name: string,
  valuesMax: number,
): Facet[] {
  const position = table.mapping.filterNames.indexOf(name);
  const column = verbatim(`r.${filterColumn(position)}`);
  const from = hitsFrom(table, source);
  const { text, values } = sql`SELECT ${column} AS value, count(*) AS count FROM ${from}
    AND ${column} IS NOT NULL GROUP BY ${column}`;
  const statement = table.database.prepare(text);
  statement.setReadBigInts(true);
  const counts = new Map<string, number>();
  for (const row of statement.iterate(...values)) countValues(counts, row);
  return [...counts]
    .map(([value, count]) => ({ value, count }))
    .sort((left, right) => right.count - left.count || (left.value < right.value ? -1 : 1))
    .slice(0, valuesMax);
}

function countValues(counts: Map<string, number>, row: Record<string, SQLOutputValue>): void {
  for (const value of readFilter(row["value"])) {
    const text = asText(value);
    counts.set(text, (counts.get(text) ?? 0) + numberOf(row["count"]));
    if (counts.size > FACET_DISTINCT_MAX) {
      throw new StoreError(
        "limit",
        `a facet with more than ${FACET_DISTINCT_MAX} values is no facet`,
      );
    }
  }
}

// Distinct values are counted in memory: 100,000 of 20 characters are about 10 MB.
const FACET_DISTINCT_MAX = 100_000;
