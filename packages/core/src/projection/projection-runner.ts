import type { ProjectedStore } from "@custody/stores/projected-store";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { areSuperseded } from "../records/type-changes.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";
import type { ProjectedRole, Stores } from "../stores.ts";
import type { DeliverySource } from "./delivery-source.ts";
import { Turns } from "./turns.ts";
import { patiently } from "./patience.ts";
import type { OwnerList } from "./owner-list.ts";
import { tenantScope } from "./owner-scope.ts";
import {
  beginAnew,
  beginRebuild,
  nextGenerations,
  projectionAt,
  readGenerations,
  switchGenerations,
  writeGenerations,
} from "./generations.ts";
import type { Generation, GenerationState } from "./generations.ts";
import { buildKey, planKey, planProjections, projectionLabel } from "./projections.ts";
import type { Projection, ProjectionPlan } from "./projections.ts";
import { holderOf, unlessRefused } from "./holder.ts";
import type { Holder } from "./holder.ts";
import { makeProjector, storeOf } from "./make-projector.ts";
import type { Projector } from "./projector.ts";

export interface ProjectionRunnerParts {
  readonly registry: TypeRegistry;
  readonly stores: Stores;
  readonly journal: JournalStore;
  readonly source: DeliverySource;
  readonly owners: OwnerList;
  readonly runtime: Runtime;
  readonly onNotice?: (text: string) => void;
  readonly onProgress?: (applied: {
    readonly projection: Projection;
    readonly records: number;
  }) => void;
}

/** Which projections a call is about; all of them when left out. */
export interface ProjectionChoice {
  readonly roles?: readonly ProjectedRole[];
  readonly names?: readonly string[];
}

const CLOSING_PATIENCE_MS = 2_000;
/** ProjectionRunner: the projectors of every tenant, started when they are wanted. */
export class ProjectionRunner {
  readonly #parts: ProjectionRunnerParts;
  readonly #projectors = new Map<string, Promise<Projector>>();
  readonly #abort = new AbortController();
  readonly #background = new Set<Promise<void>>();
  /** Projections being followed, by tenant, role and name; true when one more round is wanted. */
  readonly #wanted = new Map<string, boolean>();
  /** For engines whose files are written one after another. */
  readonly #turns = new Turns();
  /** For builds of one projection: what is recorded of them is read, changed and written. */
  readonly #builds = new Turns();
  /** Whether the store holds a build by another mapping than its projector. */
  readonly #looked = new WeakMap<Projector, Promise<Holder>>();
  /** Projections whose files were set aside, by tenant, role and name, until they are filled again. */
  readonly #emptied = new Set<string>();

  constructor(parts: ProjectionRunnerParts) {
    this.#parts = parts;
  }

  /** What the tenant's stores should hold. */
  plans(scope: Scope, choice: ProjectionChoice = {}): readonly ProjectionPlan[] {
    return planProjections(this.#parts.registry, scope.tenant).filter(
      (plan) =>
        (choice.roles?.includes(plan.role) ?? true) && (choice.names?.includes(plan.name) ?? true),
    );
  }

  /** The plan of a name in a role. @throws CoreError `usage` when the type is not held there. */
  requirePlan(scope: Scope, role: ProjectedRole, name: string): ProjectionPlan {
    const [plan] = this.plans(scope, { roles: [role], names: [name] });
    if (plan !== undefined) return plan;
    throw new CoreError(
      "usage",
      `${name} is not held in the ${role} store; see \`custody types ${name}\``,
    );
  }

