import type { SearchPlacement } from "@custody/contract/placement";

import { openOpensearchCluster } from "../drivers/opensearch.ts";
import type { OpensearchCluster } from "../drivers/opensearch.ts";
import { spaceOf } from "../drivers/space.ts";
import { pageOfRows, rangeStart } from "../row-pages.ts";
import type { StoredContent } from "../row-pages.ts";
import { DigestSums, rowHash } from "../content-form.ts";
import { refuseGap } from "../delivery-start.ts";
import type { Collection } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import type { ServerEngine } from "../server-engine.ts";
import { termsOf } from "./expression.ts";
import { contentsOf, ROWS_LISTED_MAX, WHOLE_RANGE } from "./opensearch-content.ts";
import { markTexts } from "./opensearch-highlight.ts";
import { describeIndex } from "./opensearch-index.ts";
import type { OpensearchCollection } from "./opensearch-index.ts";
import { explainPage, queryPage } from "./opensearch-query.ts";
import { planRows } from "./opensearch-plan.ts";
import { readStatistics, settleSpace } from "./opensearch-space.ts";
import {
  prepareIndex,
  readCheckpoint,
  refresh,
  requireCheckpoint,
  writeCheckpoint,
} from "./opensearch-state.ts";
import type { Preference } from "./opensearch-state.ts";
import { OpensearchWords } from "./opensearch-words.ts";
import { forceRows, writeRows } from "./opensearch-write.ts";
import type { RowTarget } from "./opensearch-write.ts";
import type { SearchLimits, SearchStore } from "./port.ts";
import { emptyPage } from "./search-page.ts";
import { orderedTexts, shownTexts } from "./text-marks.ts";

