import type { Scope } from "@custody/stores/scope";
import type { IntakePage, IntakePosition } from "@custody/stores/stream/intake";
import type { EventStream } from "@custody/stores/stream/port";

import { CoreError } from "../errors.ts";
import type { AuditLog } from "../operations/audit.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";
import { CommitMessages } from "./commit-messages.ts";
import type { CommitMessagesParts } from "./commit-messages.ts";
import { readPositions } from "./positions.ts";
import type { ConsumeSource, TopicPositions } from "./positions.ts";

export interface ConsumingParts extends CommitMessagesParts {
  readonly registry: TypeRegistry;
  readonly runtime: Runtime;
  readonly audit: AuditLog;
  readonly stream: () => Promise<EventStream>;
  /** Looks at a tenant's types before the tenant's first write. */
  readonly accept: (scope: Scope) => Promise<void>;
  readonly onNotice?: (text: string) => void;
}

export interface ConsumeOptions {
  /** Ends the reading; what is being committed is finished first. */
  readonly signal?: AbortSignal;
  /** Ends the reading after so many messages. */
  readonly maxMessages?: number;
  /** Told after each commit. */
  readonly onProgress?: (so: ConsumeReport) => void;
}

/** What came of the messages that were read. */
export interface ConsumeReport {
  readonly messages: number;
  /** Records committed. */
  readonly records: number;
  /** Records that were there already. */
  readonly duplicates: number;
  /** Messages, or records in them, that are kept as `custody/rejected_inputs`. */
  readonly rejected: number;
  /** Messages that the server had deleted before they were read. */
  readonly lost: number;
}

const MESSAGES_PER_COMMIT = 2_000;
const BYTES_PER_COMMIT = 8 * 1024 * 1024;
const WAIT_MS = 500;
const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 30_000;

/**
 * Reads a topic into commits, until the signal or the number of messages ends it: each commit holds the
 * records and how far the topic was read, so that each message's records are committed once whatever
 * dies in between. Two that read the same topic see each other's positions and go on from there.
 *
 * A server that cannot be reached is waited for.
 *
 * @throws CoreError `usage`, `conflict`; StoreError `unsupported` where the stream takes nothing in,
 * `refused` for a topic that does not exist.
 */
export async function consume(
  parts: ConsumingParts,
  scope: Scope,
  source: ConsumeSource,
  options: ConsumeOptions,
): Promise<ConsumeReport> {
  requireConsumable(parts, source);
  const stream = await parts.stream();
  // Asked before the audit log is told: what can never be read is not begun.
  const positions = await readPositions(parts, scope, source, stream);
  const { topic: resource, type } = source;
  const metadata = { type };
  await parts.audit.write(scope, { action: "consume.start", resource, metadata }, "done");
  const consumption = new Consumption(parts, { scope, source, stream, options });
  const stop = { action: "consume.stop", resource };
  let outcome: "done" | "failed" = "failed";
  try {
    await consumption.run(positions);
    outcome = "done";
  } finally {
    const so = { ...consumption.report };
    await parts.audit.write(scope, { ...stop, metadata: { ...metadata, ...so } }, outcome);
  }
  return consumption.report;
}

function requireConsumable({ registry }: ConsumingParts, { type }: ConsumeSource): void {
  const { name } = registry.require(type);
  if (!name.startsWith("custody/")) return;
  throw new CoreError("usage", `${name} is written by Custody itself and never read from a topic`);
}

interface Under {
  readonly scope: Scope;
  readonly source: ConsumeSource;
  readonly stream: EventStream;
  readonly options: ConsumeOptions;
}

/** Consumption: one topic being read, with what came of it so far. */
class Consumption {
  readonly #parts: ConsumingParts;
  readonly #under: Under;
  readonly #commit: CommitMessages;
  #messages = 0;
  #lost = 0;
  #isWaiting = false;

  constructor(parts: ConsumingParts, under: Under) {
    this.#parts = parts;
    this.#under = under;
    this.#commit = new CommitMessages(parts, under.scope, under.source);
  }

  get report(): ConsumeReport {
    return { messages: this.#messages, ...this.#commit.counts, lost: this.#lost };
  }

  async run(first: TopicPositions): Promise<void> {
    const { runtime } = this.#parts;
    const { signal } = this.#under.options;
    let known: TopicPositions | undefined = first;
    let pauseMs = RETRY_FIRST_MS;
    while (!this.#hasEnded()) {
      try {
        known ??= await this.#positions();
        await this.#follow(known, () => {
          pauseMs = RETRY_FIRST_MS;
          this.#isWaiting = false;
        });
      } catch (cause) {
        if (!isPassing(cause) || runtime.clock() >= this.#under.scope.deadline) throw cause;
        this.#tellWaiting(cause);
        await runtime.sleep(pauseMs * (0.5 + (runtime.random(1)[0] ?? 0) / 512), signal);
        pauseMs = Math.min(pauseMs * 2, RETRY_LAST_MS);
      }
      // What was committed, by this reader or another, is in the journal and nowhere else.
      known = undefined;
    }
  }

  /** Reads on from known positions; returns when another reader has moved them, or at the end. */
  async #follow({ positions, versions }: TopicPositions, onRead: () => void): Promise<void> {
    let next = this.#read(positions, 0);
    let at = versions;
    for (;;) {
      const page = await next;
      onRead();
      this.#noticeLost(page);
      const count = page.messages.length;
      // The next page is read while this one is committed; a failure waits until it is awaited.
      next = this.#read(page.positions, count);
      next.catch(() => undefined);
      if (count > 0) {
        const committed = await this.#commit.commit(page.messages, at);
        if (committed === undefined) return;
        at = committed;
        this.#messages += count;
        this.#under.options.onProgress?.(this.report);
      }
      if (this.#hasEnded()) return;
    }
  }

  /** @param underway messages that are being committed meanwhile. */
  async #read(positions: readonly IntakePosition[], underway: number): Promise<IntakePage> {
    const { scope, source, stream, options } = this.#under;
    const left = (options.maxMessages ?? Infinity) - this.#messages - underway;
    if (left <= 0 || options.signal?.aborted === true) return { messages: [], positions, lost: 0 };
    return await stream.fetch(scope, source.topic, {
      positions,
      messagesMax: Math.min(MESSAGES_PER_COMMIT, left),
      bytesMax: BYTES_PER_COMMIT,
      waitMs: WAIT_MS,
    });
  }

  #positions(): Promise<TopicPositions> {
    const { scope, source, stream } = this.#under;
    return readPositions(this.#parts, scope, source, stream);
  }

  #hasEnded(): boolean {
    const { signal, maxMessages = Infinity } = this.#under.options;
    return signal?.aborted === true || this.#messages >= maxMessages;
  }

  #noticeLost({ lost }: IntakePage): void {
    if (lost === 0) return;
    this.#lost += lost;
    const { topic } = this.#under.source;
    this.#parts.onNotice?.(`${lost} messages of ${topic} were deleted before they were read`);
  }

  #tellWaiting(cause: Error): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#parts.onNotice?.(`waiting for evidence of ${this.#under.source.topic}: ${cause.message}`);
  }
}

function isPassing(cause: unknown): cause is Error {
  return cause instanceof Error && "retryable" in cause && cause.retryable === true;
}
