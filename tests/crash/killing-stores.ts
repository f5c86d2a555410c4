import type { ProjectedRole, ProjectedStoresByRole, Stores } from "@custody/core/stores";
import type { BlobStore } from "@custody/stores/blob/port";
import type { JournalStore } from "@custody/stores/relational/journal";

/** Where a process is to die: before or after the so-manieth call of a name. */
export interface Death {
  /** `journal.commit`, `blob.put`, `document.apply`; in a place for copies `repository.put manifests`. */
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

/** The calls that read a place, for what writes down what it has read without a store. */
export const READING_STEPS: ReadonlySet<string> = new Set(["list", "read"]);

/** The stores, which count every step that a process makes, and kill it at one of them. */
export class KillingStores {
  /** How often each step was made, by `<store>.<method>`. */
  readonly counts: Map<string, number> = new Map();
  readonly #death: Death | undefined;
  readonly #watched = new WeakMap<object, object>();
  #isCounting: boolean;

  /** @param isCounting false when the process is first to check what it finds. */
  constructor(death: Death | undefined, isCounting = true) {
    this.#death = death;
    this.#isCounting = isCounting;
  }

  /** Counts from now on. */
  begin(): void {
    this.#isCounting = true;
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

  /** Watches a place for copies; its steps are told apart by the first part of the key. */
  watchPlace(
    name: "repository" | "keyBackup",
    place: BlobStore,
    steps: ReadonlySet<string> = STEPS,
  ): BlobStore {
    return this.#watch(name, place, {
      steps,
      named: (method, key) => `${method} ${firstPart(key)}`,
    });
  }

  #journal(journal: JournalStore): JournalStore {
    return this.#watch("journal", journal, {
      answered: (name, answer) => (name === "begin" ? this.#watch("journal", answer) : answer),
    });
  }

  #watch<Store extends object>(
    store: string,
    target: Store,
    { steps = STEPS, named = String, answered = (_, answer) => answer }: Watching = {},
  ): Store {
    const known = this.#watched.get(target);
    if (known !== undefined) return known as Store;
    const watched = new Proxy(target, {
      get: (_, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        if (typeof name !== "string" || !steps.has(name)) return member.bind(target) as unknown;
        return async (...args: readonly unknown[]) => {
          const step = `${store}.${named(name, args[1])}`;
          const call = this.#count(step);
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

  /** Which call of its name this is; 0 while nothing is counted. */
  #count(step: string): number {
    if (!this.#isCounting) return 0;
    const call = (this.counts.get(step) ?? 0) + 1;
    this.counts.set(step, call);
    return call;
  }

  #dieAt({ step, call, side }: Death): void {
    const death = this.#death;
    if (death?.step !== step || death.call !== call || death.side !== side) return;
    process.kill(process.pid, "SIGKILL");
    // Nothing more is done, however late the signal comes.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
}

/** How a store is watched. */
interface Watching {
  readonly steps?: ReadonlySet<string>;
  /** A step's name behind the store's; calls take a scope first, then mostly a key. */
  readonly named?: (method: string, key: unknown) => string;
  readonly answered?: (name: string, answer: object) => unknown;
}

/** `manifests` of `manifests/…`, `keys/packs` of `keys/packs/…`. */
function firstPart(key: unknown): string {
  return /^(?:keys\/)?[^/]*/.exec(String(key))?.[0] ?? "";
}
