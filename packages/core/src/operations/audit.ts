import type { Scope } from "@custody/stores/scope";

import type { Journal } from "../journal/journal.ts";
import type { Runtime } from "../runtime.ts";
import { auditLogs } from "../system-types.ts";

/** Something somebody did to the evidence or took out of it. */
export interface AuditAction {
  readonly action: string;
  readonly resource: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Writes actions and their outcomes into the tenant's journal. */
export class AuditLog {
  readonly #journal: Journal;
  readonly #runtime: Runtime;

  constructor(journal: Journal, runtime: Runtime) {
    this.#journal = journal;
    this.#runtime = runtime;
  }

  /** Does the work and writes down that it was done or failed; the work's own failure goes on. */
  async around<Result>(
    scope: Scope,
    action: AuditAction,
    work: () => Promise<Result>,
  ): Promise<Result> {
    try {
      const result = await work();
      await this.write(scope, action, "done");
      return result;
    } catch (cause) {
      await this.write(
        scope,
        { ...action, metadata: { ...action.metadata, reason: reasonOf(cause) } },
        "failed",
      );
      throw cause;
    }
  }

  async write(
    scope: Scope,
    action: AuditAction,
    outcome: "done" | "failed" | "refused",
  ): Promise<void> {
    const fields = {
      user_id: scope.actor,
      action: action.action,
      resource: action.resource,
      outcome,
      occurred_at: new Date(this.#runtime.clock()).toISOString(),
      metadata: action.metadata ?? {},
    };
    await this.#journal.commit(scope, [{ type: auditLogs.name, put: [{ fields }] }], {}, "own");
  }
}

/** The stable code of a failure; never its message, which may hold what a person typed. */
function reasonOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "error";
}
