import { StoreError } from "@custody/stores/errors";
import { checkTenant } from "@custody/contract/ids";
import type {
  IdPosition,
  JournalStore,
  JournalTransaction,
  QuarantineKey,
  QuarantineRow,
  QuarantineVersion,
} from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import {
  appendCommit,
  draftOf,
  emptyTenant,
  isHeld,
  receiptKey,
  relocate,
  tableRows,
  TAKEN,
} from "./tenant-journal.ts";
import type { TenantJournal } from "./tenant-journal.ts";
import { TenantLock } from "./tenant-lock.ts";
import type { LockTime } from "./tenant-lock.ts";

/** What many connections to one journal store share: what is committed, and who may write. */
export class JournalDatabase {
  readonly tenants: Map<string, TenantJournal>;
  readonly #locks = new Map<string, TenantLock>();
  readonly #time: LockTime;
  /** Told whenever something is durable that was not. */
  onDurable: ((tenant: string) => void) | undefined;

  constructor(time: LockTime, tenants: Map<string, TenantJournal> = new Map()) {
    this.#time = time;
    this.tenants = tenants;
  }

  /** A tenant as it is committed; an empty one where nothing was ever written. */
  committed(tenant: string): TenantJournal {
    return this.tenants.get(tenant) ?? emptyTenant();
  }

  /** Makes a draft what is committed. */
  put(tenant: string, draft: TenantJournal): void {
    this.tenants.set(tenant, draft);
    this.onDurable?.(tenant);
  }

  lock(tenant: string): TenantLock {
    const known = this.#locks.get(tenant) ?? new TenantLock(this.#time);
    this.#locks.set(tenant, known);
    return known;
  }
}

/**
 * A connection to a journal in memory. Each change happens at the instant it is asked for, or when the
 * tenant's lock is had; transactions of a connection that is lost are taken back by `loseConnection`.
 */
