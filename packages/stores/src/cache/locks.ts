import type { Scope } from "../scope.ts";

/**
 * Locks: who may do something that only one should do at a time.
 *
 * They are advisory, and as mortal as the cache they live in: a lock prevents double work, never
 * double writing. Where that matters, what is written carries the token, and the store it is written to
 * refuses a lower one. Leases that the journal relies on are the relational store's.
 */
export interface Locks {
  /**
   * Takes a lock for `ttlMs`; `undefined` when someone else has it. Names are any text of at most
   * 512 UTF-16 units, and apart from the keys of the cache.
   *
   * @throws StoreError `limit` for a longer name, `refused` for a life that is no whole number above 0.
   */
  lock(
    scope: Scope,
    name: string,
    options: { readonly ttlMs: number },
  ): Promise<HeldLock | undefined>;
}

/** A lock that was taken, until its life ends. */
export interface HeldLock {
  /** Higher than that of every earlier holder, also where the cache has forgotten them since. */
  readonly token: number;
  /** Begins its life anew. @throws StoreError `conflict` when the lock was lost. */
  extend(ttlMs: number): Promise<void>;
  /** Gives it back; a lock that was lost stays as it is. */
  release(): Promise<void>;
}
