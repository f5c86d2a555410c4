import { parseFilter } from "@custody/contract/filter";
import { stringifyJson } from "@custody/contract/json";
import type { DocumentPlacement } from "@custody/contract/placement";

import type { Collection } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import type { Delivery } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import { scopeFor } from "../testing/scope.ts";
import type { DocumentQuery, DocumentStore } from "./port.ts";

/** What an engine's test hands to the suite. */
export interface DocumentFixture extends AsyncDisposable {
  /** Takes owners: it has a salt. */
  readonly store: DocumentStore;
  /** Closes the store, if it is open, and opens it again on the same data. */
  reopen(): Promise<DocumentStore>;
  /** Set for a server that stands in for MongoDB and orders texts otherwise than MongoDB does. */
  readonly textOrder?: "utf-16";
  /**
   * How many rows are changed at once where it takes many (default 2,000); fewer for a server that
   * reads the whole collection for each change.
   */
  readonly changedRows?: number;
  /** A JavaScript expression that a child process awaits to get a store on the same data. */
  readonly childStore: string;
  /** Changes made behind the store's back, in tenant `tenant-a`, to the given collection. */
  readonly tamper?: {
    alter(collection: DocumentCollection, id: string, text: string): Promise<void>;
    remove(collection: DocumentCollection, id: string): Promise<void>;
    add(collection: DocumentCollection, id: string, sequence: number, text: string): Promise<void>;
  };
  /** Faults the engine can be put into; each is called after the store has data of `tenant-a`. */
  readonly faults?: {
    /** Damages the stored data. */
    readonly corrupt?: () => Promise<void>;
    /** Reopens the store with room for some megabytes more. */
    readonly full?: () => Promise<DocumentStore>;
    readonly readOnly?: (work: () => Promise<void>) => Promise<void>;
    readonly lock?: (work: () => Promise<void>) => Promise<void>;
  };
}

/** A collection of documents, as tests name it. */
export type DocumentCollection = Collection<DocumentPlacement>;

/** The tenant that most tests use. */
export const TENANT_A: Scope = scopeFor("tenant-a");

/** A collection of type `lab/sample` with indexes of every kind. */
export const SAMPLES: DocumentCollection = {
  name: "lab/sample",
  generation: 1,
  placements: {
    "lab/sample": {
      indexes: [
        ["kind"],
        ["size"],
        ["labels.owner"],
        ["kind", "size"],
        ["tags[]"],
        ["parts[].name"],
      ],
    },
  },
};

/** The same type in a collection without any index. */
export const PLAIN: DocumentCollection = {
  name: "lab/sample",
  generation: 2,
  placements: { "lab/sample": {} },
};

/** A record for a delivery; no `fields` is a deletion. */
export interface TestRecord {
  readonly id: string;
  readonly sequence: number;
  readonly fields?: unknown;
}

/** A delivery of one batch, whose checkpoint is its highest sequence. */
export function deliver(...records: readonly TestRecord[]): Delivery {
  const batch = makeBatch(
    "lab/sample",
    records.map(({ id, sequence, fields }) =>
      fields === undefined ? { id, sequence } : { id, sequence, text: stringifyJson(fields) },
    ),
  );
  return { batches: [batch], checkpoint: Math.max(...records.map(({ sequence }) => sequence)) };
}

/** Ids that meet a filter, in the order answered. */
export async function idsOf(
  store: DocumentStore,
  collection: DocumentCollection,
  filter: unknown,
  options: Partial<Omit<DocumentQuery, "filter">> = {},
): Promise<readonly string[]> {
  const query = { filter: parseFilter(filter), limit: 100, ...options };
  const { documents } = await store.find(TENANT_A, collection, query);
  return documents.map(({ id }) => id);
}
