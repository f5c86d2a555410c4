import type { OpensearchCluster } from "../drivers/opensearch.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { bucketsOf, hitsOf } from "./opensearch-answers.ts";
import type { AnsweredBucket } from "./opensearch-answers.ts";
import type { OpensearchCollection } from "./opensearch-index.ts";
import type { OpensearchQuery } from "./opensearch-match.ts";
import { comparedKey, isCut, keyText, KINDS, readValues } from "./opensearch-row.ts";
import type { Preference } from "./opensearch-state.ts";
import type { SearchLimits, SearchPage } from "./port.ts";

/** The hits that are counted, and where they lie. */
export interface FacetTarget {
  readonly cluster: OpensearchCluster;
  readonly scope: Scope;
  readonly held: OpensearchCollection;
  readonly preference: Preference;
  readonly limits: SearchLimits;
  readonly query: OpensearchQuery;
}

type Facet = { readonly value: string; readonly count: number };

// What a cluster gives at most unless told otherwise (search.max_buckets).
const BUCKETS_MAX = 65_535;

/** Aggregations by the filters' places: their names are never part of a request. */
export function facetRequests(
  { mapping }: OpensearchCollection,
  facets: readonly string[],
  valuesMax: number,
): Readonly<Record<string, object>> {
  const fields = facets.map((name) => fieldOf(mapping.filterNames.indexOf(name)));
  return Object.fromEntries(fields.map((field) => [field, countsOf(field, valuesMax)]));
}

/** Reads the facets of an answer: the most frequent values first, then by text. */
export async function facetsOf(
  target: FacetTarget,
  facets: readonly string[],
  answer: unknown,
): Promise<SearchPage["facets"]> {
  const { facetValuesMax } = target.limits;
  const counted: [string, readonly Facet[]][] = [];
  for (const name of facets) {
    const position = target.held.mapping.filterNames.indexOf(name);
    const first = bucketsOf(answer, fieldOf(position));
    const buckets = isInOrder(first, facetValuesMax) ? first : await everyBucket(target, position);
    const counts = new Map<string, number>();
    for (const { key, count } of buckets) {
      const value = isCut(key) ? await wholeText(target, position, key) : keyText(key);
      counts.set(value, (counts.get(value) ?? 0) + count);
    }
    const values = [...counts]
      .map(([value, count]) => ({ value, count }))
      .sort((left, right) => right.count - left.count || (left.value < right.value ? -1 : 1));
    counted.push([name, values.slice(0, facetValuesMax)]);
  }
  return Object.fromEntries(counted);
}

function fieldOf(position: number): string {
  return `f${position}`;
}

function countsOf(field: string, size: number): object {
  return { terms: { field, size, order: [{ _count: "desc" }, { _key: "asc" }] } };
}

/** Whether the first values are the first by text too: numbers are in order of their size. */
function isInOrder(buckets: readonly AnsweredBucket[], valuesMax: number): boolean {
  const isWhole = buckets.length < valuesMax;
  return isWhole || buckets.every(({ key }) => key.startsWith(KINDS.string.first));
}

/** Every value with its count, of which a filter that is a facet has few. */
async function everyBucket(
  target: FacetTarget,
  position: number,
): Promise<readonly AnsweredBucket[]> {
  const field = fieldOf(position);
  const { query } = target;
  const body = { query, size: 0, aggs: { [field]: countsOf(field, BUCKETS_MAX) } };
  const buckets = bucketsOf(await ask(target, body), field);
  if (buckets.length < BUCKETS_MAX) return buckets;
  throw new StoreError("limit", `a facet with ${BUCKETS_MAX} values or more is no facet`);
}

/** The text that a key is the beginning of, from a row that has it. */
async function wholeText(target: FacetTarget, position: number, key: string): Promise<string> {
  const body = {
    query: { term: { [fieldOf(position)]: { value: key } } },
    size: 1,
    _source: ["c"],
    docvalue_fields: ["id", "s"],
  };
  const [row] = hitsOf(await ask(target, body));
  const values = readValues(row?.source)?.[position] ?? [];
  const whole = values.find((value) => comparedKey(value) === key);
  return typeof whole === "string" ? whole : keyText(key);
}

async function ask(
  { cluster, scope, held, preference }: FacetTarget,
  body: object,
): Promise<unknown> {
  const answer = await cluster.send(scope, {
    doing: `count facets of ${held.name}`,
    method: "POST",
    path: [held.alias, "_search"],
    query: { preference, allow_partial_search_results: false },
    body,
  });
  return answer.body;
}
