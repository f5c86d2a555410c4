type Listener = (bytes: Uint8Array) => void;

/** MemoryNotices: who in this process listens to which channel. */
export class MemoryNotices {
  readonly #listeners = new Map<string, Set<Listener>>();

  /** Tells everyone who listens now, after the publisher's own step is over. */
  publish(channel: string, bytes: Uint8Array): void {
    const copy = bytes.slice();
    for (const listener of this.#listeners.get(channel) ?? []) {
      queueMicrotask(() => {
        if (this.#listeners.get(channel)?.has(listener) === true) listener(copy.slice());
      });
    }
  }

  subscribe(channel: string, listener: Listener): AsyncDisposable {
    // The same function may listen twice.
    const own: Listener = (bytes) => listener(bytes);
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(own));
    return {
      [Symbol.asyncDispose]: async () => {
        listeners.delete(own);
        if (listeners.size === 0) this.#listeners.delete(channel);
        await Promise.resolve();
      },
    };
  }
}
