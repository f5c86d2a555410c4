import { StoreError } from "@custody/stores/errors";

/** How waiting is done where a lock is had: in virtual time, or in real time by tests. */
export interface LockTime {
  readonly clock: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

/** TenantLock: one holder at a time, the others in the order they came, each until its deadline. */
export class TenantLock {
  readonly #time: LockTime;
  readonly #waiting: (() => void)[] = [];
  #isHeld = false;

  constructor(time: LockTime) {
    this.#time = time;
  }

  /** Resolves when the lock is had; answers what gives it back. @throws StoreError `unavailable`. */
  async take(deadline: number): Promise<() => void> {
    const { clock, sleep } = this.#time;
    if (this.#isHeld) {
      const turn = Promise.withResolvers<void>();
      this.#waiting.push(turn.resolve);
      if (Number.isFinite(deadline)) {
        void sleep(Math.max(0, deadline - clock())).then(() => {
          const place = this.#waiting.indexOf(turn.resolve);
          if (place < 0) return;
          this.#waiting.splice(place, 1);
          turn.reject(new StoreError("unavailable", "the tenant's lock was not had in time"));
        });
      }
      await turn.promise;
    }
    this.#isHeld = true;
    let isMine = true;
    return () => {
      if (!isMine) return;
      isMine = false;
      const next = this.#waiting.shift();
      this.#isHeld = next !== undefined;
      next?.();
    };
  }
}
