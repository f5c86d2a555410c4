import { StoreError } from "../errors.ts";

/** Gives one caller at a time its turn, in the order of asking. */
export class TurnQueue {
  readonly #clock: () => number;
  readonly #waiting: (() => void)[] = [];
  #isTaken = false;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /**
   * Waits for the turn; the answer ends it.
   *
   * @param deadline epoch milliseconds, `Infinity` for none.
   * @throws StoreError `unavailable` when the turn has not come by then.
   */
  async take(deadline: number): Promise<() => void> {
    if (this.#isTaken) await this.#wait(deadline);
    this.#isTaken = true;
    let hasEnded = false;
    return () => {
      if (hasEnded) return;
      hasEnded = true;
      const next = this.#waiting.shift();
      // Handed on while still taken, so that nobody slips in between.
      if (next === undefined) this.#isTaken = false;
      else next();
    };
  }

  /** Runs work in a turn. */
  async run<Result>(deadline: number, work: () => Result): Promise<Result> {
    const end = await this.take(deadline);
    try {
      return work();
    } finally {
      end();
    }
  }

  #wait(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waitMs = deadline - this.#clock();
      const timer =
        waitMs > TIMER_MS_MAX ? undefined : setTimeout(() => giveUp(), Math.max(0, waitMs));
      const start = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(start), 1);
        reject(new StoreError("unavailable", "another writer held the lock until the deadline"));
      };
      this.#waiting.push(start);
    });
  }
}

// Node's timers count milliseconds in 31 bits; what waits longer than 24 days waits for ever.
const TIMER_MS_MAX = 2 ** 31 - 1;
