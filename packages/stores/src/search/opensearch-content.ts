import type { OpensearchCluster } from "../drivers/opensearch.ts";
import { rangeStart } from "../row-pages.ts";
import type { RowPosition, RowRange, StoredContent } from "../row-pages.ts";
import type { Scope } from "../scope.ts";
import { hitsOf } from "./opensearch-answers.ts";
import type { AnsweredHit } from "./opensearch-answers.ts";
import type { OpensearchCollection } from "./opensearch-index.ts";
import { rowContent } from "./opensearch-row.ts";
import type { Preference } from "./opensearch-state.ts";

/** What rows are read from. */
export interface ContentSource {
  readonly cluster: OpensearchCluster;
  readonly scope: Scope;
  readonly held: OpensearchCollection;
  readonly preference: Preference;
}

// Keys of rows, about 100 bytes each.
const KEYS_MAX = 5_000;
// Texts are read back in answers of about so many UTF-16 units, however large a row is.
const ANSWER_UNITS_MAX = 4 * 1024 * 1024;
const ANSWER_ROWS_MAX = 1_000;

/**
 * The rows of a range by sequence and id, with the content form of what is stored.
 *
 * The keys of some rows are read first, and how large each is, so that answers stay small.
 */
export async function* contentsOf(
  source: ContentSource,
  range: RowRange,
): AsyncGenerator<StoredContent> {
  const { mapping } = source.held;
  // One more than is wanted tells whether there are more.
  const keysMax = Math.min(KEYS_MAX, range.limit + 1);
  let after: RowPosition | undefined = rangeStart(range);
  while (after !== undefined) {
    const keys = await ask(source, range, {
      after,
      size: keysMax,
      what: { _source: false },
    });
    for (const chunk of chunksOf(keys)) {
      const rows = await ask(source, range, {
        after,
        size: chunk.length,
        what: {},
      });
      for (const { id, sequence, source: stored } of rows) {
        yield { id, sequence, content: rowContent(mapping, stored) };
      }
      after = positionOf(chunk.at(-1)) ?? after;
    }
    if (keys.length < keysMax) after = undefined;
  }
}

/** Rows a page lists at most; more are asked for with the cursor. */
export const ROWS_LISTED_MAX = 10_000;

/** Every row. */
export const WHOLE_RANGE: RowRange = {
  fromSequence: 0,
  toSequence: Number.MAX_SAFE_INTEGER,
  limit: KEYS_MAX,
};

function* chunksOf(keys: readonly AnsweredHit[]): Generator<readonly AnsweredHit[]> {
  let first = 0;
  let units = 0;
  for (const [index, { size }] of keys.entries()) {
    const isFull = units + size > ANSWER_UNITS_MAX || index - first >= ANSWER_ROWS_MAX;
    if (isFull && index > first) {
      yield keys.slice(first, index);
      first = index;
      units = 0;
    }
    units += size;
  }
  if (first < keys.length) yield keys.slice(first);
}

async function ask(
  { cluster, scope, held, preference }: ContentSource,
  { fromSequence, toSequence }: RowRange,
  { after, size, what }: { after: RowPosition; size: number; what: object },
): Promise<readonly AnsweredHit[]> {
  const { body } = await cluster.send(scope, {
    doing: `read rows of ${held.name}`,
    method: "POST",
    path: [held.alias, "_search"],
    query: { preference, allow_partial_search_results: false },
    body: {
      query: {
        bool: {
          filter: [
            { exists: { field: "b" } },
            { range: { s: { gte: fromSequence, lt: toSequence } } },
          ],
        },
      },
      sort: [{ s: "asc" }, { id: "asc" }],
      search_after: [after.sequence, after.id],
      size,
      track_total_hits: false,
      docvalue_fields: ["id", "s", "b"],
      ...what,
    },
  });
  return hitsOf(body);
}

function positionOf(hit: AnsweredHit | undefined): RowPosition | undefined {
  return hit === undefined ? undefined : { sequence: hit.sequence, id: hit.id };
}
