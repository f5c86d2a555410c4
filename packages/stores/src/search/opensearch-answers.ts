import { memberOf } from "../drivers/opensearch-errors.ts";
import { StoreError } from "../errors.ts";

/** One hit of a search, as far as it was asked for. */
export interface AnsweredHit {
  readonly id: string;
  readonly sequence: number;
  readonly source: unknown;
  /** The values it was sorted by. */
  readonly sort: readonly unknown[];
  /** About how large it is. */
  readonly size: number;
}

/** The hits of a search answer that is whole. @throws StoreError `unavailable`, `corrupt`. */
export function hitsOf(body: unknown): readonly AnsweredHit[] {
  if (memberOf(body, "timed_out") === true) {
    throw new StoreError("unavailable", "the search server ran out of time");
  }
  const hits = memberOf(memberOf(body, "hits"), "hits");
  if (!Array.isArray(hits))
    throw new StoreError("unavailable", "the search server answers no hits");
  return hits.map(hitOf);
}

/** How many rows meet the search. */
export function totalOf(body: unknown): number {
  return numberOf(memberOf(memberOf(memberOf(body, "hits"), "total"), "value"));
}

/** A value and how many rows have it. */
export interface AnsweredBucket {
  readonly key: string;
  readonly count: number;
}

/** The buckets of an aggregation. */
export function bucketsOf(body: unknown, name: string): readonly AnsweredBucket[] {
  const buckets = memberOf(memberOf(memberOf(body, "aggregations"), name), "buckets");
  if (!Array.isArray(buckets)) return [];
  return buckets.map((bucket: unknown) => ({
    key: String(memberOf(bucket, "key")),
    count: numberOf(memberOf(bucket, "doc_count")),
  }));
}

/** A number in an answer. @throws StoreError `corrupt`. */
export function numberOf(value: unknown): number {
  if (typeof value === "number") return value;
  throw new StoreError("corrupt", `a number in the search server's answer is ${typeof value}`);
}

function hitOf(hit: unknown): AnsweredHit {
  const fields = memberOf(hit, "fields");
  const sort = memberOf(hit, "sort");
  const id = firstOf(memberOf(fields, "id"));
  if (typeof id !== "string") throw new StoreError("corrupt", "a row has no id");
  return {
    id,
    sequence: numberOf(firstOf(memberOf(fields, "s"))),
    source: memberOf(hit, "_source"),
    sort: Array.isArray(sort) ? sort : [],
    size: Number(firstOf(memberOf(fields, "b")) ?? 0),
  };
}

function firstOf(values: unknown): unknown {
  const list: readonly unknown[] = Array.isArray(values) ? values : [];
  return list[0];
}
