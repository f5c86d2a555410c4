import type { Delivery, RecordBatch } from "../record-batch.ts";
import type {
  BucketDigest,
  Collection,
  Page,
  ProjectedStore,
  RowDigest,
  StoreStatistics,
} from "../projected-store.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { DuckdbRoomError } from "./duckdb-child.ts";
import { PART_ROWS_MAX } from "./duckdb-columns.ts";
import type { DuckdbPool } from "./duckdb-pool.ts";
import type {
  DuckdbPart,
  DuckdbStoreName,
  DuckdbTable,
  DuckdbTableName,
  DuckdbWrite,
} from "./duckdb-protocol.ts";

/** How a role turns its collections and batches into what the DuckDB process takes. */
export interface DuckdbMapping<Placement> {
  readonly store: DuckdbStoreName;
  /** The table a collection is stored in. @throws StoreError `refused`, `unsupported`. */
  table(collection: Collection<Placement>): DuckdbTable;
  /** Rows that one record can have. */
  rowsPerRecord(collection: Collection<Placement>): number;
  /** Packs the records of a batch with the given indexes. */
  part(
    collection: Collection<Placement>,
    batch: RecordBatch,
    indexes: readonly number[],
  ): DuckdbPart;
}

type Shared<Placement> = Omit<
  ProjectedStore<Placement>,
  "role" | "engine" | typeof Symbol.asyncDispose
>;

/** From where a delivery was read, and how far the journal is read after it; a repair has none. */
type Reach = Pick<Delivery, "after" | "checkpoint">;

// So many parts are on their way at once: enough that the process never waits for the next one, few
// enough that their size stays bounded (about 2,048 rows each).
const PARTS_UNDERWAY_MAX = 3;
// Text of the records of a part: with few long records a part is full before its rows are.
const PART_BYTES_MAX = 8 * 1024 * 1024;
// Rows of a page of `list`: ids and hashes only.
const PAGE_MAX = 10_000;

/** The methods that both DuckDB stores have, over the pool of processes. */
export class DuckdbClient<Placement> implements Shared<Placement> {
  readonly #pool: DuckdbPool;
  readonly #mapping: DuckdbMapping<Placement>;
  readonly hasFingerprints = true;

  constructor(pool: DuckdbPool, mapping: DuckdbMapping<Placement>) {
    this.#pool = pool;
    this.#mapping = mapping;
  }

  /** Calls a method of the store in the scope's process. The answer is what our own process sends. */
  async call<Answer>(scope: Scope, method: string, argument?: unknown): Promise<Answer> {
    const { store } = this.#mapping;
    const timeMs = Number.POSITIVE_INFINITY;
    return (await this.#pool.call(scope, { store, method, argument, timeMs })) as Answer;
  }

  async prepare(scope: Scope, collection: Collection<Placement>): Promise<void> {
    await this.call(scope, "prepare", this.#mapping.table(collection));
  }

  async apply(scope: Scope, collection: Collection<Placement>, delivery: Delivery): Promise<void> {
    await this.#write(scope, collection, delivery.batches, delivery);
  }

  async repair(scope: Scope, collection: Collection<Placement>, batch: RecordBatch): Promise<void> {
    await this.#write(scope, collection, [batch], undefined);
  }

  async checkpoint(scope: Scope, collection: Collection<Placement>): Promise<number> {
    return await this.call(scope, "checkpoint", tableNameOf(collection));
  }

  async discard(scope: Scope, collection: Collection<Placement>): Promise<void> {
    await this.call(scope, "discard", tableNameOf(collection));
  }

  async digest(
    scope: Scope,
    collection: Collection<Placement>,
    bucketSize: number,
  ): Promise<readonly BucketDigest[]> {
    return await this.call(scope, "digest", { table: tableNameOf(collection), bucketSize });
  }

  async fingerprint(
    scope: Scope,
    collection: Collection<Placement>,
    bucketSize: number,
  ): Promise<readonly BucketDigest[]> {
    return await this.call(scope, "fingerprint", { table: tableNameOf(collection), bucketSize });
  }

  async list(
    scope: Scope,
    collection: Collection<Placement>,
    range: {
      readonly fromSequence: number;
      readonly toSequence: number;
      readonly limit: number;
      readonly cursor?: string;
    },
  ): Promise<Page<RowDigest>> {
    if (!Number.isSafeInteger(range.limit) || range.limit < 1 || range.limit > PAGE_MAX) {
      throw new StoreError("limit", `a page is 1 to ${PAGE_MAX} rows, not ${range.limit}`);
    }
    return await this.call(scope, "list", { table: tableNameOf(collection), range });
  }

  async statistics(scope: Scope): Promise<StoreStatistics> {
    return await this.call(scope, "statistics");
  }

  async settle(scope: Scope): Promise<void> {
    await this.call(scope, "settle");
  }

  async hasDamage(scope: Scope): Promise<boolean> {
    return await Promise.resolve(this.#pool.hasDamage(scope, this.#mapping.store));
  }

  async setAside(scope: Scope, atMs: number): Promise<readonly string[]> {
    return await this.#pool.setAside(scope, this.#mapping.store, atMs);
  }

  async #write(
    scope: Scope,
    collection: Collection<Placement>,
    batches: readonly RecordBatch[],
    reach: Reach | undefined,
  ): Promise<void> {
    try {
      await this.#writeOnce(scope, collection, batches, reach);
    } catch (cause) {
      if (!(cause instanceof DuckdbRoomError)) throw cause;
      await this.#writeOnce(scope, collection, batches, reach);
    }
  }

  async #writeOnce(
    scope: Scope,
    collection: Collection<Placement>,
    batches: readonly RecordBatch[],
    reach: Reach | undefined,
  ): Promise<void> {
    const { store } = this.#mapping;
    const session = this.#pool.nextSession();
    const write: DuckdbWrite = {
      table: tableNameOf(collection),
      isAppendOnly: collection.isAppendOnly === true,
      ...(reach === undefined ? {} : { checkpoint: reach.checkpoint }),
      ...(reach?.after === undefined ? {} : { after: reach.after }),
    };
    // The deadline ends the work, and never the taking back of it.
    const patient = { ...scope, deadline: Number.POSITIVE_INFINITY };
    await this.#pool.use(patient, async (call) => {
      const timeMs = Number.POSITIVE_INFINITY;
      const send = async (method: string, argument: object): Promise<unknown> => {
        this.#pool.checkDeadline(scope);
        return await call({ store, method, argument: { session, ...argument }, timeMs });
      };
      try {
        const stored = Number(await send("begin", { write }));
        const after = reach === undefined ? -1 : stored;
        await this.#sendParts(collection, batches, { after, send });
        await send("commit", {});
      } catch (cause) {
        // What ended the write is what the caller is told; a process that is gone has taken it back.
        const argument = { session };
        await call({ store, method: "abort", argument, timeMs }).catch(() => undefined);
        throw cause;
      }
    });
  }

  async #sendParts(
    collection: Collection<Placement>,
    batches: readonly RecordBatch[],
    {
      after,
      send,
    }: {
      readonly after: number;
      readonly send: (method: string, argument: object) => Promise<unknown>;
    },
  ): Promise<void> {
    const underway = new PartsUnderway();
    const latest = batches.length > 1 ? latestSequences(batches) : undefined;
    const rows = this.#mapping.rowsPerRecord(collection);
    for (const batch of batches) {
      checkType(collection, batch);
      for (const indexes of cutIntoParts(batch, wantedIndexes(batch, after, latest), rows)) {
        const part = this.#mapping.part(collection, batch, indexes);
        const sent = batch.isNew === true ? { ...part, isNew: true } : part;
        await underway.add(send("part", { part: sent }));
      }
    }
    await underway.all();
  }
}

