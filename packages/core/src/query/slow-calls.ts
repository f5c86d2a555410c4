import { parseJson, stringifyJson } from "@custody/contract/json";
import type { StoreRole } from "@custody/contract/placement";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { ProjectedRole, ProjectedStoresByRole, Stores } from "../stores.ts";
import { shapeOf } from "./question-shape.ts";

/** A call of a store that took long. */
export interface SlowCall {
  /** Epoch milliseconds at which it ended. */
  readonly at: number;
  readonly role: StoreRole;
  readonly engine: string;
  readonly operation: string;
  /** The projection that was asked, where one was. */
  readonly collection?: string;
  readonly tookMs: number;
  /** What was asked, without the values: those may be personal. */
  readonly shape: string;
  /** Set when the call failed: the error's code. */
  readonly failed?: string;
}

export interface SlowCallsParts {
  readonly journal: () => Promise<JournalStore>;
  readonly clock: () => number;
  /** From how many milliseconds on a call is slow; Infinity records none. */
  readonly slowMs: number;
}

// Kept for each tenant: the newest, in a ring.
const KEPT_MAX = 200;
const STATE = "slow-call/";
const SHAPE_LENGTH_MAX = 1_000;

/** The calls by which stores are read. */
const READS: ReadonlySet<string> = new Set([
  "find",
  "count",
  "search",
  "highlight",
  "query",
  "aggregate",
  "similar",
  "sql",
  "select",
  "neighbours",
  "paths",
  "get",
  "read",
  "list",
  "stat",
  "poll",
  "claim",
  "depth",
]);

/**
 * SlowCalls: remembers the reads of every store that took long, so that the operator sees which
 * questions cost what, without any of their values.
 */
export class SlowCalls {
  readonly #parts: SlowCallsParts;
  readonly #next = new Map<string, number>();

  constructor(parts: SlowCallsParts) {
    this.#parts = parts;
  }

  /** The stores, watched. */
  watch(stores: Stores): Stores {
    const watched = async <Store extends object>(
      role: StoreRole,
      opening: Promise<Store>,
    ): Promise<Store> => this.#watchStore(role, stores.engine(role).engine, await opening);
    return {
      ...stores,
      blob: () => watched("blob", stores.blob()),
      cache: () => watched("cache", stores.cache()),
      queue: () => watched("queue", stores.queue()),
      stream: (source) => watched("stream", stores.stream(source)),
      projected: <Role extends ProjectedRole>(role: Role): Promise<ProjectedStoresByRole[Role]> =>
        watched(role, stores.projected(role)),
    };
  }

  /** The slow calls of a tenant, newest first. */
  async list(scope: Scope): Promise<readonly SlowCall[]> {
    const journal = await this.#parts.journal();
    const rows = await journal.listState(scope, STATE);
    return rows
      .map(({ value }) => parseJson(value) as unknown as SlowCall)
      .sort((left, right) => right.at - left.at);
  }

  readonly #watchedStores = new WeakMap<object, object>();

  #watchStore<Store extends object>(role: StoreRole, engine: string, store: Store): Store {
    const known = this.#watchedStores.get(store);
    if (known !== undefined) return known as Store;
    const watched = new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        if (typeof name !== "string" || !READS.has(name)) return member.bind(target) as unknown;
        return (scope: Scope, ...args: readonly unknown[]) => {
          const call = { role, engine, operation: name, ...describeCall(args) };
          return this.#timed(
            scope,
            call,
            () => Reflect.apply(member, target, [scope, ...args]) as Promise<unknown>,
          );
        };
      },
    });
    this.#watchedStores.set(store, watched);
    return watched;
  }

  async #timed(
    scope: Scope,
    call: Omit<SlowCall, "at" | "tookMs">,
    work: () => Promise<unknown>,
  ): Promise<unknown> {
    const { clock, slowMs } = this.#parts;
    const startedAt = clock();
    let failed: string | undefined;
    try {
      return await work();
    } catch (cause) {
      failed = cause instanceof Error && "code" in cause ? String(cause.code) : "failed";
      throw cause;
    } finally {
      const at = clock();
      const tookMs = at - startedAt;
      if (tookMs >= slowMs) {
        const outcome = failed === undefined ? {} : { failed };
        await this.#record(scope, { at, tookMs, ...call, ...outcome });
      }
    }
  }

  async #record(scope: Scope, call: SlowCall): Promise<void> {
    try {
      const journal = await this.#parts.journal();
      const slot = await this.#slot(journal, scope);
      const name = `${STATE}${String(slot).padStart(3, "0")}`;
      await journal.putState(scope, name, stringifyJson(call));
    } catch {
      // What is recorded helps people; a read that was answered is not failed for it.
    }
  }

  /** The place of the oldest call kept, or a free one. */
  async #slot(journal: JournalStore, scope: Scope): Promise<number> {
    const known = this.#next.get(scope.tenant) ?? (await this.#firstSlot(journal, scope));
    this.#next.set(scope.tenant, (known + 1) % KEPT_MAX);
    return known;
  }

  async #firstSlot(journal: JournalStore, scope: Scope): Promise<number> {
    const rows = await journal.listState(scope, STATE);
    if (rows.length < KEPT_MAX) return rows.length;
    const ages = rows.map(({ value }) => (parseJson(value) as unknown as SlowCall).at);
    return ages.indexOf(Math.min(...ages));
  }
}

function describeCall(args: readonly unknown[]): { collection?: string; shape: string } {
  const [first, ...rest] = args;
  const isCollection = typeof first === "object" && first !== null && "placements" in first;
  const asked = isCollection ? rest : args;
  const shape = stringifyJson(asked.map(shapeOf)).slice(0, SHAPE_LENGTH_MAX);
  const name = isCollection && "name" in first ? String(first.name) : undefined;
  return name === undefined ? { shape } : { collection: name, shape };
}
