import type { ProjectedRole, ProjectedStoresByRole, Stores } from "@custody/core/stores";
import type { JournalStore } from "@custody/stores/relational/journal";

/** Where a process is to die: before or after the so-manieth call of a name. */
export interface Death {
  /** `journal.commit`, `blob.put`, `document.apply`. */
  readonly step: string;
  readonly side: "before" | "after";
  /** Counted from 1. */
  readonly call: number;
}

/** The calls that change something, by method; nothing is lost between two others. */
const STEPS: ReadonlySet<string> = new Set(
  "begin append commit rollback relocate putIntent renewIntents takeExpiredIntents takeIntents dropIntents putState putQuarantine dropQuarantine put delete prepare apply repair discard publish settle setAside".split(
    " ",
  ),
);

/** The stores, which count every step that a process makes, and kill it at one of them. */
export class KillingStores {
  /** How often each step was made, by `<store>.<method>`. */
  readonly counts: Map<string, number> = new Map();
  readonly #death: Death | undefined;
  readonly #watched = new WeakMap<object, object>();

  constructor(death: Death | undefined) {
    this.#death = death;
  }

  watch(stores: Stores): Stores {
    return {
      ...stores,
      journal: async () => this.#journal(await stores.journal()),
      blob: async () => this.#watch("blob", await stores.blob()),
      projected: async <Role extends ProjectedRole>(role: Role) =>
        this.#watch<ProjectedStoresByRole[Role]>(role, await stores.projected(role)),
    };
  }

  #journal(journal: JournalStore): JournalStore {
    return this.#watch("journal", journal, (name, answer) =>
      name === "begin" ? this.#watch("journal", answer) : answer,
    );
  }

  #watch<Store extends object>(
    store: string,
    target: Store,
    answered: (name: string, answer: object) => unknown = (_, answer) => answer,
  ): Store {
    const known = this.#watched.get(target);
    if (known !== undefined) return known as Store;
    const watched = new Proxy(target, {
      get: (_, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        if (typeof name !== "string" || !STEPS.has(name)) return member.bind(target) as unknown;
        return async (...args: readonly unknown[]) => {
          const step = `${store}.${name}`;
          const call = (this.counts.get(step) ?? 0) + 1;
          this.counts.set(step, call);
          this.#dieAt({ step, call, side: "before" });
          const answer = (await Reflect.apply(member, target, args)) as object;
          this.#dieAt({ step, call, side: "after" });
          return answered(name, answer);
        };
      },
    });
    this.#watched.set(target, watched);
    return watched;
  }

  #dieAt({ step, call, side }: Death): void {
    const death = this.#death;
    if (death?.step !== step || death.call !== call || death.side !== side) return;
    process.kill(process.pid, "SIGKILL");
    // Nothing more is done, however late the signal comes.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
}
