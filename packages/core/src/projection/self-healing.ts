import { StoreError } from "@custody/stores/errors";
import type { ProjectedStore } from "@custody/stores/projected-store";
import type { Scope } from "@custody/stores/scope";

import type { AuditLog } from "../operations/audit.ts";
import type { Runtime } from "../runtime.ts";
import type { ProjectedRole, ProjectedStoresByRole, Stores } from "../stores.ts";
import { tenantScope } from "./owner-scope.ts";
import type { ProjectionRunner } from "./projection-runner.ts";

export interface SelfHealingParts {
  readonly runtime: Runtime;
  readonly onNotice?: (text: string) => void;
}

/** Who goes on after a store's damaged files were set aside. */
export interface SelfHealingFollowers {
  readonly runner: Pick<ProjectionRunner, "beginOwnedAnew" | "restart">;
  readonly audit: Pick<AuditLog, "write">;
}

// A disk that damages what was just built anew, or a fault of ours that takes every file for damaged,
// must not go on for ever.
const HEALED_MAX = 3;
const HEALED_WITHIN_MS = 3_600_000;

/** Calls that are right for an empty store as well, and are made again by themselves. */
const REPEATABLE: ReadonlySet<string> = new Set([
  "prepare",
  "checkpoint",
  "discard",
  "statistics",
  "settle",
]);

type Method = (...args: readonly unknown[]) => Promise<unknown>;

/** A store of a tenant that calls have met damage in. */
interface Damage {
  readonly role: ProjectedRole;
  readonly store: ProjectedStore<unknown>;
  readonly scope: Scope;
  readonly cause: StoreError;
}

/**
 * SelfHealing: takes the damaged files of embedded projected stores out of the way, so that they are
 * filled again from the journal, while everything else goes on.
 *
 * Nothing of the journal or of the blobs is ever touched: they are the truth. A file is renamed, never
 * emptied; people are told, and the tenant's audit log says so.
 */
export class SelfHealing {
  readonly #parts: SelfHealingParts;
  #followers: SelfHealingFollowers | undefined;
  /** The last work on each store of a tenant: one at a time. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** When files were set aside, by role and tenant. */
  readonly #healedAt = new Map<string, readonly number[]>();
  /** Counts what was set aside, by role and tenant, so that a late failure is known for one. */
  readonly #healed = new Map<string, number>();
  readonly #watched = new WeakMap<object, object>();

  constructor(parts: SelfHealingParts) {
    this.#parts = parts;
  }

  /** Says who goes on afterwards; before, damage is only reported. */
  begin(followers: SelfHealingFollowers): void {
    this.#followers = followers;
  }

  /** The stores, whose damage is looked after. A call that met it fails with `unavailable`. */
  watch(stores: Stores): Stores {
    return {
      ...stores,
      projected: async <Role extends ProjectedRole>(role: Role) => {
        const store = await stores.projected(role);
        // A server looks after its own files.
        const isEmbedded = stores.engine(role).schemes.length === 0;
        return isEmbedded ? (this.#watch(role, store) as ProjectedStoresByRole[Role]) : store;
      },
    };
  }

  #watch(role: ProjectedRole, store: ProjectedStore<unknown>): object {
    const known = this.#watched.get(store);
    if (known !== undefined) return known;
    const watched = new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        if (typeof name !== "string") return member.bind(target) as unknown;
        const call: Method = async (...args) =>
          (await Reflect.apply(member, target, args)) as unknown;
        return (scope: Scope, ...args: readonly unknown[]) =>
          this.#looking(name, { role, store, scope }, () => call(scope, ...args));
      },
    });
    this.#watched.set(store, watched);
    return watched;
  }

  async #looking(
    name: string,
    at: Omit<Damage, "cause">,
    work: () => Promise<unknown>,
  ): Promise<unknown> {
    const before = this.#healed.get(keyOf(at)) ?? 0;
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== "corrupt") throw cause;
      await this.#inTurn({ ...at, cause });
      if ((this.#healed.get(keyOf(at)) ?? 0) === before) throw cause;
      if (REPEATABLE.has(name)) return await work();
      throw new StoreError(
        "unavailable",
        `the ${at.role} store of ${at.scope.tenant} was damaged and is being filled again from the journal`,
        { cause },
      );
    }
  }

  async #inTurn(damage: Damage): Promise<void> {
    const key = keyOf(damage);
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(() => this.#heal(damage));
    this.#turns.set(
      key,
      turn.catch(() => undefined),
    );
    await turn;
  }

  async #heal({ role, store, scope: asked, cause }: Damage): Promise<void> {
    const followers = this.#followers;
    if (followers === undefined || store.hasDamage === undefined) return;
    const scope: Scope = {
      ...tenantScope(asked),
      actor: "service:projector",
      deadline: Number.POSITIVE_INFINITY,
    };
    if (!(await store.hasDamage(scope))) return;
    const key = keyOf({ role, scope });
    const now = this.#parts.runtime.clock();
    const recent = (this.#healedAt.get(key) ?? []).filter((at) => now - at < HEALED_WITHIN_MS);
    if (recent.length >= HEALED_MAX) return;
    // First, so that a crash in between cannot leave owners with a part of their records.
    await followers.runner.beginOwnedAnew(scope, role);
    const names = (await store.setAside?.(scope, now)) ?? [];
    this.#healed.set(key, (this.#healed.get(key) ?? 0) + 1);
    this.#healedAt.set(key, [...recent, now]);
    this.#parts.onNotice?.(
      `the ${role} store of ${scope.tenant} was damaged (${cause.message}); set aside as ${names.join(", ")} and filled again from the journal`,
    );
    const action = { action: "set-aside", resource: role, metadata: { files: [...names] } };
    followers.runner.restart(scope, role, () => followers.audit.write(scope, action, "done"));
  }
}

function keyOf({ role, scope }: Pick<Damage, "role" | "scope">): string {
  return `${role} ${scope.tenant}`;
}
