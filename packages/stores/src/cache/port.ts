import type { Scope } from "../scope.ts";

/**
 * Cache: keyed bytes, counters and windows that may vanish at any moment.
 *
 * Never the only copy of anything. Time is the injected clock's. Values, counters and windows are three
 * name spaces of keys; bytes are copied in and out.
 */
export interface Cache extends AsyncDisposable {
  readonly role: "cache";
  readonly engine: string;
  readonly limits: CacheLimits;

  /** The bytes last put under `key`, or `undefined` once expired, evicted or never put. */
  get(scope: Scope, key: string): Promise<Uint8Array | undefined>;
  /**
   * Replaces the value under `key`.
   *
   * @throws StoreError `limit` when key or value is longer than `limits` says.
   */
  put(
    scope: Scope,
    key: string,
    value: Uint8Array,
    options: { readonly ttlMs: number },
  ): Promise<void>;
  /** Forgets the key in all three name spaces. Absence is no error. */
  delete(scope: Scope, key: string): Promise<void>;
  /** Adds to a counter, atomically among all callers, and answers its new value; life begins with the first add. */
  increment(
    scope: Scope,
    key: string,
    by: number,
    options: { readonly ttlMs: number },
  ): Promise<number>;
  /**
   * Asks for one of `limit` uses in any `windowMs` (a sliding window: uses are counted from now
   * backwards, not from the clock's minute). A refused use is not counted.
   *
   * @throws StoreError `limit` when `rate.limit` is over `limits.rateMax`.
   */
  acquire(
    scope: Scope,
    key: string,
    rate: { readonly limit: number; readonly windowMs: number },
  ): Promise<RateAnswer>;
  /** Drops every entry of the tenant. */
  clear(scope: Scope): Promise<void>;
  statistics(scope: Scope): Promise<{ readonly entries: number; readonly bytes: number }>;
}

export interface CacheLimits {
  readonly keyLengthMax: number;
  readonly valueBytesMax: number;
  /** Most uses that a window may allow. */
  readonly rateMax: number;
}

export interface RateAnswer {
  readonly isAllowed: boolean;
  /** Uses left in the window after this one. */
  readonly remaining: number;
  /** Milliseconds until a refused use would be allowed; 0 when allowed. */
  readonly retryAfterMs: number;
}

/** Milliseconds since the Unix epoch. Injected, so that tests own time. */
export type Clock = () => number;
