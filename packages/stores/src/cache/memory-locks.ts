import { StoreError } from "../errors.ts";
import { checkLife } from "./limits.ts";
import type { HeldLock } from "./locks.ts";
import type { Clock } from "./port.ts";

interface Lock {
  readonly token: number;
  readonly endsAt: number;
}

// Names of locks that were never given back; beyond it those that are over are forgotten.
const LOCKS_MAX = 10_000;

/** MemoryLocks: the locks of this process, which end with it. */
export class MemoryLocks {
  readonly #clock: Clock;
  readonly #locks = new Map<string, Lock>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes the lock of a name; `undefined` when it is held. */
  lock(name: string, ttlMs: number): HeldLock | undefined {
    checkLife(ttlMs);
    const now = this.#clock();
    const held = this.#locks.get(name);
    if (held !== undefined && held.endsAt > now) return undefined;
    this.#tidy(now);
    // By the clock, in microseconds, so that a token grows also where the last one was forgotten.
    const token = Math.max((held?.token ?? 0) + 1, now * 1_000);
    this.#locks.set(name, { token, endsAt: now + ttlMs });
    return {
      token,
      extend: async (ms) => {
        checkLife(ms);
        if (!this.#renew(name, token, ms)) throw new StoreError("conflict", "the lock is lost");
        await Promise.resolve();
      },
      release: async () => {
        this.#renew(name, token, 0);
        await Promise.resolve();
      },
    };
  }

  #renew(name: string, token: number, ttlMs: number): boolean {
    const now = this.#clock();
    const held = this.#locks.get(name);
    if (held?.token !== token || held.endsAt <= now) return false;
    this.#locks.set(name, { token, endsAt: ttlMs === 0 ? 0 : now + ttlMs });
    return true;
  }

  #tidy(now: number): void {
    if (this.#locks.size < LOCKS_MAX) return;
    for (const [name, { endsAt, token }] of this.#locks) {
      if (endsAt <= now && token < now * 1_000) this.#locks.delete(name);
    }
  }
}
