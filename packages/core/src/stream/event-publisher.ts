import { StoreError } from "@custody/stores/errors";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";
import type { EventSource, EventStream } from "@custody/stores/stream/port";

import { CoreError } from "../errors.ts";
import { topicsOf, typesOfTopic } from "../query/journal-events.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";

export interface EventPublisherParts {
  readonly journal: JournalStore;
  readonly registry: TypeRegistry;
  readonly source: EventSource;
  readonly stream: () => Promise<EventStream>;
  readonly runtime: Runtime;
  /** Told once when the stream begins to be waited for, in a sentence for people. */
  readonly onNotice?: (text: string) => void;
}

/** How the telling of a tenant's events stands. */
export interface PublishingState {
  /** Entries whose events are yet to be told: 0 when all were. */
  readonly lag: number;
  readonly condition: "ok" | "lagging" | "waiting" | "failed";
  /** Why it waits or has failed. */
  readonly reason?: string;
}

/** One topic of one tenant, while it is followed. */
interface Following {
  isAgainWanted: boolean;
  condition: "running" | "waiting" | "failed";
  reason?: string;
  /** Resolves when everything was told, or cannot be told for now. */
  come: PromiseWithResolvers<void>;
}

const EVENTS_PER_BATCH = 1_000;
const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 30_000;
const CLOSING_PATIENCE_MS = 2_000;
const CLOSING_STEP_MS = 20;

/**
 * EventPublisher: follows the journal into a stream that is a server of its own.
 *
 * Tells the events of each topic in order and remembers in the journal's store how far it has come, so
 * that after a crash the last batch may be told twice and none is left out. A stream that cannot be
 * reached is tried again for as long as it takes, and delays nothing else.
 */
export class EventPublisher {
  readonly #parts: EventPublisherParts;
  readonly #abort = new AbortController();
  readonly #following = new Map<string, Following>();
  #needed: Promise<EventStream | undefined> | undefined;

  constructor(parts: EventPublisherParts) {
    this.#parts = parts;
  }

