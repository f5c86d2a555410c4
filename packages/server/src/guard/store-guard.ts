import type { BreakerReport } from "@custody/core/stores";
import { StoreError } from "@custody/stores/errors";
import {
  BrokenCircuitError,
  circuitBreaker,
  CircuitState,
  ConsecutiveBreaker,
  DelegateBackoff,
  ExponentialBackoff,
  handleType,
  retry,
  TaskCancelledError,
  timeout,
  TimeoutStrategy,
} from "cockatiel";
import type { CircuitBreakerPolicy, RetryPolicy } from "cockatiel";

import type { CallRule, CallTimes } from "./call-rules.ts";

/** When a store is no longer asked, when again, and what is repeated. */
export interface GuardSettings {
  /** Calls in a row without an answer after which a store is not asked for a while. */
  readonly failuresMax: number;
  /** The first such while; it doubles each time, up to the last. */
  readonly openFirstMs: number;
  readonly openLastMs: number;
  /** How often a call that may be repeated is repeated. */
  readonly retriesMax: number;
  /** A call that took longer to fail is not repeated: its caller has waited long enough. */
  readonly promptMs: number;
  /** The first pause before that; the next are drawn, and grow. */
  readonly pauseFirstMs: number;
  readonly pauseLastMs: number;
  readonly times: CallTimes;
}

/** Defaults of {@link GuardSettings}. */
export const GUARD_SETTINGS: GuardSettings = {
  failuresMax: 5,
  openFirstMs: 1_000,
  openLastMs: 15_000,
  retriesMax: 2,
  promptMs: 3_000,
  pauseFirstMs: 100,
  pauseLastMs: 2_000,
  // Drivers end a call after 30 s unless the URL says otherwise, and a delivery is many calls; these are
  // for what no driver notices, such as a thread that hangs.
  times: { readMs: 120_000, writeMs: 600_000 },
};

export interface StoreGuardParts {
  readonly store: BreakerReport["store"];
  /** The engine's product, for people. */
  readonly product: string;
  readonly settings: GuardSettings;
  readonly clock: () => number;
  /** Strong or weak, it only keeps processes from asking all at once. */
  readonly random: (length: number) => Uint8Array;
  /** Told once when the store is no longer asked, and once when it answers again. */
  readonly onNotice?: (text: string) => void;
}

/** One call of a guarded store. */
export interface GuardedCall<Answer> {
  /** The method's name, for messages. */
  readonly name: string;
  readonly rule: CallRule;
  /** Epoch milliseconds until which the caller waits; `Infinity` for ever. */
  readonly deadline: number;
  readonly work: () => Promise<Answer>;
}

/** What a call came to: a refusal is an answer as well, and shows that the store is there. */
type Outcome<Answer> = { readonly answer: Answer } | { readonly refusal: unknown };

// A driver that keeps to a deadline is a little late itself.
const DEADLINE_GRACE_MS = 1_000;
// Node's timers count milliseconds in 31 bits.
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * StoreGuard: calls of one server, of which none waits long for a server that does not answer.
 *
 * After some calls in a row without an answer the store is not asked for a while (the breaker is
 * open): calls are refused at once, saying since when and until when. Then one call is let through, and
 * its outcome decides for all. Reads, and writes that may be repeated, are repeated after a drawn pause.
 */
export class StoreGuard {
  readonly #parts: StoreGuardParts;
  readonly #breaker: CircuitBreakerPolicy;
  readonly #retry: RetryPolicy;
  #open: { readonly since: number; readonly reason: string } | undefined;
  #retryAt = 0;
  #reason = "";

