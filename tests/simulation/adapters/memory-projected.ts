import { checkTenant } from "@custody/contract/ids";
import { canonicalJson, parseJson } from "@custody/contract/json";
import type { Filter } from "@custody/contract/filter";
import type { ProjectedRole } from "@custody/core/stores";
import { addHash, DigestSums, hashText } from "@custody/stores/content-form";
import { refuseGap } from "@custody/stores/delivery-start";
import { meetsFilter } from "@custody/stores/document/path-values";
import { StoreError } from "@custody/stores/errors";
import type {
  BucketDigest,
  Collection,
  Page,
  ProjectedStore,
  RowDigest,
  StoreStatistics,
} from "@custody/stores/projected-store";
import type { Delivery, RecordBatch } from "@custody/stores/record-batch";
import type { Scope } from "@custody/stores/scope";

import { emptyContent } from "./collection-content.ts";
import type { CollectionContent } from "./collection-content.ts";

/** A prepared collection in one file. */
export interface StoredCollection {
  readonly collection: Collection<unknown>;
  /** The placements as JSON text. */
  readonly mapping: string;
  checkpoint: number;
  content: CollectionContent;
}

/** What a delivery did, for those who check. */
export interface AppliedDelivery {
  readonly scope: Scope;
  readonly collection: Collection<unknown>;
  readonly delivery: Delivery;
  readonly before: number;
  readonly stored: StoredCollection;
}

/** Options of {@link MemoryProjected}. */
export interface MemoryProjectedOptions {
  readonly role: ProjectedRole;
  /** Whether owners may have files of their own; true where a salt was given. */
  readonly hasOwners: boolean;
  /** Records whose text holds this are not acceptable to the engine. */
  readonly poison?: string;
}

/**
 * A store of projected records in memory, of any role: it keeps exactly what content forms need.
 *
 * A call does its work at once and whole; who wants it late, lost or in part says so from outside.
 */
export class MemoryProjected implements ProjectedStore<unknown> {
  readonly role: ProjectedRole;
  readonly engine = "memory";
  readonly limits = { pageMax: 1_000 };
  readonly #options: MemoryProjectedOptions;
  readonly files: Map<string, Map<string, StoredCollection>> = new Map();
  /** How often it came back older than it was. */
  timesOlder = 0;
  /** Told after each delivery that was written. */
  onApplied: ((applied: AppliedDelivery) => void) | undefined;

  constructor(options: MemoryProjectedOptions) {
    this.#options = options;
    this.role = options.role;
  }

  async prepare(scope: Scope, collection: Collection<unknown>): Promise<void> {
    const file = this.#file(scope);
    const mapping = JSON.stringify(collection.placements);
    const known = file.get(keyOf(collection));
    if (known !== undefined && !isSameMapping(known, { mapping, collection }))
      throw new StoreError("refused", `${collection.name} was prepared with another mapping`);
    if (known !== undefined) return;
    const content = emptyContent(this.role, collection);
    file.set(keyOf(collection), { collection, mapping, checkpoint: 0, content });
  }

  async apply(scope: Scope, collection: Collection<unknown>, delivery: Delivery): Promise<void> {
    const stored = this.#accept(scope, collection, delivery);
    const before = stored.checkpoint;
    stored.content.apply(delivery, before);
    stored.checkpoint = Math.max(before, delivery.checkpoint);
    this.onApplied?.({ scope, collection, delivery, before, stored });
  }

  /** What a store that writes in bulk has done when it fails in the midst: some rows, no checkpoint. */
  applyInPart(
    scope: Scope,
    collection: Collection<unknown>,
    delivery: Delivery,
    recordsMax: number,
  ): void {
    const stored = this.#accept(scope, collection, delivery);
    if (!stored.content.isRowPerRecord) return;
    stored.content.apply(delivery, stored.checkpoint, recordsMax);
  }

  async repair(scope: Scope, collection: Collection<unknown>, batch: RecordBatch): Promise<void> {
    const stored = this.#accept(scope, collection, { batches: [], checkpoint: 0 });
    this.#refusePoison(batch, 0);
    stored.content.repair(batch);
  }

  async checkpoint(scope: Scope, collection: Collection<unknown>): Promise<number> {
    return this.#stored(scope, collection)?.checkpoint ?? 0;
  }

  async discard(scope: Scope, collection: Collection<unknown>): Promise<void> {
    this.#file(scope).delete(keyOf(collection));
  }

