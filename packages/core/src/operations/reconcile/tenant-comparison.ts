import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";

import type { KeyService } from "../../keys/key-service.ts";
import type { ProjectionPlan } from "../../projection/projections.ts";
import type { NotCompared, ProjectionCompared, ReconcileReport } from "../../reports.ts";
import type { ReconcileOptions } from "../reconcile.ts";
import { Comparison } from "./comparison.ts";
import type { Compared, ComparisonParts, StoreDigest } from "./comparison.ts";
import { describeComparison } from "./comparison-report.ts";
import { ExpectedSums } from "./expected-sums.ts";
import { InterruptedRun } from "./interrupted-run.ts";
import { passJournal } from "./journal-pass.ts";
import type { PassTarget } from "./journal-pass.ts";
import { sequencesWithin } from "./journal-range.ts";
import { mend } from "./mending.ts";
import type { Pace } from "./pace.ts";
import { compareWithin } from "./range-comparison.ts";
import { recallSums, rememberSums } from "./remembered-sums.ts";
import { recallPrints, rememberPrints } from "./stored-prints.ts";

/** What a tenant's projections are compared with. */
export interface TenantParts extends ComparisonParts {
  readonly keys: KeyService;
  /** Told what people should know: that a store was mended. */
  readonly onNotice?: (text: string) => void;
}

/** What a tenant's comparison came to. */
export type TenantCompared = Pick<ReconcileReport, "projections" | "notCompared">;

/** Compares a tenant's projections with its journal, and mends them where that is asked. */
export async function compareTenant(
  parts: TenantParts,
  scope: Scope,
  options: ReconcileOptions,
  pace: Pace,
): Promise<TenantCompared> {
  const comparing = new TenantComparison(parts, scope, options, pace);
  return await comparing.run();
}

class TenantComparison {
  readonly #parts: TenantParts;
  readonly #scope: Scope;
  readonly #options: ReconcileOptions;
  readonly #pace: Pace;

  constructor(parts: TenantParts, scope: Scope, options: ReconcileOptions, pace: Pace) {
    this.#parts = parts;
    this.#scope = scope;
    this.#options = options;
    this.#pace = pace;
  }