  constructor(parts: StoreGuardParts) {
    this.#parts = parts;
    const { settings } = parts;
    const missed = handleType(UnansweredError);
    this.#breaker = circuitBreaker(missed, {
      breaker: new ConsecutiveBreaker(settings.failuresMax),
      halfOpenAfter: new DelegateBackoff(({ attempt }) => this.#pause(attempt)),
    });
    this.#breaker.onBreak(() => this.#noteOpen());
    this.#breaker.onReset(() => this.#noteClosed());
    this.#retry = retry(
      handleType(UnansweredError, ({ isPrompt }) => isPrompt),
      {
        maxAttempts: settings.retriesMax,
        backoff: new ExponentialBackoff({
          initialDelay: settings.pauseFirstMs,
          maxDelay: settings.pauseLastMs,
        }),
      },
    );
  }

  /** Why and until when the store is not asked; `undefined` while it is. */
  get report(): BreakerReport | undefined {
    if (this.#open === undefined) return undefined;
    return {
      store: this.#parts.store,
      state: this.#breaker.state === CircuitState.HalfOpen ? "half-open" : "open",
      ...this.#open,
      retryAt: this.#retryAt,
    };
  }

  /**
   * Makes a call through the breaker.
   *
   * @throws StoreError `unavailable` at once while the store is not asked; else as the store does.
   */
  async call<Answer>(call: GuardedCall<Answer>): Promise<Answer> {
    const once = (): Promise<Outcome<Answer>> => this.#once(call);
    let outcome: Outcome<Answer>;
    try {
      outcome = await (call.rule.isRepeatable ? this.#retry.execute(once) : once());
    } catch (cause) {
      throw cause instanceof UnansweredError ? cause.cause : cause;
    }
    if ("refusal" in outcome) throw outcome.refusal;
    return outcome.answer;
  }

  /** Refuses at once while the store is not asked; for calls whose failures say nothing about it. */
  check(): void {
    const isDue = this.#parts.clock() >= this.#retryAt;
    if (this.#breaker.state === CircuitState.Open && !isDue) throw this.#refusal();
  }

  async #once<Answer>(call: GuardedCall<Answer>): Promise<Outcome<Answer>> {
    // Cockatiel has all that come during the trial wait for it, which may take its whole time.
    if (this.#breaker.state === CircuitState.HalfOpen) throw this.#refusal();
    try {
      return await this.#breaker.execute(() => this.#attempt(call));
    } catch (cause) {
      if (cause instanceof BrokenCircuitError) throw this.#refusal();
      throw cause;
    }
  }

  async #attempt<Answer>(call: GuardedCall<Answer>): Promise<Outcome<Answer>> {
    const { clock } = this.#parts;
    const isTrial = this.#breaker.state === CircuitState.HalfOpen;
    const begunAt = clock();
    try {
      return { answer: await this.#withinTime(call) };
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== "unavailable") return { refusal: cause };
      this.#reason = cause.message;
      // A caller in a hurry is no sign of a server that is away, unless nothing else was asked.
      if (clock() >= call.deadline && !isTrial) throw cause;
      throw new UnansweredError(cause, clock() - begunAt < this.#parts.settings.promptMs);
    }
  }

  async #withinTime<Answer>({ name, rule, deadline, work }: GuardedCall<Answer>): Promise<Answer> {
    const { settings, store, product, clock } = this.#parts;
    const ownMs = rule.time === "unlimited" ? Infinity : settings.times[rule.time];
    const leftMs = Math.max(0, deadline - clock()) + DEADLINE_GRACE_MS;
    const ms = Math.min(ownMs, leftMs);
    if (ms > TIMER_MS_MAX) return work();
    try {
      return await timeout(ms, TimeoutStrategy.Aggressive).execute(work);
    } catch (cause) {
      if (!(cause instanceof TaskCancelledError)) throw cause;
      const seconds = Math.ceil(ms / 1_000);
      const reason = `${product} (${store}) did not answer \`${name}\` within ${seconds} s`;
      throw new StoreError("unavailable", reason, { cause });
    }
  }

  #pause(attempt: number): number {
    const { settings, random, clock } = this.#parts;
    const { openFirstMs, openLastMs } = settings;
    const jitter = 0.75 + (random(1)[0] ?? 0) / 1_020;
    const ms = Math.ceil(Math.min(openFirstMs * 2 ** (attempt - 1), openLastMs) * jitter);
    this.#retryAt = clock() + ms;
    return ms;
  }

  #noteOpen(): void {
    if (this.#open !== undefined) return;
    const { store, product, settings, clock, onNotice } = this.#parts;
    this.#open = { since: clock(), reason: this.#reason };
    onNotice?.(
      `${product} (${store}) did not answer ${settings.failuresMax} times in a row and is asked more rarely until it does: ${this.#reason}`,
    );
  }

  #noteClosed(): void {
    this.#open = undefined;
    this.#parts.onNotice?.(`${this.#parts.product} (${this.#parts.store}) answers again`);
  }

  #refusal(): StoreError {
    const { store, product } = this.#parts;
    const since = instant(this.#open?.since ?? this.#retryAt);
    return new StoreError(
      "unavailable",
      `${product} (${store}) has not answered since ${since} and is asked again at ${instant(this.#retryAt)}; its last failure: ${this.#reason}`,
    );
  }
}

function instant(ms: number): string {
  return new Date(ms).toISOString();
}

/** A call that the store did not answer; it counts against the store. */
class UnansweredError extends Error {
  override readonly cause: StoreError;
  /** Whether it failed soon, as when a connection breaks, and not by waiting in vain. */
  readonly isPrompt: boolean;

  constructor(cause: StoreError, isPrompt: boolean) {
    super(cause.message);
    this.cause = cause;
    this.isPrompt = isPrompt;
  }
}