  /** Begins to tell what was left when the installation was last closed, in the background. */
  begin(): void {
    if (topicsOf(this.#parts.registry).length === 0) return;
    this.#beginAll().catch((cause: unknown) => {
      if (!this.#abort.signal.aborted)
        this.#parts.onNotice?.(`events are not told: ${reasonOf(cause)}`);
    });
  }

  /** Tells in the background what was committed of these types. */
  notify(scope: Scope, types: ReadonlySet<string>): void {
    for (const topic of topicsOf(this.#parts.registry)) {
      const isMeant = typesOfTopic(this.#parts.registry, topic).some((type) => types.has(type));
      if (isMeant) this.#follow(scope, topic);
    }
  }

  /**
   * Waits until everything was told that is in the journal now, or until the stream is waited for: then
   * it goes on in the background, and the state tells why.
   *
   * @throws CoreError `failed` when the stream refuses an event.
   */
  async catchUp(scope: Scope): Promise<void> {
    if ((await this.#stream()) === undefined) return;
    const topics = topicsOf(this.#parts.registry);
    await Promise.all(topics.map((topic) => this.#follow(scope, topic).come.promise));
    const failed = topics
      .map((topic) => this.#following.get(keyOf(scope, topic)))
      .find((one) => one?.condition === "failed");
    if (failed === undefined) return;
    throw new CoreError(
      "failed",
      `the stream does not take the journal's events: ${failed.reason}`,
    );
  }

  /** What is yet to be told; nothing ever where the stream reads the journal itself. */
  async state(scope: Scope): Promise<PublishingState> {
    if ((await this.#stream()) === undefined) return { lag: 0, condition: "ok" };
    const { registry } = this.#parts;
    const topics = topicsOf(registry);
    const lags = await Promise.all(topics.map((topic) => this.#lag(scope, topic)));
    const lag = lags.reduce((sum, each) => sum + each, 0);
    const followed = topics.flatMap((topic) => this.#following.get(keyOf(scope, topic)) ?? []);
    const stopped =
      followed.find(({ condition }) => condition === "failed") ??
      followed.find(({ condition }) => condition === "waiting");
    if (stopped === undefined || stopped.condition === "running") {
      return { lag, condition: lag > 0 ? "lagging" : "ok" };
    }
    const { condition, reason } = stopped;
    return { lag, condition, ...(reason === undefined ? {} : { reason }) };
  }

  /** Stops. What is just being told gets a moment; what waits for the stream goes on next time. */
  async close(): Promise<void> {
    const { sleep } = this.#parts.runtime;
    const isBusy = (): boolean =>
      [...this.#following.values()].some(({ condition }) => condition === "running");
    for (
      let waitedMs = 0;
      isBusy() && waitedMs < CLOSING_PATIENCE_MS;
      waitedMs += CLOSING_STEP_MS
    ) {
      await sleep(CLOSING_STEP_MS);
    }
    this.#abort.abort();
    // A stream that is just being opened is closed with the other stores.
    await this.#needed?.catch(() => undefined);
  }

  async #beginAll(): Promise<void> {
    if ((await this.#stream()) === undefined) return;
    const deadline = Number.POSITIVE_INFINITY;
    for (const tenant of await this.#parts.journal.tenants()) {
      const scope = { tenant, actor: "service:publisher", deadline };
      for (const topic of topicsOf(this.#parts.registry)) this.#follow(scope, topic);
    }
  }

  /** The stream, where it must be told of events; opened when it is first needed. */
  #stream(): Promise<EventStream | undefined> {
    const opening = (this.#needed ??= this.#parts
      .stream()
      .then((stream) => (stream.capabilities.isJournalCursor ? undefined : stream)));
    opening.catch(() => {
      if (this.#needed === opening) this.#needed = undefined;
    });
    return opening;
  }

  #follow({ tenant }: Scope, topic: string): Following {
    const key = keyOf({ tenant }, topic);
    const known = this.#following.get(key);
    if (known !== undefined && known.condition !== "failed") {
      known.isAgainWanted = true;
      return known;
    }
    const scope: Scope = { tenant, actor: "service:publisher", deadline: Number.POSITIVE_INFINITY };
    const come = Promise.withResolvers<void>();
    const following: Following = {
      isAgainWanted: true,
      condition: "running",
      come,
    };
    this.#following.set(key, following);
    void this.#run(scope, topic, following);
    return following;
  }

  async #run(scope: Scope, topic: string, following: Following): Promise<void> {
    const { runtime, onNotice } = this.#parts;
    const { signal } = this.#abort;
    let pauseMs = RETRY_FIRST_MS;
    while (following.isAgainWanted && !signal.aborted) {
      following.isAgainWanted = false;
      try {
        await this.#tell(scope, topic, () => {
          if (following.condition !== "running") following.come = Promise.withResolvers();
          following.condition = "running";
          pauseMs = RETRY_FIRST_MS;
        });
      } catch (cause) {
        if (signal.aborted) break;
        const isPassing = cause instanceof StoreError && cause.retryable;
        const condition = isPassing ? "waiting" : "failed";
        following.reason = reasonOf(cause);
        if (following.condition !== condition) {
          const what = isPassing ? "waiting for the stream" : "the stream stopped";
          onNotice?.(`${what}, topic ${topic}: ${following.reason}`);
        }
        following.condition = condition;
        following.come.resolve();
        // It stays in the list, for its state to be seen, until something is committed again.
        if (!isPassing) return;
        following.isAgainWanted = true;
        await runtime.sleep(pauseMs * (0.5 + (runtime.random(1)[0] ?? 0) / 512), signal);
        pauseMs = Math.min(pauseMs * 2, RETRY_LAST_MS);
      }
    }
    this.#following.delete(keyOf(scope, topic));
    following.come.resolve();
  }

  /** Tells everything from where it last came to, batch by batch. */
  async #tell(scope: Scope, topic: string, onTold: () => void): Promise<void> {
    const { journal, source } = this.#parts;
    const stream = await this.#stream();
    if (stream === undefined) return;
    const name = stateName(topic);
    let after = (await journal.state(scope, name)) ?? "0";
    let next = source(scope, topic, { after, limit: EVENTS_PER_BATCH });
    for (;;) {
      const events = await next;
      const last = events.at(-1);
      if (last === undefined || this.#abort.signal.aborted) break;
      after = last.offset;
      // Read while the batch is being sent; a failure waits until it is awaited.
      next = source(scope, topic, { after, limit: EVENTS_PER_BATCH });
      next.catch(() => undefined);
      await stream.publish(
        scope,
        events.map(({ topic: of, key, eventId, body }) => ({ topic: of, key, eventId, body })),
      );
      await journal.putState(scope, name, after);
      onTold();
    }
    onTold();
  }

  async #lag(scope: Scope, topic: string): Promise<number> {
    const { journal, registry } = this.#parts;
    const last = await journal.lastSequence(scope, typesOfTopic(registry, topic));
    const told = (await journal.state(scope, stateName(topic))) ?? "0";
    const [sequence = 0, ordinal = 0] = told.split(".").map(Number);
    if (sequence === 0 || sequence < last) return last - sequence;
    // The last entry may have been told in part.
    const count = (await journal.entry(scope, sequence))?.count ?? 0;
    return ordinal + 1 < count ? 1 : 0;
  }
}

function keyOf({ tenant }: Pick<Scope, "tenant">, topic: string): string {
  return `${tenant} ${topic}`;
}

function stateName(topic: string): string {
  return `stream/${topic}`;
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