  async run(): Promise<TenantCompared> {
    const { roles, repair, deep, since, until, resume } = this.#options;
    const question = { roles, repair, deep, since, until };
    const run =
      resume === true
        ? await InterruptedRun.open(this.#parts.journal, this.#scope, question)
        : undefined;
    const plans = await this.#plans(run);
    const isWithin = since !== undefined || until !== undefined;
    if (isWithin) await this.#within(plans, run);
    else await this.#whole(plans, run);
    const projections = run === undefined ? this.#reports : run.done;
    await run?.end();
    return { projections, notCompared: this.#notCompared };
  }

  readonly #reports: ProjectionCompared[] = [];
  readonly #notCompared: NotCompared[] = [];

  /** Does work on a projection; `undefined` when its store does not answer, which is then in the report. */
  async #unlessAway<Result>(
    { role, name }: Pick<ProjectionPlan, "role" | "name">,
    work: () => Promise<Result>,
  ): Promise<Result | undefined> {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== "unavailable") throw cause;
      this.#notCompared.push({ tenant: this.#scope.tenant, role, name, reason: cause.message });
      return undefined;
    }
  }

  /** The projections that hold something and were not compared by the run that is continued. */
  async #plans(run: InterruptedRun | undefined): Promise<readonly ProjectionPlan[]> {
    const { roles } = this.#options;
    const { runner, journal } = this.#parts;
    const plans: ProjectionPlan[] = [];
    for (const plan of runner.plans(this.#scope, roles === undefined ? {} : { roles })) {
      if (run?.isDone(plan) === true) continue;
      if ((await journal.lastSequence(this.#scope, plan.types)) > 0) plans.push(plan);
    }
    return plans;
  }

  async #within(plans: readonly ProjectionPlan[], run: InterruptedRun | undefined): Promise<void> {
    const range = await sequencesWithin(this.#parts.journal, this.#scope, this.#options);
    // Rows that records share are of no time.
    for (const plan of plans.filter(({ isCounted }) => !isCounted)) {
      const report = await this.#unlessAway(plan, async () => {
        const comparison = await this.#comparison(plan);
        const compared = await compareWithin(comparison, range, this.#pace);
        return this.#conclude(comparison, compared);
      });
      if (report !== undefined) await this.#note(run, report);
    }
  }

  async #whole(plans: readonly ProjectionPlan[], run: InterruptedRun | undefined): Promise<void> {
    const comparisons: Comparison[] = [];
    for (const plan of plans) {
      const comparison = await this.#unlessAway(plan, () => this.#comparison(plan));
      if (comparison === undefined) continue;
      if (this.#options.deep !== true) await this.#recall(comparison);
      comparisons.push(comparison);
    }
    const { tenant } = this.#scope;
    const tell = (done: number): void =>
      this.#options.onProgress?.({ tenant, phase: "stores", done, of: comparisons.length });
    let done = 0;
    for (const [comparison, digest] of await this.#digests(comparisons)) {
      this.#pace.check();
      const report = await this.#unlessAway(comparison.projection, async () => {
        const compared = await comparison.finish(await digest());
        await this.#remember(comparison);
        return this.#conclude(comparison, compared);
      });
      if (report !== undefined) await this.#note(run, report);
      tell((done += 1));
    }
  }

  async #recall(comparison: Comparison): Promise<void> {
    await recallSums(this.#parts, this.#scope, comparison.sums);
    comparison.printed = await recallPrints(this.#parts, this.#scope, comparison.projection);
  }

  async #remember({ sums, projection, printed }: Comparison): Promise<void> {
    await rememberSums(this.#parts, this.#scope, sums);
    if (printed !== undefined) await rememberPrints(this.#parts, this.#scope, projection, printed);
  }

  /**
   * How to get each projection's digest. With a throttle one thing is done after the other; else all
   * stores work side by side while the journal is read, each on its projections in turn.
   */
  async #digests(
    comparisons: readonly Comparison[],
  ): Promise<readonly (readonly [Comparison, () => Promise<StoreDigest>])[]> {
    const begun = await this.#begin(comparisons);
    if (this.#pace.isThrottled) {
      await begun.pass();
      return begun.comparisons.map((comparison) => [comparison, () => comparison.digest()]);
    }
    const digests = new Map<Comparison, StoreDigest>();
    const byRole = Map.groupBy(begun.comparisons, ({ projection }) => projection.role);
    const inTurn = async (some: readonly Comparison[]): Promise<void> => {
      for (const comparison of some) {
        this.#pace.check();
        const digest = await this.#unlessAway(comparison.projection, () => comparison.digest());
        if (digest !== undefined) digests.set(comparison, digest);
      }
    };
    await allDone([begun.pass(), ...[...byRole.values()].map(inTurn)]);
    return begun.comparisons.flatMap((comparison) => {
      const digest = digests.get(comparison);
      return digest === undefined ? [] : [[comparison, () => Promise.resolve(digest)] as const];
    });
  }

  /**
   * Makes every projection's sums ready, and answers those whose stores answer, and the pass that brings
   * them to where the stores stand.
   */
  async #begin(
    given: readonly Comparison[],
  ): Promise<{ readonly comparisons: readonly Comparison[]; readonly pass: () => Promise<void> }> {
    const targets: PassTarget[] = [];
    const comparisons: Comparison[] = [];
    for (const comparison of given) {
      const upTo = await this.#unlessAway(comparison.projection, () => comparison.standing());
      if (upTo === undefined) continue;
      await comparison.begin(upTo);
      targets.push({ sums: comparison.sums, upTo });
      comparisons.push(comparison);
    }
    const { onProgress } = this.#options;
    const { tenant } = this.#scope;
    const told =
      onProgress === undefined
        ? {}
        : {
            onProgress: (at: { done: number; of: number }) =>
              onProgress({ tenant, phase: "journal", ...at }),
          };
    return {
      comparisons,
      pass: () => passJournal(this.#parts, this.#scope, targets, { pace: this.#pace, ...told }),
    };
  }

  async #comparison({ role, name }: ProjectionPlan): Promise<Comparison> {
    const { runner } = this.#parts;
    await runner.catchUp(this.#scope, { roles: [role], names: [name] });
    return await this.#standing({ role, name });
  }

  /** The comparison of the build that answers. */
  async #standing({ role, name }: Pick<ProjectionPlan, "role" | "name">): Promise<Comparison> {
    const { runner } = this.#parts;
    const { projection } = await runner.active(
      this.#scope,
      runner.requirePlan(this.#scope, role, name),
    );
    return new Comparison(this.#parts, this.#scope, new ExpectedSums(projection), this.#pace);
  }

  /** Mends what differs where that is asked, and looks again at what was mended. */
  async #conclude(comparison: Comparison, compared: Compared): Promise<ProjectionCompared> {
    const report = describeComparison(comparison, compared);
    if (this.#options.repair !== true || report.differences === 0) return report;
    const mended = await mend(this.#parts, comparison, compared, this.#pace);
    const left = await this.#leftAfter(mended, comparison, compared);
    const repaired = Math.max(0, report.differences - left);
    const { role, name } = report;
    this.#parts.onNotice?.(
      `reconcile has repaired ${repaired} of ${report.differences} rows of ${role} ${name} that were not what the journal says`,
    );
    return { ...report, repaired, mended };
  }

  /** How many differences are left after mending. */
  async #leftAfter(
    mended: "rows" | "rebuild",
    comparison: Comparison,
    { ranges }: Compared,
  ): Promise<number> {
    if (mended === "rows") return (await comparison.compareRanges(ranges)).found.size;
    const anew = await this.#standing(comparison.projection);
    await recallSums(this.#parts, this.#scope, anew.sums);
    await anew.begin(await anew.standing());
    return (await anew.finish(await anew.digest())).found.size;
  }

  async #note(run: InterruptedRun | undefined, report: ProjectionCompared): Promise<void> {
    if (run === undefined) this.#reports.push(report);
    else await run.note(report);
  }
}

/** Waits for all, also where one fails, so that nothing goes on behind the caller's back. */
async function allDone(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