  /** The projector of the build that answers, made ready. */
  async active(scope: Scope, plan: ProjectionPlan): Promise<Projector> {
    const { active } = await this.#generations(scope, plan);
    const projector = await this.#projector(scope, projectionAt(plan, active));
    if (!(await this.#isHeldOtherwise(projector))) return projector;
    await this.#builds.run(planKey(scope, plan), () => this.#beginBeside(scope, plan, active));
    const state = await this.#generations(scope, plan);
    return this.#projector(scope, projectionAt(plan, state.active));
  }

  /**
   * Brings projections to the journal's present end, and finishes builds of changed mappings.
   *
   * @throws CoreError `failed` naming the first projection that cannot go on, after the others are done,
   *   or when following was stopped before the end was reached.
   */
  async catchUp(scope: Scope, choice: ProjectionChoice = {}): Promise<void> {
    const work = this.plans(scope, choice).map((plan) => this.#catchUpPlan(scope, plan));
    const failed = (await Promise.allSettled(work)).find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    if (this.#abort.signal.aborted)
      throw new CoreError(
        "failed",
        "the installation is being closed; ask again after it is opened",
      );
  }

  /** Makes every collection of the choice exist, so that it can be read before its first record. */
  async prepare(scope: Scope, choice: ProjectionChoice): Promise<void> {
    for (const plan of this.plans(scope, choice)) await this.#generations(scope, plan);
  }

  /** Starts catching up in the background; what fails is seen in the projector's condition. */
  notify(scope: Scope, types: ReadonlySet<string>): void {
    for (const plan of this.plans(scope)) {
      if (plan.types.some((type) => types.has(type))) this.#wake(scope, plan);
    }
  }

  /**
   * Writes down that what a role keeps per owner begins anew: its checkpoint lies in another file than
   * the rows, and would hide that those of a lost file are missing.
   */
  async beginOwnedAnew(scope: Scope, role: ProjectedRole): Promise<void> {
    const { journal } = this.#parts;
    for (const plan of this.plans(scope, { roles: [role] })) {
      const state = await readGenerations(journal, scope, plan);
      if (state === undefined) continue;
      const isOwned = plan.owner !== undefined || state.active.owner !== undefined;
      if (isOwned) await writeGenerations(journal, scope, plan, beginAnew(state, plan));
    }
  }

  /**
   * Fills a role's projections again in the background after their files were set aside.
   *
   * @param first done before, as often as it takes.
   */
  restart(scope: Scope, role: ProjectedRole, first: () => Promise<void>): void {
    const plans = this.plans(scope, { roles: [role] });
    this.#inBackground(patiently({ ...this.#parts, signal: this.#abort.signal }, first));
    for (const plan of plans) {
      this.#emptied.add(planKey(scope, plan));
      this.#wake(scope, plan);
    }
    for (const [key, projector] of this.#projectors) {
      const isOfRole = plans.some((plan) =>
        key.startsWith(`${scope.tenant}/${projectionLabel(plan)}/`),
      );
      if (isOfRole) void projector.then((one) => one.forget()).catch(() => undefined);
    }
  }

  #wake(scope: Scope, plan: ProjectionPlan): void {
    const endless = { ...scope, deadline: Number.POSITIVE_INFINITY };
    const key = planKey(scope, plan);
    const isUnderWay = this.#wanted.has(key);
    this.#wanted.set(key, isUnderWay);
    // Commits that come while a projection is being followed are seen by one more round, not by one each.
    if (!isUnderWay) this.#inBackground(this.#followWanted(endless, plan, key));
  }

  #inBackground(work: Promise<void>): void {
    const tracked = work.finally(() => this.#background.delete(tracked));
    this.#background.add(tracked);
  }

  async #followWanted(scope: Scope, plan: ProjectionPlan, key: string): Promise<void> {
    const parts = { ...this.#parts, signal: this.#abort.signal };
    do {
      this.#wanted.set(key, false);
      // A projector waits for its store itself; until there is one, and where it is looked up, waiting is done here.
      await patiently(parts, () => this.#catchUpPlan(scope, plan));
    } while (this.#wanted.get(key) === true && !this.#abort.signal.aborted);
    this.#wanted.delete(key);
  }

  /**
   * Builds projections anew beside the old ones, switches to them and drops the old.
   *
   * @param onBegun called once a build is written down, which is then finished whatever happens here.
   */
  async rebuild(
    scope: Scope,
    choice: ProjectionChoice,
    onBegun?: () => Promise<void>,
  ): Promise<readonly ProjectionPlan[]> {
    const plans = this.plans(scope, choice);
    for (const plan of plans) {
      await this.#builds.run(planKey(scope, plan), async () => {
        const before = await this.#generations(scope, plan);
        await this.#requireToday(scope, plan, before.active.fingerprint);
        await writeGenerations(this.#parts.journal, scope, plan, beginRebuild(before, plan));
        await onBegun?.();
        await this.#finishBuild(scope, plan);
        await this.#dropPrevious(scope, plan);
      });
    }
    return plans;
  }

  /** How many entries of its types a projection has yet to read. */
  async lag(
    scope: Scope,
    plan: ProjectionPlan,
  ): Promise<{ readonly checkpoint: number; readonly last: number }> {
    const projector = await this.active(scope, plan);
    const last = await this.#parts.journal.lastSequence(scope, projector.projection.types);
    return { checkpoint: await projector.checkpoint(), last };
  }

  /**
   * Stops following. What was just committed gets a moment to reach its stores, so that an orderly end
   * leaves none of them behind; what takes longer ends with its present delivery and goes on next time.
   */
  async close(): Promise<void> {
    const { runtime } = this.#parts;
    const patience = new AbortController();
    await Promise.race([
      Promise.allSettled(this.#background),
      runtime.sleep(CLOSING_PATIENCE_MS, patience.signal),
    ]);
    patience.abort();
    this.#abort.abort();
    await Promise.allSettled(this.#background);
    const projectors = await Promise.allSettled(this.#projectors.values());
    for (const result of projectors) {
      if (result.status === "fulfilled") await result.value.settled();
    }
  }

  async #catchUpPlan(scope: Scope, plan: ProjectionPlan): Promise<void> {
    // What has no record yet is made when it is first read or written.
    if ((await this.#parts.journal.lastSequence(scope, plan.types)) === 0) return;
    const projector = await this.active(scope, plan);
    await this.#requireToday(scope, plan, projector.projection.fingerprint);
    const isEmptied = this.#emptied.has(planKey(scope, plan));
    // An empty store may have taken the place of the one that the journal remembers as made ready.
    if (isEmptied || (plan.role === "analytics" && (await projector.checkpoint()) === 0)) {
      await this.#prepareFirst(scope, projector.projection);
    }
    await projector.catchUp();
    const state = await this.#generations(scope, plan);
    const { building, obsolete } = state;
    if (building !== undefined || obsolete !== undefined)
      await this.#builds.run(planKey(scope, plan), async () => {
        if (building !== undefined) await this.#finishBuild(scope, plan);
        if (obsolete !== undefined) await this.#dropObsolete(scope, plan);
      });
    if (isEmptied) this.#emptied.delete(planKey(scope, plan));
  }

  async #finishBuild(scope: Scope, plan: ProjectionPlan): Promise<void> {
    const state = await this.#generations(scope, plan);
    // One that another process has begun by another mapping is that one's to fill: as its types say.
    if (state.building?.fingerprint !== plan.fingerprint) return;
    const projector = await this.#projector(scope, projectionAt(plan, state.building));
    await projector.catchUp();
    if (this.#abort.signal.aborted) return;
    await this.#publish(scope, projector.projection);
    await writeGenerations(this.#parts.journal, scope, plan, switchGenerations(state));
    // Rows that lay in one file for all owners, or in those of others, are no way back.
    if (state.active.owner !== state.building.owner) await this.#dropPrevious(scope, plan);
  }

  async #dropPrevious(scope: Scope, plan: ProjectionPlan): Promise<void> {
    const state = await this.#generations(scope, plan);
    if (state.previous === undefined) return;
    const previous = projectionAt(plan, state.previous);
    const store = await this.store(previous);
    await store.discard(tenantScope(scope), previous.collection);
    this.#projectors.delete(buildKey(scope, previous));
    const { previous: _, ...rest } = state;
    await writeGenerations(this.#parts.journal, scope, plan, rest);
  }

  /** Removes builds of which rows were lost with a damaged file. */
  async #dropObsolete(scope: Scope, plan: ProjectionPlan): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const { obsolete = [], ...state } = await this.#generations(scope, plan);
    for (const generation of obsolete) {
      const old = projectionAt(plan, generation);
      await (await this.store(old)).discard(tenantScope(scope), old.collection);
      this.#projectors.delete(buildKey(scope, old));
    }
    await writeGenerations(this.#parts.journal, scope, plan, state);
  }

  async #generations(scope: Scope, plan: ProjectionPlan): Promise<GenerationState> {
    const { journal } = this.#parts;
    const stored = await readGenerations(journal, scope, plan);
    const wanted = nextGenerations(stored, plan);
    if (wanted !== stored) {
      if (stored !== undefined && (await areSuperseded(this.#parts, scope, plan.types)))
        return stored;
      await writeGenerations(journal, scope, plan, wanted);
      // Refused, it is looked into by whoever asks for the projector.
      if (stored === undefined)
        await this.#prepareFirst(scope, projectionAt(plan, wanted.active)).catch(unlessRefused);
    }
    return wanted;
  }

  /** Whether the store refuses the collection itself: it holds it by another mapping. Asked by all together. */
  async #isHeldOtherwise(projector: Projector): Promise<boolean> {
    const looking = this.#looked.get(projector) ?? holderOf(projector);
    this.#looked.set(projector, looking);
    const holder = await looking;
    // What could not be told, or is mended now, is looked at again.
    if (holder !== "own") this.#looked.delete(projector);
    return holder === "other";
  }

  /**
   * Begins anew where the store holds a build under the same number by another mapping: a process with
   * another version of the types began it in the same moment, and what it wrote down was overwritten.
   */
  async #beginBeside(
    scope: Scope,
    plan: ProjectionPlan,
    { generation }: Generation,
  ): Promise<void> {
    const state = await this.#generations(scope, plan);
    if (state.active.generation !== generation) return;
    const anew = beginAnew(state, plan);
    // First, so that a mapping that the engine refuses by itself is told, and nothing is begun.
    await this.#prepareFirst(scope, projectionAt(plan, anew.active));
    await writeGenerations(this.#parts.journal, scope, plan, anew);
  }

  /** @throws CoreError `failed` when a build is of later versions of its types than this process has. */
  async #requireToday(scope: Scope, plan: ProjectionPlan, fingerprint: string): Promise<void> {
    if (fingerprint === plan.fingerprint || !(await areSuperseded(this.#parts, scope, plan.types)))
      return;
    const label = projectionLabel(plan);
    throw new CoreError(
      "failed",
      `${label} is kept by later versions of its types than this process has; start it again with them`,
    );
  }

  async #prepareFirst(scope: Scope, projection: Projection): Promise<void> {
    const store = await this.store(projection);
    await store.prepare(tenantScope(scope), projection.collection);
    await this.#publish(scope, projection);
  }

  async #publish(scope: Scope, projection: Projection): Promise<void> {
    // What is kept per owner is made known to SQL in the file of the owner who asks.
    if (projection.role !== "analytics" || projection.owner !== undefined) return;
    const analytics = await this.#parts.stores.projected("analytics");
    await analytics.publish(tenantScope(scope), {
      ...projection.collection,
      placements: projection.placements as Record<string, never>,
    });
  }

  #projector(scope: Scope, projection: Projection): Promise<Projector> {
    const key = buildKey(scope, projection);
    const known = this.#projectors.get(key);
    if (known !== undefined) return known;
    const made = makeProjector(
      { ...this.#parts, turns: this.#turns, signal: this.#abort.signal },
      scope,
      projection,
    );
    this.#projectors.set(key, made);
    made.catch(() => this.#projectors.delete(key));
    return made;
  }

  /** The store of a projection; where each owner has a file, one that keeps them apart. */
  store(
    projection: Pick<Projection, "role" | "owner" | "isCounted">,
  ): Promise<ProjectedStore<unknown>> {
    return storeOf({ ...this.#parts, turns: this.#turns }, projection);
  }
}
