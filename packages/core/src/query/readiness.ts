import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";
import type { AnalyticsStore } from "@custody/stores/analytics/port";
import type { Collection } from "@custody/stores/projected-store";

import { CoreError } from "../errors.ts";
import type { After } from "../custody.ts";
import { requireAcknowledged } from "../journal/timelines.ts";
import type { OwnerList } from "../projection/owner-list.ts";
import { isOwnerName, tenantScope } from "../projection/owner-scope.ts";
import type { ProjectionRunner } from "../projection/projection-runner.ts";
import { projectionLabel } from "../projection/projections.ts";
import type { Projection } from "../projection/projections.ts";
import type { Runtime } from "../runtime.ts";
import type { ProjectedRole } from "../stores.ts";

/** A collection that has read as far as was asked. */
export interface ReadyCollection {
  readonly collection: Collection<never>;
  /** Everything up to here is in it. */
  readonly checkpoint: number;
  /** How far its store had read when it was asked. */
  readonly stands: number;
  /** In which it is read: with the owner where each has a file of their own, else without. */
  readonly scope: Scope;
  /** Says that the store does not stand there any more. */
  readonly forget: () => void;
}

export interface ReadinessParts {
  readonly runner: ProjectionRunner;
  readonly owners: OwnerList;
  readonly journal: JournalStore;
  readonly runtime: Runtime;
  /** Whether a read that names no point waits for the journal's present end. */
  readonly isHeadAwaited: boolean;
}

/** Readiness: makes a projection read as far as a reader needs, and says how far it has. */
export class Readiness {
  readonly #parts: ReadinessParts;

  constructor(parts: ReadinessParts) {
    this.#parts = parts;
  }

  /**
   * The collection that answers for a name in a role.
   *
   * @throws CoreError `usage` when nothing of that name is held there or an owner must be named, `timeout` when the deadline
   *   passes first, `conflict` for a receipt of another timeline, `failed` when the projection stopped.
   */
  async collection(
    scope: Scope,
    role: ProjectedRole,
    name: string,
    after: After | undefined,
  ): Promise<ReadyCollection> {
    const { runner } = this.#parts;
    const plan = runner.requirePlan(scope, role, name);
    if (plan.owner !== undefined) requireOwner(scope, name);
    const sequence = await this.#sequence(scope, after);
    let projector = await runner.active(scope, plan);
    if (projector.projection.owner !== plan.owner) {
      // The present build does not keep these owners apart: it is not read any more.
      await this.#withinDeadline(
        scope,
        projectionLabel(plan),
        runner.catchUp(scope, { roles: [role], names: [name] }),
      );
      projector = await runner.active(scope, plan);
    }
    let checkpoint = await projector.checkpoint();
    if (sequence !== undefined && checkpoint < sequence) {
      await this.#withinDeadline(
        scope,
        projectionLabel(plan),
        runner.catchUp(scope, { roles: [role], names: [name] }),
      );
      checkpoint = Math.max(sequence, await projector.checkpoint());
    }
    const answering = await runner.active(scope, plan);
    const { projection } = answering;
    if (projection.owner !== plan.owner && checkpoint > 0) {
      throw new CoreError(
        "failed",
        `${projectionLabel(plan)} is not built anew yet for its changed owner; try \`custody rebuild ${role}\``,
      );
    }
    return {
      collection: projection.collection as Collection<never>,
      checkpoint,
      stands: await answering.checkpoint(),
      scope: await this.#fileScope(scope, projection),
      forget: () => answering.forget(),
    };
  }

  /**
   * Where a projection's rows are for a reader. An owner of whom nothing is held is answered by the
   * tenant's own file, in which the collection has no rows: asking makes no file for every name asked for.
   */
  async #fileScope(scope: Scope, projection: Projection): Promise<Scope> {
    const tenant = tenantScope(scope);
    const { owner } = scope;
    if (projection.owner === undefined || owner === undefined) return tenant;
    const owned = { role: projection.role, ...projection.collection };
    return (await this.#parts.owners.has(tenant, owned, owner)) ? { ...tenant, owner } : tenant;
  }

  /**
   * The scope for SQL over an owner's analytics file, in which every type that is kept per owner is there.
   *
   * @throws CoreError `not-found` when the owner has no such file.
   */
  async ownerTables(scope: Scope, analytics: AnalyticsStore): Promise<Scope> {
    const { runner, owners } = this.#parts;
    const { owner } = requireOwner(scope, "SQL");
    const tenant = tenantScope(scope);
    if (!(await owners.inRole(tenant, "analytics")).includes(owner)) {
      throw new CoreError(
        "not-found",
        `no record of that owner is held for SQL in tenant ${scope.tenant}; leave the owner out to ask about what is not kept per owner`,
      );
    }
    const own = { ...tenant, owner };
    for (const plan of runner.plans(tenant, { roles: ["analytics"] })) {
      if (plan.owner === undefined) continue;
      const { projection } = await runner.active(tenant, plan);
      if (projection.owner !== plan.owner) continue;
      const collection = projection.collection as Collection<never>;
      await analytics.prepare(own, collection);
      await analytics.publish(own, collection);
    }
    return own;
  }

  /** Waits until every projection of a role has read as far as asked. */
  async role(scope: Scope, role: ProjectedRole, after: After | undefined): Promise<void> {
    const { runner } = this.#parts;
    const sequence = await this.#sequence(scope, after);
    await runner.prepare(scope, { roles: [role] });
    if (sequence === undefined) return;
    await this.#withinDeadline(
      scope,
      `${role} projections`,
      runner.catchUp(scope, { roles: [role] }),
    );
  }

  async #sequence(scope: Scope, after: After | undefined): Promise<number | undefined> {
    const { journal, isHeadAwaited } = this.#parts;
    if (typeof after === "number") return after;
    if (after !== undefined) {
      await requireAcknowledged(journal, tenantScope(scope), after);
      return after.head.size;
    }
    return isHeadAwaited ? ((await journal.head(scope))?.sequence ?? 0) : undefined;
  }

  async #withinDeadline(scope: Scope, what: string, work: Promise<void>): Promise<void> {
    if (!Number.isFinite(scope.deadline)) return work;
    const { runtime } = this.#parts;
    const abort = new AbortController();
    const late = runtime
      .sleep(Math.max(0, scope.deadline - runtime.clock()), abort.signal)
      .then(() => {
        if (abort.signal.aborted) return;
        throw new CoreError(
          "timeout",
          `${what} did not catch up in time; allow more, or read without --after`,
        );
      });
    try {
      await Promise.race([work, late]);
    } finally {
      abort.abort();
      late.catch(() => undefined);
    }
  }
}

/** @throws CoreError `usage` when the scope names no owner. */
function requireOwner(scope: Scope, what: string): Scope & { readonly owner: string } {
  const { owner } = scope;
  if (isOwnerName(owner)) return { ...scope, owner };
  throw new CoreError(
    "usage",
    owner === undefined
      ? `${what} is kept in a file for each owner: name the owner (--owner NAME)`
      : "an owner's name is text of 1 to 512 characters without NUL",
  );
}
