import type { Runtime } from "../../runtime.ts";
import { CoreError } from "../../errors.ts";

/** How much of the machine work in the background may take. */
export interface Throttle {
  /** Share of one core, more than 0 and at most 1: 0.25 works a quarter of the time. Default 1. */
  readonly share?: number;
  /** Rows a second at most. Default no limit. */
  readonly rowsPerSecond?: number;
}

/** What work in the background takes where nobody said how much it may: a quarter of one core. */
export const BACKGROUND_THROTTLE: Throttle = { share: 0.25 };

// A clock may jump: no single step is taken for longer, nor paid for with a longer rest.
const STEP_MS_MAX = 60_000;

/** Pace: lets work rest between its steps, so that it keeps to a throttle, and ends it when asked. */
export class Pace {
  readonly #runtime: Pick<Runtime, "clock" | "sleep">;
  readonly #share: number;
  readonly #rowsPerSecond: number;
  readonly #signal: AbortSignal | undefined;
  #begunAt: number;
  readonly isThrottled: boolean;

  /** @throws CoreError `usage` for a throttle that lets nothing be done. */
  constructor(
    runtime: Pick<Runtime, "clock" | "sleep">,
    throttle: Throttle | undefined,
    signal: AbortSignal | undefined,
  ) {
    const { share = 1, rowsPerSecond = Number.POSITIVE_INFINITY } = throttle ?? {};
    if (!(share > 0 && share <= 1))
      throw new CoreError("usage", "a share of a core is more than 0 and at most 1");
    if (!(rowsPerSecond > 0)) throw new CoreError("usage", "rows per second are more than 0");
    this.#runtime = runtime;
    this.#share = share;
    this.#rowsPerSecond = rowsPerSecond;
    this.#signal = signal;
    this.#begunAt = runtime.clock();
    this.isThrottled = share < 1 || rowsPerSecond !== Number.POSITIVE_INFINITY;
  }

  /**
   * Rests for what the step since the last call has taken.
   *
   * @throws CoreError `failed` once the signal is aborted.
   */
  async rest(rows: number): Promise<void> {
    this.check();
    if (!this.isThrottled) return;
    const worked = Math.min(STEP_MS_MAX, Math.max(0, this.#runtime.clock() - this.#begunAt));
    const forShare = worked * (1 / this.#share - 1);
    const forRows = (rows / this.#rowsPerSecond) * 1_000 - worked;
    const ms = Math.min(STEP_MS_MAX, Math.max(forShare, forRows));
    if (ms >= 1) await this.#runtime.sleep(ms, this.#signal);
    this.check();
    this.#begunAt = this.#runtime.clock();
  }

  /** @throws CoreError `failed` once the signal is aborted. */
  check(): void {
    if (this.#signal?.aborted === true) {
      throw new CoreError("failed", "the comparison was stopped before its end");
    }
  }
}
