import { StoreError } from "@custody/stores/errors";
import type { ProjectedStore } from "@custody/stores/projected-store";
import type { Delivery } from "@custody/stores/record-batch";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import type { DeliverySource, NextDelivery } from "./delivery-source.ts";
import { projectionLabel } from "./projections.ts";
import type { Projection } from "./projections.ts";
import {
  drawTrialGeneration,
  isRefusal,
  isolateRefusals,
  Quarantined,
  quarantineRefusals,
  readNotes,
  readQuarantined,
} from "./quarantine.ts";

export interface ProjectorParts {
  readonly scope: Scope;
  readonly projection: Projection;
  readonly store: ProjectedStore<unknown>;
  readonly source: DeliverySource;
  readonly journal: JournalStore;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
  /**
   * How far the store may have been written beyond its checkpoint by a delivery that was cut off; the
   * next deliveries end there before they go on.
   */
  readonly underway?: () => Promise<number>;
  /** Told once when a store begins to be waited for, in a sentence for people. */
  readonly onNotice?: (text: string) => void;
  /** Told after each delivery. */
  readonly onProgress?: (applied: {
    readonly projection: Projection;
    readonly records: number;
  }) => void;
}

/** What a projector is doing. */
export type ProjectorCondition = "idle" | "running" | "waiting" | "failed";

const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 30_000;

/**
 * Projector: follows the journal into one projection of one tenant.
 *
 * Reads in order, applies in bulk, and keeps the checkpoint in the store's own transaction. A store
 * that cannot be reached is tried again for as long as it takes, and delays only this projection; a
 * record that the store refuses is quarantined and the rest goes on.
 */
export class Projector {
  readonly projection: Projection;
  readonly #parts: ProjectorParts;
  #checkpoint: number | undefined;
  /** Where a delivery that was cut off had ended. */
  #underway = 0;
  #quarantined = new Quarantined([]);
  readonly #trial: number;
  #condition: ProjectorCondition = "idle";
  #reason: string | undefined;
  #running: Promise<void> | undefined;
  #isAgainWanted = false;
  /** From where a delivery was read that met a conflict, until one is taken. */
  #conflictAfter: number | undefined;
  /** How often the checkpoint was forgotten. */
  #forgotten = 0;

  constructor(parts: ProjectorParts) {
    this.#parts = parts;
    this.projection = parts.projection;
    this.#trial = drawTrialGeneration(parts.runtime.random);
  }

  get condition(): ProjectorCondition {
    return this.#condition;
  }

  /** Why it waits or has failed. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Says that the store may stand elsewhere than it did: its own checkpoint counts from now on. */
  forget(): void {
    this.#checkpoint = undefined;
    this.#forgotten += 1;
  }