export class MemoryJournal implements JournalStore {
  readonly engine = "memory";
  readonly #database: JournalDatabase;
  readonly #open = new Set<MemoryTransaction>();
  #isLost = false;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  /** The process is gone: what it had begun is taken back, what it waits for is not given to it. */
  loseConnection(): void {
    this.#isLost = true;
    for (const transaction of this.#open) transaction.end();
    this.#open.clear();
  }

  async head(scope: Scope): ReturnType<JournalStore["head"]> {
    return this.#tenant(scope).head;
  }

  async tenants(): ReturnType<JournalStore["tenants"]> {
    const written = [...this.#database.tenants].filter(([, { head }]) => head !== undefined);
    return written.map(([tenant]) => tenant).sort();
  }

  async begin(scope: Scope): Promise<JournalTransaction> {
    const { tenant } = scope;
    const release = await this.#database.lock(checkTenant(tenant)).take(scope.deadline);
    if (this.#isLost) {
      release();
      throw new StoreError("unavailable", "the connection was lost");
    }
    const transaction = new MemoryTransaction(this.#database, tenant, () => {
      this.#open.delete(transaction);
      release();
    });
    this.#open.add(transaction);
    return transaction;
  }

  async entries(
    scope: Scope,
    { after, type, limit }: Parameters<JournalStore["entries"]>[1],
  ): ReturnType<JournalStore["entries"]> {
    const behind = this.#tenant(scope).entries.slice(after);
    const meant = type === undefined ? behind : behind.filter((one) => type.includes(one.type));
    return meant.slice(0, limit);
  }

  async entry(scope: Scope, sequence: number): ReturnType<JournalStore["entry"]> {
    return this.#tenant(scope).entries[sequence - 1];
  }

  async lastSequence(scope: Scope, types: readonly string[]): Promise<number> {
    const last = this.#tenant(scope).entries.findLast(({ type }) => types.includes(type));
    return last?.sequence ?? 0;
  }

  async lookup(
    scope: Scope,
    type: string,
    ids: readonly string[],
  ): ReturnType<JournalStore["lookup"]> {
    return lookup(this.#tenant(scope), type, ids);
  }

  async lookupBefore(
    scope: Scope,
    type: string,
    keys: Parameters<JournalStore["lookupBefore"]>[2],
  ): ReturnType<JournalStore["lookupBefore"]> {
    const positions = this.#tenant(scope).ids.get(type);
    return keys.map(({ id, sequence }) =>
      positions?.get(id)?.findLast((position) => position.sequence < sequence),
    );
  }

  async count(scope: Scope, type: string): ReturnType<JournalStore["count"]> {
    const versions = [...(this.#tenant(scope).ids.get(type)?.values() ?? [])];
    const live = versions.filter((positions) => positions.at(-1)?.isDeleted === false).length;
    return { live, total: versions.length };
  }

  async inlineLines(scope: Scope, sequence: number): ReturnType<JournalStore["inlineLines"]> {
    return this.#tenant(scope).inline.get(sequence);
  }

  async treeNodes(
    scope: Scope,
    nodes: Parameters<JournalStore["treeNodes"]>[1],
  ): ReturnType<JournalStore["treeNodes"]> {
    const stored = this.#tenant(scope).nodes;
    return nodes.map(({ level, index }) => stored.get(`${level}/${index}`));
  }

  async treeHead(scope: Scope, size?: number): ReturnType<JournalStore["treeHead"]> {
    const { treeHeads } = this.#tenant(scope);
    if (size === undefined) return treeHeads.at(-1)?.bytes;
    return treeHeads.find((head) => head.size === size)?.bytes;
  }

  async treeHeads(
    scope: Scope,
    afterSize: number,
    limit: number,
  ): ReturnType<JournalStore["treeHeads"]> {
    const behind = this.#tenant(scope).treeHeads.filter(({ size }) => size > afterSize);
    return behind.slice(0, limit).map(({ bytes }) => bytes);
  }

  async segment(scope: Scope, segmentId: string): ReturnType<JournalStore["segment"]> {
    return this.#tenant(scope).segments.get(segmentId);
  }

  async segments(
    scope: Scope,
    after: string | undefined,
    limit: number,
  ): ReturnType<JournalStore["segments"]> {
    return [...this.#tenant(scope).segments.values()]
      .filter(({ segmentId }) => after === undefined || segmentId > after)
      .sort((left, right) => (left.segmentId < right.segmentId ? -1 : 1))
      .slice(0, limit);
  }

  relocate(scope: Scope, change: Parameters<JournalStore["relocate"]>[1]): Promise<void> {
    return this.#write(scope, (tenant) => relocate(tenant, change));
  }

  putIntent(scope: Scope, intent: Parameters<JournalStore["putIntent"]>[1]): Promise<void> {
    return this.#write(scope, ({ intents }) => {
      if (intents.get(intent.segmentId)?.expiresAt !== TAKEN)
        intents.set(intent.segmentId, { ...intent });
    });
  }

  renewIntents(
    scope: Scope,
    segmentIds: readonly string[],
    expiresAt: number,
  ): ReturnType<JournalStore["renewIntents"]> {
    return this.#write(scope, ({ intents }) => {
      if (!segmentIds.every((segmentId) => isHeld(intents, segmentId))) return false;
      for (const segmentId of segmentIds) {
        const intent = intents.get(segmentId);
        if (intent !== undefined) intents.set(segmentId, { ...intent, expiresAt });
      }
      return true;
    });
  }

  takeExpiredIntents(
    scope: Scope,
    now: number,
    limit: number,
  ): ReturnType<JournalStore["takeExpiredIntents"]> {
    return this.#write(scope, ({ intents }) => {
      const taken = [...intents.values()]
        .filter(({ expiresAt }) => expiresAt < now)
        .sort((left, right) => left.expiresAt - right.expiresAt)
        .slice(0, limit);
      for (const intent of taken) intents.set(intent.segmentId, { ...intent, expiresAt: TAKEN });
      return taken.map(({ segmentId, blobKey }) => ({ segmentId, blobKey }));
    });
  }

  takeIntents(scope: Scope, segmentIds: readonly string[]): Promise<void> {
    return this.#write(scope, ({ intents }) => {
      for (const segmentId of segmentIds) {
        const intent = intents.get(segmentId);
        if (intent !== undefined) intents.set(segmentId, { ...intent, expiresAt: TAKEN });
      }
    });
  }

  dropIntents(scope: Scope, segmentIds: readonly string[]): Promise<void> {
    return this.#write(scope, ({ intents }) => {
      for (const segmentId of segmentIds) intents.delete(segmentId);
    });
  }

  async receipt(
    scope: Scope,
    kind: "import" | "idempotency",
    key: string,
  ): ReturnType<JournalStore["receipt"]> {
    return this.#tenant(scope).receipts.get(receiptKey(kind, key));
  }

  async state(scope: Scope, name: string): ReturnType<JournalStore["state"]> {
    return this.#tenant(scope).state.get(name);
  }

  putState(scope: Scope, name: string, value: string | undefined): Promise<void> {
    return this.#write(scope, ({ state }) => {
      if (value === undefined) state.delete(name);
      else state.set(name, value);
    });
  }

  async listState(scope: Scope, prefix: string): ReturnType<JournalStore["listState"]> {
    return [...this.#tenant(scope).state]
      .filter(([name]) => name.startsWith(prefix))
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, value]) => ({ name, value }));
  }

  putQuarantine(scope: Scope, rows: readonly QuarantineRow[]): Promise<void> {
    return this.#write(scope, ({ quarantine }) => {
      for (const row of rows) {
        const { sequence = 0, passedBy = 0 } = quarantine.get(quarantineKey(row)) ?? {};
        if (Math.max(sequence, passedBy) <= row.sequence)
          quarantine.set(quarantineKey(row), { ...row });
      }
    });
  }

  async quarantine(
    scope: Scope,
    { role, collection, withPassed, limit, after }: Parameters<JournalStore["quarantine"]>[1],
  ): ReturnType<JournalStore["quarantine"]> {
    const from = after === undefined ? "" : quarantineKey(after);
    return [...this.#tenant(scope).quarantine]
      .filter(([key]) => key > from)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([, row]) => row)
      .filter((row) => withPassed === true || row.passedBy === undefined)
      .filter((row) => role === undefined || row.role === role)
      .filter((row) => collection === undefined || row.collection === collection)
      .slice(0, limit);
  }

  passQuarantine(
    scope: Scope,
    rows: readonly (QuarantineVersion & { readonly passedBy: number })[],
  ): Promise<void> {
    return this.#write(scope, ({ quarantine }) => {
      for (const { passedBy, ...row } of rows) {
        const noted = quarantine.get(quarantineKey(row));
        if (noted !== undefined && noted.sequence <= row.sequence)
          quarantine.set(quarantineKey(row), { ...noted, passedBy });
      }
    });
  }

  dropQuarantine(scope: Scope, rows: readonly QuarantineVersion[]): Promise<void> {
    return this.#write(scope, ({ quarantine }) => {
      for (const row of rows) {
        const noted = quarantine.get(quarantineKey(row))?.sequence ?? 0;
        if (noted <= row.sequence) quarantine.delete(quarantineKey(row));
      }
    });
  }

  async tableRows(
    scope: Scope,
    table: string,
    query: Parameters<JournalStore["tableRows"]>[2],
  ): ReturnType<JournalStore["tableRows"]> {
    return tableRows(this.#tenant(scope), table, query);
  }

  async bytes(): Promise<number> {
    let bytes = 0;
    for (const { entries } of this.#database.tenants.values())
      for (const entry of entries) bytes += entry.bytes.byteLength;
    return bytes;
  }

  async check(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    this.loseConnection();
  }

  #tenant({ tenant }: Scope): TenantJournal {
    return this.#database.committed(checkTenant(tenant));
  }

  /** A change in a transaction of its own, under the tenant's lock like any other. */
  async #write<Answer>(
    { tenant, deadline }: Scope,
    change: (tenant: TenantJournal) => Answer,
  ): Promise<Answer> {
    const release = await this.#database.lock(checkTenant(tenant)).take(deadline);
    try {
      // A change checks first and then writes, all in one go: nobody can see half of it.
      const committed = this.#database.committed(tenant);
      const answer = change(committed);
      this.#database.put(tenant, committed);
      return answer;
    } finally {
      release();
    }
  }
}