/** Which cluster keeps the search, and how owners are named in it. */
export interface OpensearchSearchOptions {
  /**
   * `opensearch://user:password@host:9200/prefix`, with several hosts separated by commas; `elasticsearch`
   * for that product, an `s` behind either for TLS. The path is what every index of this installation
   * begins with, default `custody`. Options besides those of every server: `api-key` or `token`, or
   * the file that holds it (`api-key-file`, `token-file`), in place of user and password; `replicas`, copies of
   * each index besides the first, by default one as soon as there is a second node.
   */
  readonly url: string;
  /** Secret under which an owner's name becomes part of an index's name; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
}

// A page of 10,000 is the server's own limit (index.max_result_window).
const LIMITS: SearchLimits = { pageMax: 1_000, facetsMax: 32, facetValuesMax: 100 };
// Copies of an index take turns; calls that must agree name the same turn.
const PREFERENCES = 16;

/** A call on one collection. */
interface Call {
  readonly cluster: OpensearchCluster;
  readonly scope: Scope;
  readonly held: OpensearchCollection;
  readonly preference: Preference;
}

type ToCall = (scope: Scope, collection: Collection<SearchPlacement>) => Call;

/**
 * Opens the search in an OpenSearch or Elasticsearch cluster: an index a tenant, collection and
 * generation.
 *
 * The texts are kept, so `digest` and `list` hash what is really stored; the server's own checksums
 * guard the index made of them. A delivery's rows are seen together, when its checkpoint is written. When the
 * server takes only a part of a delivery, the rows it took are seen with the next one; as the checkpoint
 * stands where it stood, they come again with it and change nothing.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the client library is missing.
 */
export async function openOpensearchSearch(
  options: OpensearchSearchOptions,
): Promise<SearchStore & ServerEngine> {
  const { url, ownerSalt } = options;
  const cluster = await openOpensearchCluster(url);
  const { prefix } = cluster.settings;
  let turn = 0;
  const call: ToCall = (scope, collection) => {
    const space = spaceOf(scope, ownerSalt);
    turn = (turn + 1) % PREFERENCES;
    const held = describeIndex(collection, { prefix, space });
    return { cluster, scope, held, preference: `custody${turn}` };
  };

  return {
    role: "search",
    engine: "opensearch",
    ...writing(call),
    ...comparing(call),
    ...reading(call, new OpensearchWords(cluster)),

    statistics: async (scope) =>
      await readStatistics({ cluster, scope, space: spaceOf(scope, ownerSalt) }),

    settle: async (scope) =>
      await settleSpace({ cluster, scope, space: spaceOf(scope, ownerSalt) }),

    health: async () => await cluster.health(),

    [Symbol.asyncDispose]: async () => {
      await cluster[Symbol.asyncDispose]();
    },
  };
}

function writing(
  toCall: ToCall,
): Pick<SearchStore, "prepare" | "apply" | "repair" | "checkpoint" | "discard"> {
  return {
    prepare: async (scope, collection) => {
      const call = toCall(scope, collection);
      await prepareIndex(call, call.held, call.preference);
    },

    apply: async (scope, collection, { batches, checkpoint, after = 0 }) => {
      const call = toCall(scope, collection);
      const written = await requireCheckpoint(call, call.held, call.preference);
      refuseGap(collection, { after }, written);
      await writeRows(targetOf(call), planRows(call.held, batches, written));
      await writeCheckpoint(call, call.held, checkpoint);
    },

    repair: async (scope, collection, batch) => {
      const call = toCall(scope, collection);
      await requireCheckpoint(call, call.held, call.preference);
      await forceRows(targetOf(call), planRows(call.held, [batch], -1));
      await refresh(call.cluster, scope, call.held.alias);
    },

    checkpoint: async (scope, collection) => {
      const call = toCall(scope, collection);
      return (await readCheckpoint(call, call.held, call.preference)) ?? 0;
    },

    discard: async (scope, collection) => {
      const { cluster, held } = toCall(scope, collection);
      await cluster.send(scope, {
        doing: `discard ${held.name}`,
        method: "DELETE",
        path: [held.index],
        accepts: [404],
      });
    },
  };
}

function targetOf(call: Call): RowTarget {
  return {
    ...call,
    checkpoint: async () => await requireCheckpoint(call, call.held, call.preference),
  };
}

function comparing(toCall: ToCall): Pick<SearchStore, "digest" | "list"> {
  return {
    digest: async (scope, collection, bucketSize) => {
      const call = toCall(scope, collection);
      const sums = new DigestSums(bucketSize);
      if ((await readCheckpoint(call, call.held, call.preference)) === undefined) return [];
      for await (const { id, sequence, content } of contentsOf(call, WHOLE_RANGE)) {
        sums.add(sequence, rowHash(id, sequence, content));
      }
      return sums.digests();
    },

    list: async (scope, collection, range) => {
      rangeStart(range);
      const call = toCall(scope, collection);
      if ((await readCheckpoint(call, call.held, call.preference)) === undefined) {
        return { rows: [] };
      }
      const limit = Math.min(range.limit, ROWS_LISTED_MAX);
      const rows: StoredContent[] = [];
      for await (const row of contentsOf(call, { ...range, limit })) {
        rows.push(row);
        if (rows.length > limit) break;
      }
      return pageOfRows(rows, limit);
    },
  };
}

function reading(
  toCall: ToCall,
  words: OpensearchWords,
): Pick<SearchStore, "capabilities" | "limits" | "search" | "explain" | "highlight"> {
  return {
    capabilities: { isFuzzy: true, readsTextBack: true },
    limits: LIMITS,

    search: async (scope, collection, query) => {
      const call = toCall(scope, collection);
      const checkpoint = await readCheckpoint(call, call.held, call.preference);
      if (checkpoint === undefined) return emptyPage(query);
      const page = await queryPage({ ...call, words, limits: LIMITS }, query);
      return { ...page, checkpoint };
    },

    explain: async (scope, collection, query) => {
      const call = toCall(scope, collection);
      const checkpoint = await readCheckpoint(call, call.held, call.preference);
      return checkpoint === undefined
        ? []
        : await explainPage({ ...call, words, limits: LIMITS }, query);
    },

    highlight: async (scope, collection, request) => {
      const call = toCall(scope, collection);
      await requireCheckpoint(call, call.held, call.preference);
      const { fieldNames } = call.held.mapping;
      const rows = orderedTexts(request.texts, fieldNames);
      const asked = termsOf(request.expression, "wanted").map(({ text }) => text);
      const fold = await words.learn(scope, call.held.alias, [...asked, ...rows.flat()]);
      const marked = markTexts(rows, fieldNames, { expression: request.expression, fold });
      return shownTexts(request, fieldNames, marked);
    },
  };
}