  /** Prepares the collection and reads its checkpoint, once. */
  async checkpoint(): Promise<number> {
    const { scope, store } = this.#parts;
    if (this.#checkpoint === undefined) {
      await store.prepare(scope, this.projection.collection);
      this.#underway = (await this.#parts.underway?.()) ?? 0;
      const checkpoint = await store.checkpoint(scope, this.projection.collection);
      this.#quarantined = await readQuarantined(
        this.#parts.journal,
        scope,
        this.projection,
        checkpoint,
      );
      this.#checkpoint = checkpoint;
    }
    return this.#checkpoint;
  }

  /**
   * Reads the journal to its present end. Calls that come meanwhile share the work.
   *
   * @throws CoreError `failed` when the store is damaged or refuses what no record explains.
   */
  catchUp(): Promise<void> {
    this.#isAgainWanted = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when nothing is under way; never rejects. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (this.#isAgainWanted && !this.#parts.signal.aborted) {
      this.#isAgainWanted = false;
      try {
        this.#condition = "running";
        await this.#retrying(() => this.#follow());
        this.#condition = "idle";
      } catch (cause) {
        this.#condition = "failed";
        // Whoever tries again looks first how far the store came.
        this.#checkpoint = undefined;
        this.#reason = cause instanceof Error ? cause.message : String(cause);
        throw this.#failure(cause);
      }
    }
  }

  async #follow(): Promise<void> {
    const { signal } = this.#parts;
    let next = await this.#next(await this.checkpoint());
    while (next !== undefined && !signal.aborted) {
      const following = this.#readAhead(next);
      const forgotten = this.#forgotten;
      if (!(await this.#apply(next.delivery)) || this.#forgotten !== forgotten) {
        next = await this.#next(await this.checkpoint());
        continue;
      }
      this.#checkpoint = next.delivery.checkpoint;
      this.#parts.onProgress?.({ projection: this.projection, records: next.records });
      next = await following;
    }
  }

  /** Reads the next delivery while the store is busy with this one; a failure waits until it is awaited. */
  #readAhead(current: NextDelivery): Promise<NextDelivery | undefined> {
    const following = this.#next(current.delivery.checkpoint);
    following.catch(() => undefined);
    return following;
  }

  #next(after: number): Promise<NextDelivery | undefined> {
    const { scope, source } = this.#parts;
    return source.next(scope, this.projection, after, this.#underway);
  }

  /** False when the store stands elsewhere than where the delivery was read from: it must be read anew. */
  async #apply(next: Delivery): Promise<boolean> {
    const { scope, store } = this.#parts;
    if (next.batches.some(({ isNew }) => isNew !== true)) await this.#readNotes();
    const delivery = this.#quarantined.withoutPrevious(next);
    try {
      await store.apply(scope, this.projection.collection, delivery);
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
      // An empty file that took the place of a damaged one does not know the collection: `refused`.
      if ((await this.#hasMoved(delivery)) || this.#isFirstConflict(delivery, cause)) return false;
      if (!(await this.#applyWithoutRefusals(delivery, cause))) return false;
    }
    this.#conflictAfter = undefined;
    await this.#passNotes(delivery);
    return true;
  }

  /**
   * Reads what is noted of refused records, as another process may have brought the store to where this
   * delivery begins, and had refused what this one tells as the version before.
   */
  async #readNotes(): Promise<void> {
    const { scope, journal } = this.#parts;
    this.#quarantined = new Quarantined(await readNotes(journal, scope, this.projection));
  }

  /** Notes that quarantined versions were followed by one that the store takes, or by a deletion. */
  async #passNotes(delivery: Delivery): Promise<void> {
    const { scope, journal } = this.#parts;
    const passed = this.#quarantined.passedBy(delivery);
    if (passed.length === 0) return;
    await journal.passQuarantine(scope, passed);
    this.#quarantined.add(passed);
  }

  /**
   * Whether a store that stands where the delivery was read from refused it for the first time. It may have
   * stood elsewhere then, and another process brought it there since: no record is suspected yet.
   */
  #isFirstConflict({ after }: Delivery, { code }: StoreError): boolean {
    if (code !== "conflict" || this.#conflictAfter === after) return false;
    this.#conflictAfter = after;
    return true;
  }

  /** Asks the store anew where it stands: was that the reason for a refusal, and none of the records? */
  async #hasMoved({ after, checkpoint }: Delivery): Promise<boolean> {
    this.#checkpoint = undefined;
    const stands = await this.checkpoint();
    return stands !== after || (this.#underway > stands && checkpoint > this.#underway);
  }

  /** False when the store has moved meanwhile. */
  async #applyWithoutRefusals(delivery: Delivery, failure: StoreError): Promise<boolean> {
    const { scope, store, journal, runtime } = this.#parts;
    const isolated = await isolateRefusals(scope, this.projection, store, {
      delivery,
      failure,
      generation: this.#trial,
    });
    const later = this.#quarantined.laterThan(isolated.refusals);
    if (later.length > 0) {
      // Refused in a later version already: the store has gone back, or another process went on.
      if (await this.#hasMoved(delivery)) return false;
      await journal.dropQuarantine(scope, later);
    }
    // Written down first: a crash in between tells them again, and never leaves one unlisted.
    const rows = await quarantineRefusals(journal, scope, this.projection, {
      refusals: isolated.refusals,
      known: this.#quarantined,
      at: runtime.clock(),
    });
    this.#quarantined.add(rows);
    try {
      await store.apply(scope, this.projection.collection, isolated.delivery);
    } catch (cause) {
      if (isRefusal(cause) && (await this.#hasMoved(delivery))) return false;
      throw cause;
    }
    return true;
  }

  /** Repeats what an unavailable or full store answered, with growing pauses. */
  async #retrying(work: () => Promise<void>): Promise<void> {
    const { runtime, signal } = this.#parts;
    for (
      let pauseMs = RETRY_FIRST_MS;
      !signal.aborted;
      pauseMs = Math.min(pauseMs * 2, RETRY_LAST_MS)
    ) {
      try {
        await work();
        this.#reason = undefined;
        return;
      } catch (cause) {
        if (signal.aborted) return;
        if (!(cause instanceof StoreError) || !cause.retryable) throw cause;
        if (this.#condition !== "waiting") {
          this.#parts.onNotice?.(
            `waiting for ${projectionLabel(this.projection)}: ${cause.message}`,
          );
        }
        this.#condition = "waiting";
        this.#reason = cause.message;
        const jitter = 0.5 + (runtime.random(1)[0] ?? 0) / 512;
        await runtime.sleep(pauseMs * jitter, signal);
        // The store may have come back empty or older: its own checkpoint counts.
        this.#checkpoint = undefined;
      }
    }
  }

  #failure(cause: unknown): CoreError {
    const { role } = this.projection;
    const label = projectionLabel(this.projection);
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new CoreError(
      "failed",
      `projection ${label} stopped: ${reason}; try \`custody rebuild ${role}\``,
      {
        cause,
      },
    );
  }
}