/** A transaction of {@link MemoryJournal}; it holds the tenant's lock until it ends. */
export class MemoryTransaction implements JournalTransaction {
  readonly head: JournalTransaction["head"];
  readonly #database: JournalDatabase;
  readonly #tenant: string;
  readonly #draft: TenantJournal;
  readonly #release: () => void;
  #isOpen = true;
  #isLost = false;

  constructor(database: JournalDatabase, tenant: string, release: () => void) {
    this.#database = database;
    this.#tenant = tenant;
    this.#draft = draftOf(database.committed(tenant));
    this.#release = release;
    this.head = this.#draft.head;
  }

  async lookup(type: string, ids: readonly string[]): ReturnType<JournalTransaction["lookup"]> {
    return lookup(this.#require(), type, ids);
  }

  async exists(
    tenant: string,
    type: string,
    ids: readonly string[],
  ): ReturnType<JournalTransaction["exists"]> {
    const own = this.#require();
    const asked = tenant === this.#tenant ? own : this.#database.committed(tenant);
    return lookup(asked, type, ids).map((position) => position?.isDeleted === false);
  }

  async receipt(
    kind: "import" | "idempotency",
    key: string,
  ): ReturnType<JournalTransaction["receipt"]> {
    return this.#require().receipts.get(receiptKey(kind, key));
  }

  async append(commit: Parameters<JournalTransaction["append"]>[0]): Promise<void> {
    appendCommit(this.#require(), commit);
  }

  async commit(): Promise<void> {
    const draft = this.#require();
    this.#database.put(this.#tenant, draft);
    this.#close();
  }

  async rollback(): Promise<void> {
    this.#require();
    this.#close();
  }

  /** The connection broke: what was not committed is as if it had never been. */
  end(): void {
    if (this.#isOpen) this.#isLost = true;
    this.#close();
  }

  #close(): void {
    this.#isOpen = false;
    this.#release();
  }

  #require(): TenantJournal {
    if (this.#isOpen) return this.#draft;
    if (this.#isLost) throw new StoreError("unavailable", "the connection was lost");
    throw new StoreError("refused", "the transaction has ended");
  }
}

function lookup(
  { ids }: TenantJournal,
  type: string,
  asked: readonly string[],
): readonly (IdPosition | undefined)[] {
  const positions = ids.get(type);
  return asked.map((id) => positions?.get(id)?.at(-1));
}

function quarantineKey({ role, collection, type, id }: QuarantineKey): string {
  return [role, collection, type, id].join("\0");
}