  async digest(
    scope: Scope,
    collection: Collection<unknown>,
    bucketSize: number,
  ): Promise<readonly BucketDigest[]> {
    const sums = new DigestSums(bucketSize);
    for (const { sequence, hash } of this.#stored(scope, collection)?.content.rows() ?? [])
      sums.add(sequence, BigInt(`0x${hash}`));
    return sums.digests();
  }

  async list(
    scope: Scope,
    collection: Collection<unknown>,
    range: Parameters<ProjectedStore<unknown>["list"]>[2],
  ): Promise<Page<RowDigest>> {
    const { fromSequence, toSequence, limit, cursor } = range;
    if (limit < 1) throw new StoreError("limit", "a page has at least one row");
    const from = cursor === undefined ? 0 : parseCursor(cursor);
    const rows = [...(this.#stored(scope, collection)?.content.rows() ?? [])]
      .filter(({ sequence }) => sequence >= fromSequence && sequence < toSequence)
      .sort((left, right) => left.sequence - right.sequence || (left.id < right.id ? -1 : 1));
    const page = rows.slice(from, from + limit);
    if (from + limit >= rows.length) return { rows: page };
    return { rows: page, cursor: `row ${from + limit}` };
  }

  async statistics(scope: Scope): Promise<StoreStatistics> {
    const collections = [...this.#file(scope).values()].map(({ collection, content }) => {
      const { name, generation } = collection;
      return { name, generation, records: content.rows().length };
    });
    return { collections, bytes: 0 };
  }

  async settle(): Promise<void> {}

  /** Analytics: nothing here has a plain name. */
  async publish(): Promise<void> {}

  /** Document: records that meet a filter, by id. */
  async find(
    scope: Scope,
    collection: Collection<unknown>,
    { filter, limit, cursor }: { filter: Filter; limit: number; cursor?: string },
  ): Promise<{
    readonly documents: readonly { readonly id: string; sequence: number; text: string }[];
    readonly cursor?: string;
    readonly checkpoint: number;
  }> {
    const stored = this.#stored(scope, collection);
    const met = [...(stored?.content.records ?? [])]
      .flatMap(([id, { sequence, text }]) =>
        text !== undefined && meetsFilter(parseJson(text), filter) ? [{ id, sequence, text }] : [],
      )
      .filter(({ id }) => cursor === undefined || id > cursor)
      .sort((left, right) => (left.id < right.id ? -1 : 1));
    const documents = met.slice(0, limit);
    const last = documents.at(-1);
    const isMore = met.length > limit && last !== undefined;
    const checkpoint = stored?.checkpoint ?? 0;
    return { documents, checkpoint, ...(isMore ? { cursor: last.id } : {}) };
  }

  /** Document: how many records meet a filter. */
  async count(scope: Scope, collection: Collection<unknown>, filter: Filter): Promise<number> {
    const query = { filter, limit: Number.MAX_SAFE_INTEGER };
    return (await this.find(scope, collection, query)).documents.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** A copy of everything, that can be put back after a power cut. */
  snapshot(): () => void {
    const copy = [...this.files].map(
      ([name, file]) =>
        [
          name,
          new Map([...file].map(([key, one]) => [key, { ...one, content: one.content.copy() }])),
        ] as const,
    );
    return () => {
      this.timesOlder += 1;
      this.files.clear();
      for (const [name, file] of copy) this.files.set(name, file);
    };
  }

  /** The prepared collection, when nothing stands against the delivery. @throws StoreError `refused`, `conflict`. */
  #accept(scope: Scope, collection: Collection<unknown>, delivery: Delivery): StoredCollection {
    const stored = this.#stored(scope, collection);
    if (stored === undefined)
      throw new StoreError("refused", `${collection.name} was never prepared`);
    for (const batch of delivery.batches) {
      if (!Object.hasOwn(stored.collection.placements, batch.type))
        throw new StoreError("refused", `${collection.name} holds no ${batch.type}`);
      this.#refusePoison(batch, stored.checkpoint);
    }
    refuseGap(collection, delivery, stored.checkpoint);
    return stored;
  }

  #refusePoison({ text, offsets, sequences }: RecordBatch, checkpoint: number): void {
    const { poison } = this.#options;
    if (poison === undefined) return;
    const view = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    for (let at = view.indexOf(poison); at >= 0; at = view.indexOf(poison, at + 1)) {
      const index = offsets.findLastIndex((offset) => offset <= at);
      if ((sequences[index] ?? 0) > checkpoint)
        throw new StoreError("refused", `the engine does not take ${poison}`);
    }
  }

  #stored(scope: Scope, collection: Collection<unknown>): StoredCollection | undefined {
    return this.#file(scope).get(keyOf(collection));
  }

  #file({ tenant, owner }: Scope): Map<string, StoredCollection> {
    if (owner !== undefined && !this.#options.hasOwners)
      throw new StoreError("unsupported", "owners need a salt");
    const name = owner === undefined ? checkTenant(tenant) : `${checkTenant(tenant)}/${owner}`;
    const known = this.files.get(name) ?? new Map<string, StoredCollection>();
    this.files.set(name, known);
    return known;
  }
}

/** Adds up the digests of rows. */
export function sumOfRows(rows: readonly RowDigest[]): string {
  return hashText(rows.reduce((sum, { hash }) => addHash(sum, BigInt(`0x${hash}`)), 0n));
}

/** Whether two mappings are the same; text is compared first, as it nearly always is the same too. */
function isSameMapping(
  left: Pick<StoredCollection, "mapping" | "collection">,
  right: Pick<StoredCollection, "mapping" | "collection">,
): boolean {
  if (left.mapping === right.mapping) return true;
  return canonicalJson(left.collection.placements) === canonicalJson(right.collection.placements);
}

function keyOf({ name, generation }: Collection<unknown>): string {
  return `${name}#${generation}`;
}

function parseCursor(cursor: string): number {
  const found = /^row (\d+)$/.exec(cursor)?.[1];
  if (found === undefined) throw new StoreError("refused", "not a cursor of this list");
  return Number(found);
}
