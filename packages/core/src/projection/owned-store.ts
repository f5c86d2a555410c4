import { addHash, hashText } from "@custody/stores/content-form";
import { StoreError } from "@custody/stores/errors";
import type {
  BucketDigest,
  Collection,
  CollectionStatistics,
  Page,
  ProjectedStore,
  RowDigest,
  StoreStatistics,
} from "@custody/stores/projected-store";
import type { Delivery, RecordBatch } from "@custody/stores/record-batch";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { ProjectedRole } from "../stores.ts";
import type { Turns } from "./turns.ts";
import { bindHash, bindRow, ownerFactor } from "./owner-digest.ts";
import type { OwnedCollection, OwnerList } from "./owner-list.ts";
import { compileOwner, tenantScope } from "./owner-scope.ts";
import { onlyOfOwner, splitByOwner } from "./split-delivery.ts";
import type { OwnerOf } from "./split-delivery.ts";

export interface OwnedStoreParts {
  /** The engine, which keeps a file for a tenant and one for each owner. */
  readonly store: ProjectedStore<unknown>;
  readonly role: ProjectedRole;
  /** The path of a record's owner. */
  readonly owner: string;
  /** Whether rows are shared by records, so that the same row id can exist for every owner. */
  readonly isShared: boolean;
  readonly owners: OwnerList;
  readonly journal: JournalStore;
  /** Lets one owner's file be written at a time by each engine: each that is open takes memory. */
  readonly turns: Turns;
}

type AnyCollection = Collection<unknown>;
type Range = Parameters<ProjectedStore<unknown>["list"]>[2];

/** A file that a collection is kept in: the tenant's own, which holds the checkpoint, or an owner's. */
interface Place {
  readonly scope: Scope;
  readonly owner?: string;
  readonly factor: bigint;
}

/**
 * OwnedStore: a projection of a type of `scope: owner`, kept in a file for each owner.
 *
 * The tenant's own file has no rows and the checkpoint that counts; it moves last. Each owner's file has
 * a checkpoint of its own, at which a repeated delivery stops. With `scope.owner` reading methods tell of
 * that owner alone, without it of all. The engine is not closed with this store.
 */
export class OwnedStore implements ProjectedStore<unknown> {
  readonly role: ProjectedRole;
  readonly engine: string;
  readonly #parts: OwnedStoreParts;
  readonly #store: ProjectedStore<unknown>;
  readonly #ownerOf: OwnerOf;

  constructor(parts: OwnedStoreParts) {
    this.#parts = parts;
    this.#store = parts.store;
    this.role = parts.role;
    this.engine = parts.store.engine;
    this.#ownerOf = compileOwner(parts.owner);
  }

  async prepare(scope: Scope, collection: AnyCollection): Promise<void> {
    await this.#store.prepare(tenantScope(scope), collection);
  }