/** The name under which a collection is known in the process. */
export function tableNameOf<Placement>({
  name,
  generation,
}: Collection<Placement>): DuckdbTableName {
  return { name, generation };
}

function checkType<Placement>(collection: Collection<Placement>, { type }: RecordBatch): void {
  if (Object.hasOwn(collection.placements, type)) return;
  throw new StoreError("refused", `${collection.name} holds no records of ${type}`);
}

/** The newest version of each record, where batches could hold several. */
function latestSequences(batches: readonly RecordBatch[]): ReadonlyMap<string, number> {
  const latest = new Map<string, number>();
  for (const { ids, sequences } of batches) {
    for (const [index, id] of ids.entries()) {
      const sequence = sequences[index] ?? 0;
      if (sequence > (latest.get(id) ?? -1)) latest.set(id, sequence);
    }
  }
  return latest;
}

function wantedIndexes(
  { ids, sequences }: RecordBatch,
  after: number,
  latest: ReadonlyMap<string, number> | undefined,
): readonly number[] {
  const wanted: number[] = [];
  for (const [index, id] of ids.entries()) {
    const sequence = sequences[index] ?? 0;
    if (sequence > after && sequence >= (latest?.get(id) ?? sequence)) wanted.push(index);
  }
  return wanted;
}

/** Cuts records so that no part has more rows or text than fit in one. */
function* cutIntoParts(
  { offsets }: RecordBatch,
  indexes: readonly number[],
  rowsPerRecord: number,
): Generator<readonly number[]> {
  const recordsMax = Math.max(1, Math.floor(PART_ROWS_MAX / Math.max(1, rowsPerRecord)));
  let part: number[] = [];
  let bytes = 0;
  for (const index of indexes) {
    const length = (offsets[index + 1] ?? 0) - (offsets[index] ?? 0);
    if (part.length === recordsMax || (part.length > 0 && bytes + length > PART_BYTES_MAX)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(index);
    bytes += length;
  }
  if (part.length > 0) yield part;
}

/** Lets a few calls be under way at once. */
class PartsUnderway {
  readonly #calls: Promise<unknown>[] = [];

  async add(call: Promise<unknown>): Promise<void> {
    // A failure is reported by whoever awaits the call, here or in `all`.
    call.catch(() => undefined);
    this.#calls.push(call);
    if (this.#calls.length > PARTS_UNDERWAY_MAX) await this.#calls.shift();
  }

  async all(): Promise<void> {
    await Promise.all(this.#calls);
  }
}
