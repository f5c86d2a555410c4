import type { RedisClient, RedisConnection } from "../drivers/redis.ts";
import type { Scope } from "../scope.ts";

type Listener = (bytes: Uint8Array) => void;

// A connection that only listens would not notice that the other end is gone.
const HEARTBEAT_MS = 15_000;

/** RedisNotices: who in this process listens to which channel, on one connection for all. */
export class RedisNotices implements AsyncDisposable {
  readonly #redis: RedisConnection;
  readonly #listeners = new Map<string, Set<Listener>>();
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  async subscribe(scope: Scope, channel: string, listener: Listener): Promise<AsyncDisposable> {
    const client = this.#start();
    // The same function may listen twice.
    const own: Listener = (bytes) => listener(bytes);
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(own));
    const of = { scope, doing: "listen to a channel" };
    try {
      await this.#redis.call(of, () => client.subscribe(channel));
    } catch (cause) {
      this.#forget(channel, own);
      throw cause;
    }
    return {
      [Symbol.asyncDispose]: async () => {
        if (!this.#forget(channel, own)) return;
        await this.#redis.call(of, () => client.unsubscribe(channel));
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#listeners.clear();
    await Promise.resolve();
  }

  #start(): RedisClient {
    const client = this.#redis.subscriber();
    if (this.#heartbeat !== undefined) return client;
    client.on("messageBuffer", (channel: Buffer, message: Buffer) => {
      const listeners = this.#listeners.get(channel.toString("utf8")) ?? [];
      for (const listener of listeners) listener(new Uint8Array(message));
    });
    // An answer that does not come makes the library connect, and listen, anew.
    this.#heartbeat = setInterval(() => void client.ping().catch(() => undefined), HEARTBEAT_MS);
    this.#heartbeat.unref();
    return client;
  }

  /** True when no one listens to the channel any more. */
  #forget(channel: string, listener: Listener): boolean {
    const listeners = this.#listeners.get(channel);
    if (listeners?.delete(listener) !== true || listeners.size > 0) return false;
    this.#listeners.delete(channel);
    return true;
  }
}