  /** @throws StoreError `conflict` when work that was cut off must be repeated first: see `underway`. */
  async apply(scope: Scope, collection: AnyCollection, delivery: Delivery): Promise<void> {
    const tenant = tenantScope(scope);
    const stands = await this.#store.checkpoint(tenant, collection);
    if (delivery.checkpoint <= stands) return;
    if (delivery.after !== undefined && delivery.after !== stands)
      throw readElsewhere(collection, delivery.after, stands);
    const split = splitByOwner(delivery.batches, this.#ownerOf);
    if (split.size > 0 && delivery.after !== undefined) {
      await this.#begin(tenant, collection, { stands, checkpoint: delivery.checkpoint });
    }
    for (const [owner, batches] of split) {
      const own = { ...tenant, owner };
      // Owner by owner, so that projections that are written side by side use a file while it is open.
      await this.#parts.turns.run(this.engine, async () => {
        await this.#store.prepare(own, collection);
        await this.#parts.owners.add(tenant, this.#owned(collection), owner);
        await this.#store.apply(own, collection, { batches, checkpoint: delivery.checkpoint });
      });
    }
    await this.#store.apply(tenant, collection, { ...delivery, batches: [] });
  }

  /**
   * How far owners' files may have been written beyond the checkpoint, by a delivery that was cut off.
   * Reading on must end there once: a delivery that went further would not tell what lay in between, and
   * a record that has moved on since would stay with an owner who had it only then.
   */
  async underway(scope: Scope, collection: AnyCollection): Promise<number> {
    const value = await this.#parts.journal.state(scope, underwayName(this.#owned(collection)));
    return value === undefined ? 0 : Number(value);
  }

  async repair(scope: Scope, collection: AnyCollection, batch: RecordBatch): Promise<void> {
    const tenant = tenantScope(scope);
    // First where no record may be, as an engine that cannot repair says so before anything is done.
    await this.#store.repair(tenant, collection, onlyOfOwner(batch, undefined, this.#ownerOf));
    for (const owner of splitByOwner([batch], this.#ownerOf).keys()) {
      await this.#store.prepare({ ...tenant, owner }, collection);
      await this.#parts.owners.add(tenant, this.#owned(collection), owner);
    }
    for (const owner of await this.#parts.owners.names(tenant, this.#owned(collection))) {
      const own = { ...tenant, owner };
      await this.#store.prepare(own, collection);
      await this.#store.repair(own, collection, onlyOfOwner(batch, owner, this.#ownerOf));
    }
  }

  async checkpoint(scope: Scope, collection: AnyCollection): Promise<number> {
    return await this.#store.checkpoint(tenantScope(scope), collection);
  }

  async discard(scope: Scope, collection: AnyCollection): Promise<void> {
    const tenant = tenantScope(scope);
    const owned = this.#owned(collection);
    for (const owner of await this.#parts.owners.names(tenant, owned)) {
      await this.#store.discard({ ...tenant, owner }, collection);
    }
    await this.#store.discard(tenant, collection);
    await this.#parts.owners.drop(tenant, owned);
    await this.#parts.journal.putState(tenant, underwayName(owned), undefined);
  }

  /** Digests of all files together; a row counts only in the file of the owner it is bound to. */
  async digest(
    scope: Scope,
    collection: AnyCollection,
    bucketSize: number,
  ): Promise<readonly BucketDigest[]> {
    const sums = new Map<number, { count: number; sum: bigint }>();
    for (const place of await this.#places(scope, collection)) {
      await this.#store.prepare(place.scope, collection);
      const digests = await this.#store.digest(place.scope, collection, bucketSize);
      for (const { bucket, count, sum } of digests) {
        const known = sums.get(bucket) ?? { count: 0, sum: 0n };
        const bound = BigInt(`0x${bindHash(place.factor, sum)}`);
        sums.set(bucket, { count: known.count + count, sum: addHash(known.sum, bound) });
      }
    }
    return [...sums]
      .sort(([left], [right]) => left - right)
      .map(([bucket, { count, sum }]) => ({ bucket, count, sum: hashText(sum) }));
  }

  /** The rows file by file, and in each by sequence then id. */
  async list(scope: Scope, collection: AnyCollection, range: Range): Promise<Page<RowDigest>> {
    const places = await this.#places(scope, collection);
    const { cursor: given, ...rest } = range;
    const [number, inner] = parseCursor(given);
    const place = places[number];
    if (place === undefined) return { rows: [] };
    await this.#store.prepare(place.scope, collection);
    const page = await this.#store.list(place.scope, collection, {
      ...rest,
      ...(inner === undefined ? {} : { cursor: inner }),
    });
    const { isShared } = this.#parts;
    const rows =
      place.owner === undefined
        ? page.rows
        : page.rows.map((row) => bindRow(place.factor, row, isShared));
    if (page.cursor !== undefined) return { rows, cursor: `${number}:${page.cursor}` };
    return number + 1 < places.length ? { rows, cursor: `${number + 1}:` } : { rows };
  }

  /** Opens the file of every owner of the role. */
  async statistics(scope: Scope): Promise<StoreStatistics> {
    const collections = new Map<string, CollectionStatistics>();
    let bytes = 0;
    for (const at of await this.#scopesOfRole(scope)) {
      const statistics = await this.#store.statistics(at);
      bytes += statistics.bytes;
      for (const { name, generation, records } of statistics.collections) {
        const key = `${generation} ${name}`;
        const sum = (collections.get(key)?.records ?? 0) + records;
        collections.set(key, { name, generation, records: sum });
      }
    }
    return { collections: [...collections.values()], bytes };
  }

  async settle(scope: Scope): Promise<void> {
    for (const at of await this.#scopesOfRole(scope)) await this.#store.settle(at);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }

  /** Notes how far the delivery will reach, so that its repetition after a crash ends at the same entry. */
  async #begin(
    tenant: Scope,
    collection: AnyCollection,
    { stands, checkpoint }: { readonly stands: number; readonly checkpoint: number },
  ): Promise<void> {
    const underway = await this.underway(tenant, collection);
    if (underway > stands && checkpoint > underway) {
      throw new StoreError(
        "conflict",
        `a delivery of ${collection.name} up to ${underway} was cut off: read up to there first`,
      );
    }
    if (underway >= checkpoint) return;
    const name = underwayName(this.#owned(collection));
    await this.#parts.journal.putState(tenant, name, String(checkpoint));
  }

  /** The files of a collection: the named owner's, or the tenant's and every owner's. */
  async #places(scope: Scope, collection: AnyCollection): Promise<readonly Place[]> {
    const tenant = tenantScope(scope);
    const place = (owner: string): Place => ({
      scope: { ...tenant, owner },
      owner,
      factor: ownerFactor(owner),
    });
    const names = await this.#parts.owners.names(tenant, this.#owned(collection));
    if (scope.owner !== undefined) return names.includes(scope.owner) ? [place(scope.owner)] : [];
    return [{ scope: tenant, factor: 1n }, ...names.map(place)];
  }

  async #scopesOfRole(scope: Scope): Promise<readonly Scope[]> {
    if (scope.owner !== undefined) return [scope];
    const names = await this.#parts.owners.inRole(scope, this.role);
    return [scope, ...names.map((owner) => ({ ...scope, owner }))];
  }

  #owned({ name, generation }: AnyCollection): OwnedCollection {
    return { role: this.role, name, generation };
  }
}

/** What `previous` tells is then not where the records lie: another process has written meanwhile. */
function readElsewhere({ name }: AnyCollection, after: number, stands: number): StoreError {
  return new StoreError(
    "conflict",
    `a delivery of ${name} was read after ${after}, and the store stands at ${stands}: read from there`,
  );
}

function underwayName({ role, name, generation }: OwnedCollection): string {
  return `owned-delivery/${role}/${name}/${generation}`;
}

function parseCursor(cursor: string | undefined): readonly [number, string | undefined] {
  if (cursor === undefined) return [0, undefined];
  const end = cursor.indexOf(":");
  const inner = cursor.slice(end + 1);
  return [Number(cursor.slice(0, end)), inner === "" ? undefined : inner];
}
