import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";
import type { Collection } from "@custody/stores/projected-store";

import { CoreError } from "../errors.ts";
import type { After } from "../custody.ts";
import type { ProjectionRunner } from "../projection/projection-runner.ts";
import { projectionLabel } from "../projection/projections.ts";
import type { Runtime } from "../runtime.ts";
import type { ProjectedRole } from "../stores.ts";

/** A collection that has read as far as was asked. */
export interface ReadyCollection {
  readonly collection: Collection<never>;
  /** Everything up to here is in it. */
  readonly checkpoint: number;
}

export interface ReadinessParts {
  readonly runner: ProjectionRunner;
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
   * @throws CoreError `usage` when nothing of that name is held there, `timeout` when the deadline
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
    const sequence = await this.#sequence(scope, after);
    const projector = await runner.active(scope, plan);
    let checkpoint = await projector.checkpoint();
    if (sequence !== undefined && checkpoint < sequence) {
      await this.#withinDeadline(
        scope,
        projectionLabel(plan),
        runner.catchUp(scope, { roles: [role], names: [name] }),
      );
      checkpoint = Math.max(sequence, await projector.checkpoint());
    }
    const current = await runner.active(scope, plan);
    return { collection: current.projection.collection as Collection<never>, checkpoint };
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
      const head = await journal.head(scope);
      if (head !== undefined && head.timeline !== after.timeline) {
        throw new CoreError(
          "conflict",
          `the receipt is of timeline ${after.timeline}, this journal is of ${head.timeline}`,
        );
      }
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
