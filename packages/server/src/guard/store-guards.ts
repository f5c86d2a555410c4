import { STORE_ROLES } from "@custody/contract/placement";
import type { BreakerReport } from "@custody/core/stores";

import { CALL_RULES, OPENING } from "./call-rules.ts";
import { GUARD_SETTINGS, StoreGuard } from "./store-guard.ts";
import type { GuardSettings, StoreGuardParts } from "./store-guard.ts";

export interface StoreGuardsOptions extends Pick<StoreGuardParts, "clock" | "random" | "onNotice"> {
  /** Default {@link GUARD_SETTINGS}. */
  readonly settings?: GuardSettings;
}

/** A store that is a server, as it is opened. */
export interface GuardedStore {
  readonly name: BreakerReport["store"];
  readonly product: string;
}

/**
 * StoreGuards: the guards of the stores that are servers, one each; the journal's is apart from that of
 * the relational role on the same server, as a table that cannot be written must not keep commits out.
 *
 * Embedded engines have none. Their failures are those of one tenant's file, which must not keep
 * another tenant's from being asked, they are told at once, and a process that hangs is ended by its
 * driver.
 */
export class StoreGuards {
  readonly #options: StoreGuardsOptions;
  readonly #guards = new Map<BreakerReport["store"], StoreGuard>();

  constructor(options: StoreGuardsOptions) {
    this.#options = options;
  }

  /** Opens a store and puts its methods behind its guard. Opening it again keeps the guard. */
  async open<Store extends object>(
    { name, product }: GuardedStore,
    open: () => Promise<Store>,
  ): Promise<Store> {
    const { settings = GUARD_SETTINGS, ...parts } = this.#options;
    const guard =
      this.#guards.get(name) ?? new StoreGuard({ ...parts, store: name, product, settings });
    this.#guards.set(name, guard);
    const opening = { name: "open", rule: OPENING, deadline: Infinity, work: open };
    return guardStore(await guard.call(opening), guard);
  }

  /** The stores that are not asked now. */
  reports(): readonly BreakerReport[] {
    return (["journal", ...STORE_ROLES] as const)
      .map((name) => this.#guards.get(name)?.report)
      .filter((report) => report !== undefined);
  }
}

/** A store whose methods go through a guard. */
function guardStore<Store extends object>(store: Store, guard: StoreGuard): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      // A transaction waits for other writers, which says nothing about the store.
      if (name === "begin") {
        return async (...args: readonly unknown[]) => {
          guard.check();
          return (await Reflect.apply(member, target, args)) as unknown;
        };
      }
      const rule = typeof name === "string" ? CALL_RULES.get(name) : undefined;
      if (rule === undefined) return member.bind(target) as unknown;
      return (...args: readonly unknown[]) =>
        guard.call({
          name: String(name),
          rule,
          deadline: deadlineOf(args[0]),
          work: () => Reflect.apply(member, target, args) as Promise<unknown>,
        });
    },
  });
}

/** Until when the caller waits, by the scope that is the first argument of nearly every method. */
function deadlineOf(scope: unknown): number {
  if (typeof scope !== "object" || scope === null || !("deadline" in scope)) return Infinity;
  return typeof scope.deadline === "number" ? scope.deadline : Infinity;
}
