import type { GraphPlacement } from "@custody/contract/placement";

import { DigestSums, hashText, rowHash } from "../content-form.ts";
import type { Collection, RowDigest } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import { scopeFor } from "../testing/scope.ts";
import { GRAPH_SEQUENCE, graphContent } from "./content.ts";
import type { GraphStore } from "./port.ts";

/** What an engine's test hands to the suite. */
export interface GraphFixture extends AsyncDisposable {
  readonly store: GraphStore;
  /** Closes the store and opens it again on the same data. */
  reopen(): Promise<GraphStore>;
  /** A JavaScript expression that a child process awaits to get a store on the same data. */
  readonly childStore: string;
  /** Runs a writing statement behind the closed store's back, in tenant-a's graph of generation 1. */
  readonly alter?: (statement: string) => Promise<void>;
  /** Puts the closed store's data into a state while `work` runs; `work` opens it itself. */
  readonly faults?: {
    readonly corrupt?: (work: () => Promise<void>) => Promise<void>;
    readonly readOnly?: (work: () => Promise<void>) => Promise<void>;
    readonly lock?: (work: () => Promise<void>) => Promise<void>;
  };
}

/** Opens an engine on empty data. */
export type OpenGraph = () => Promise<GraphFixture>;

/** Gives the suites that share one `describe` the store of the running test. */
export type CurrentGraph = () => { readonly fixture: GraphFixture; readonly store: GraphStore };

/** On whose behalf the suites write. */
export const scope: Scope = scopeFor("tenant-a");

const host: GraphPlacement = {
  nodes: [
    {
      label: "Host",
      id: "name",
      properties: {
        os: { type: "text", from: "os" },
        cores: { type: "integer", from: "cores" },
        load: { type: "real", from: "load" },
        up: { type: "boolean", from: "up" },
        seen: { type: "timestamp", from: "seen" },
        tags: { type: "text[]", from: { path: "tags[]", take: "all" } },
        place: { type: "vector", from: "place" },
        extra: { type: "json", from: "extra" },
      },
    },
    { label: "Service", id: "services[]" },
  ],
  edges: [
    {
      type: "RUNS",
      from: { label: "Host", id: "name" },
      to: { label: "Service", id: "services[]" },
    },
  ],
};

const link: GraphPlacement = {
  nodes: [],
  edges: [{ type: "LINKS", from: { label: "Host", id: "from" }, to: { label: "Host", id: "to" } }],
};

const finding: GraphPlacement = {
  nodes: [
    {
      label: "Flaw",
      id: "flaws[].id",
      properties: {
        score: { type: "real", from: "flaws[].score" },
        tool: { type: "text", from: "tool" },
      },
    },
  ],
  edges: [
    {
      type: "AFFECTS",
      from: { label: "Flaw", id: "flaws[].id" },
      to: { label: "Host", id: "flaws[].hosts[]" },
    },
  ],
};

/** The graph of all three types, generation 1. */
export const collection: Collection<GraphPlacement> = {
  name: "graph",
  generation: 1,
  placements: { "test/host": host, "test/link": link, "test/finding": finding },
};

/** One change of a record, as a test tells it. */
export interface TestRecord {
  readonly type: keyof typeof collection.placements;
  readonly id: string;
  /** Left out to delete. */
  readonly fields?: object;
}

/** A journal in memory: remembers what is live, so that the expected graph can be computed from it. */
export class TestJournal {
  sequence = 0;
  readonly #live = new Map<string, { type: string; text: string; sequence: number }>();

  /** Delivers records of one entry each, or of one entry together. */
  async deliver(
    store: GraphStore,
    records: readonly TestRecord[],
    options: { readonly isOneEntry?: boolean } = {},
  ): Promise<void> {
    if (options.isOneEntry === true) this.sequence += 1;
    const batches = records.map((record) => {
      if (options.isOneEntry !== true) this.sequence += 1;
      return makeBatch(record.type, [this.#change(record)]);
    });
    await store.apply(scope, collection, { batches, checkpoint: this.sequence });
  }

  /** One batch of new records of one type, in one entry. */
  async deliverBulk(store: GraphStore, type: string, texts: readonly string[]): Promise<void> {
    this.sequence += 1;
    const { sequence } = this;
    const records = texts.map((text, index) => ({ id: `${sequence}-${index}`, sequence, text }));
    for (const { id, text } of records) this.#live.set(`${type} ${id}`, { type, text, sequence });
    await store.apply(scope, collection, {
      batches: [makeBatch(type, records)],
      checkpoint: sequence,
    });
  }

  #change({ type, id, fields }: TestRecord): Parameters<typeof makeBatch>[1][number] {
    const key = `${type} ${id}`;
    const before = this.#live.get(key);
    const { sequence } = this;
    const previous =
      before === undefined ? {} : { previousText: before.text, previousSequence: before.sequence };
    this.#live.delete(key);
    if (fields === undefined) return { id, sequence, ...previous };
    const text = JSON.stringify(fields);
    this.#live.set(key, { type, text, sequence });
    return { id, sequence, text, ...previous };
  }

  /** The rows the graph must hold, ordered by id, computed from live records alone. */
  expected(): readonly RowDigest[] {
    const content = graphContent(collection.placements);
    for (const { type, text, sequence } of this.#live.values()) {
      content.add(type, JSON.parse(text), sequence);
    }
    return [...content.rows()]
      .map(({ id, content: form }) => ({
        id,
        sequence: GRAPH_SEQUENCE,
        hash: hashText(rowHash(id, GRAPH_SEQUENCE, form)),
      }))
      .sort((left, right) => (left.id < right.id ? -1 : 1));
  }

  /** The digest of the expected rows. */
  expectedDigest(): ReturnType<DigestSums["digests"]> {
    const sums = new DigestSums(1_000);
    for (const { sequence, hash } of this.expected()) sums.add(sequence, BigInt(`0x${hash}`));
    return sums.digests();
  }
}

/** Every row the store really has, page by page. */
export async function storedRows(store: GraphStore, limit = 1_000): Promise<RowDigest[]> {
  const rows: RowDigest[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.list(scope, collection, {
      fromSequence: 0,
      toSequence: Number.MAX_SAFE_INTEGER,
      limit,
      ...(cursor === undefined ? {} : { cursor }),
    });
    rows.push(...page.rows);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return rows;
}

/** All answers of a statement, for looking at the graph from outside. */
export async function ask(
  store: GraphStore,
  statement: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<readonly (readonly unknown[])[]> {
  const request = { statement, parameters, rowsMax: 1_000, timeMs: 10_000 };
  return (await store.query(scope, collection, request)).rows;
}
