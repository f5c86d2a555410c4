import type { Scope } from "../scope.ts";

/**
 * Notices: bytes for those who listen now, such as "there is something new": live views, not delivery.
 *
 * A notice reaches each listener at most once, in order of publication by one publisher; who was not
 * there, or whose connection broke, misses it and asks the stores. Channels are any text of at most 512
 * UTF-16 units, and a tenant's own.
 */
export interface Notices {
  /**
   * Tells everyone who listens.
   *
   * @throws StoreError `limit` for a channel or notice longer than {@link NOTICE_BYTES_MAX}.
   */
  publish(scope: Scope, channel: string, bytes: Uint8Array): Promise<void>;
  /** Calls the listener for each notice from now on, until the subscription is disposed of. */
  subscribe(
    scope: Scope,
    channel: string,
    listener: (bytes: Uint8Array) => void,
  ): Promise<AsyncDisposable>;
}

/** Longest notice: it names what is new, it does not carry it. */
export const NOTICE_BYTES_MAX: number = 64 * 1024;
