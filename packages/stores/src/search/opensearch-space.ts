import { memberOf } from "../drivers/opensearch-errors.ts";
import type { OpensearchCluster, OpensearchRequest } from "../drivers/opensearch.ts";
import type { StoreStatistics } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import { bucketsOf, numberOf } from "./opensearch-answers.ts";
import { indexPattern } from "./opensearch-index.ts";
import type { OpensearchQuery } from "./opensearch-match.ts";

/** A tenant's or owner's part of the cluster. */
export interface OpensearchSpace {
  readonly cluster: OpensearchCluster;
  readonly scope: Scope;
  readonly space: string;
}

// A space holds an index for each of its types and generations.
const INDICES_MAX = 10_000;

/** Counts the rows and bytes of a space. */
export async function readStatistics({
  cluster,
  scope,
  space,
}: OpensearchSpace): Promise<StoreStatistics> {
  const pattern = indexPattern(cluster.settings.prefix, space);
  const collections = await readCollections({ cluster, scope, space });
  if (collections.length === 0) return { collections: [], bytes: 0 };
  const { body: counted } = await cluster.send(scope, {
    doing: "count records",
    method: "POST",
    path: [pattern, "_search"],
    query: { allow_partial_search_results: false },
    body: {
      query: { exists: { field: "b" } },
      size: 0,
      track_total_hits: false,
      aggs: { rows: { terms: { field: "_index", size: INDICES_MAX } } },
    },
  });
  const { body: sizes } = await cluster.send(scope, {
    doing: "read sizes",
    method: "GET",
    path: [pattern, "_stats", "store"],
    query: { filter_path: "_all.primaries.store.size_in_bytes" },
  });
  const rows = new Map(bucketsOf(counted, "rows").map(({ key, count }) => [key, count]));
  const store = memberOf(memberOf(memberOf(sizes, "_all"), "primaries"), "store");
  return {
    collections: collections
      .map(({ index, ...names }) => ({ ...names, records: rows.get(index) ?? 0 }))
      .sort((a, b) => (a.name === b.name ? a.generation - b.generation : a.name < b.name ? -1 : 1)),
    bytes: numberOf(memberOf(store, "size_in_bytes") ?? 0),
  };
}

interface HeldIndex {
  readonly index: string;
  readonly name: string;
  readonly generation: number;
}

/** The collections of a space, as their indices say of themselves. */
async function readCollections({
  cluster,
  scope,
  space,
}: OpensearchSpace): Promise<readonly HeldIndex[]> {
  const { body } = await cluster.send(scope, {
    doing: "list collections",
    method: "GET",
    path: [indexPattern(cluster.settings.prefix, space), "_mapping"],
    query: { filter_path: "*.mappings._meta.custody" },
  });
  const indices = typeof body === "object" && body !== null ? Object.entries(body) : [];
  return indices.flatMap(([index, one]): HeldIndex[] => {
    const noted = memberOf(memberOf(memberOf(one, "mappings"), "_meta"), "custody");
    const [name, generation] = [memberOf(noted, "name"), memberOf(noted, "generation")];
    return typeof name === "string" && typeof generation === "number"
      ? [{ index, name, generation }]
      : [];
  });
}

/**
 * Removes what deleted records left behind: their words, by merging the segments that have some, and then
 * the marks that said so. The server keeps the last half minute of changes for its copies, so what was
 * deleted since is left, with its marks, to the next time.
 */
export async function settleSpace({ cluster, scope, space }: OpensearchSpace): Promise<void> {
  for (const { index } of await readCollections({ cluster, scope, space })) {
    const place = { cluster, scope, index };
    if ((await countRows(place, MARKS)) === 0) continue;
    await call(place, { doing: "flush an index", path: ["_flush"] });
    const before = await readRetained(place);
    const due = { bool: { filter: [MARKS, { range: { _seq_no: { lt: before } } }] } };
    const count = await countRows(place, due);
    if (count > 0) await purge(place, due, count);
  }
}

interface IndexPlace {
  readonly cluster: OpensearchCluster;
  readonly scope: Scope;
  readonly index: string;
}

const MARKS: OpensearchQuery = { term: { gone: true } };
// Removing so many takes a server less than a call may.
const MARKS_AT_ONCE = 5_000;

async function purge(place: IndexPlace, due: OpensearchQuery, count: number): Promise<void> {
  await call(place, {
    doing: "purge deleted records",
    path: ["_forcemerge"],
    query: { only_expunge_deletes: true },
  });
  for (let left = count; left > 0; left -= MARKS_AT_ONCE) {
    await call(place, {
      doing: "remove the marks of deleted records",
      path: ["_delete_by_query"],
      query: { conflicts: "proceed", refresh: true, max_docs: MARKS_AT_ONCE },
      body: { query: due },
    });
  }
}

async function countRows(place: IndexPlace, query: OpensearchQuery): Promise<number> {
  const body = await call(place, {
    doing: "count deleted records",
    path: ["_count"],
    body: { query },
  });
  return numberOf(memberOf(body, "count"));
}

/** The first change that the server keeps for one of the index's copies, whatever is merged. */
async function readRetained(place: IndexPlace): Promise<number> {
  const body = await call(place, {
    doing: "read what copies need",
    method: "GET",
    path: ["_stats"],
    query: { level: "shards", filter_path: "indices.*.shards.*.retention_leases.leases" },
  });
  const shards = memberOf(memberOf(memberOf(body, "indices"), place.index), "shards");
  const copies = listOf(memberOf(shards, "0"));
  const leases = copies.flatMap((copy) =>
    listOf(memberOf(memberOf(copy, "retention_leases"), "leases")),
  );
  const retained = leases.map((lease) => numberOf(memberOf(lease, "retaining_seq_no")));
  return Math.min(Number.MAX_SAFE_INTEGER, ...retained);
}

async function call(
  { cluster, scope, index }: IndexPlace,
  request: Omit<OpensearchRequest, "method"> & { readonly method?: "GET" },
): Promise<unknown> {
  const { path } = request;
  const answer = await cluster.send(scope, { method: "POST", ...request, path: [index, ...path] });
  return answer.body;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
