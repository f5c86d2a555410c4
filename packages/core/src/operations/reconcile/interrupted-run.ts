import { hash } from "node:crypto";

import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { ProjectionCompared } from "../../reports.ts";

const STATE = "reconcile/run";
// The report of a projection that is kept for a later run is to be small.
const EXAMPLES_KEPT = 20;

interface StoredRun {
  readonly asked: string;
  readonly done: readonly ProjectionCompared[];
}

/**
 * InterruptedRun: what a tenant's comparison has done already, so that the next one continues with the
 * projection after. Losing it costs time alone.
 */
export class InterruptedRun {
  readonly #journal: JournalStore;
  readonly #scope: Scope;
  readonly #asked: string;
  #done: readonly ProjectionCompared[];

  private constructor(at: { journal: JournalStore; scope: Scope }, stored: StoredRun) {
    this.#journal = at.journal;
    this.#scope = at.scope;
    this.#asked = stored.asked;
    this.#done = stored.done;
  }

  /** @param question what was asked: another question is no continuation. */
  static async open(
    journal: JournalStore,
    scope: Scope,
    question: unknown,
  ): Promise<InterruptedRun> {
    const asked = hash("sha256", JSON.stringify(question), "hex");
    const text = await journal.state(scope, STATE);
    const stored = text === undefined ? undefined : (JSON.parse(text) as StoredRun);
    const done = stored?.asked === asked ? stored.done : [];
    return new InterruptedRun({ journal, scope }, { asked, done });
  }

  get done(): readonly ProjectionCompared[] {
    return this.#done;
  }

  isDone({ role, name }: Pick<ProjectionCompared, "role" | "name">): boolean {
    return this.#done.some((one) => one.role === role && one.name === name);
  }

  async note(report: ProjectionCompared): Promise<void> {
    const kept = { ...report, examples: report.examples.slice(0, EXAMPLES_KEPT) };
    this.#done = [...this.#done, kept];
    const stored: StoredRun = { asked: this.#asked, done: this.#done };
    await this.#journal.putState(this.#scope, STATE, JSON.stringify(stored));
  }

  /** Forgets it at its end. */
  async end(): Promise<void> {
    await this.#journal.putState(this.#scope, STATE, undefined);
  }
}
