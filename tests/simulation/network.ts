import { StoreError } from "@custody/stores/errors";
import type { StoreErrorCode } from "@custody/stores/errors";

import { openWindows } from "./faults.ts";
import type { Fault, StoreName, WindowKind } from "./faults.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

/** A process, as a store's client is in it. */
export interface Caller {
  /** Unique to this run of the process. */
  readonly number: number;
  readonly slot: number;
  /** Counts a call and ends the process there when a fault says so; true when it has ended. */
  readonly endsAt: (phase: "before" | "after", call: number) => boolean;
  /** The number of the next call. */
  readonly nextCall: () => number;
}

/** One call of a store. */
export interface Call<Answer> {
  readonly store: StoreName;
  readonly label: string;
  readonly isWrite: boolean;
  /** Does it, in the store. */
  readonly perform: () => Promise<Answer>;
  /** Does it once more, long after; as `perform` when left out. */
  readonly performLate?: () => Promise<unknown>;
  /** What a store that writes in bulk has done when it fails in the midst. */
  readonly performInPart?: (share: number) => void;
  /** Whether a client may send it twice. */
  readonly isRepeatable?: boolean;
  /** The connection broke: what the store does then, given what it had answered. */
  readonly onBroken?: (answer: Answer | undefined) => void;
  /** Turns bits of what was read. */
  readonly flip?: (answer: Answer) => Answer;
}

export interface NetworkParts {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly faults: readonly Fault[];
  /** Of virtual time, at which the faults' instants begin. */
  readonly startMs: number;
}

/** What becomes of one call. */
interface Fate {
  readonly inMs: number;
  readonly outMs: number;
  readonly refusal?: StoreErrorCode;
  readonly isAnswerLost: boolean;
  readonly partShare?: number;
  readonly repeatMs?: number;
  readonly isFlipped: boolean;
}

/** Network: between processes and stores, where answers wait and get lost. */
export class Network {
  readonly #parts: NetworkParts;
  #isHealed = false;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
  }

  /** From now on nothing goes wrong any more. */
  heal(): void {
    this.#isHealed = true;
  }

  /** Makes a call in virtual time. A process that ends meanwhile never hears of it again. */
  call<Answer>(caller: Caller, call: Call<Answer>): Promise<Answer> {
    const { scheduler } = this.#parts;
    const number = caller.nextCall();
    const fate = this.#fate(call);
    const label = `${call.store} ${call.label}`;
    return new Promise((resolve, reject) => {
      const answer = (kind: string, give: () => void): void =>
        scheduler.after(fate.outMs, `< ${label} ${kind}`, give, caller.number);
      const fail = (cause: unknown): void => {
        const kind = cause instanceof StoreError ? cause.code : "failed";
        answer(kind, () => reject(cause as Error));
      };
      const arrive = (): void => {
        if (caller.endsAt("before", number)) return;
        if (fate.refusal !== undefined) {
          if (fate.refusal === "unavailable") call.onBroken?.(undefined);
          return fail(refusalOf(call, fate.refusal));
        }
        if (fate.partShare !== undefined && call.performInPart !== undefined) {
          this.#inPart(call.performInPart, fate.partShare);
          return fail(refusalOf(call, "unavailable"));
        }
        const done = call.perform();
        if (fate.repeatMs !== undefined)
          scheduler.after(fate.repeatMs, `>> ${label}`, () => {
            void (call.performLate ?? call.perform)().catch(ignore);
          });
        done.then((value) => {
          if (fate.isAnswerLost) {
            call.onBroken?.(value);
            return fail(refusalOf(call, "unavailable"));
          }
          const given = fate.isFlipped && call.flip !== undefined ? call.flip(value) : value;
          answer("ok", () => resolve(given));
        }, fail);
        caller.endsAt("after", number);
      };
      scheduler.after(fate.inMs, `> ${label}`, arrive, caller.number);
    });
  }

  #inPart(performInPart: (share: number) => void, share: number): void {
    try {
      performInPart(share);
    } catch {
      // What would be refused whole is refused in part as well, and the caller hears of a failure anyway.
    }
  }

  #fate<Answer>({ store, isWrite, isRepeatable = false }: Call<Answer>): Fate {
    const { scheduler, random, faults, startMs } = this.#parts;
    const open: ReadonlySet<WindowKind> = this.#isHealed
      ? new Set()
      : openWindows(faults, store, scheduler.nowMs - startMs);
    // Drawn whatever is open, so that taking a fault away changes as little as possible.
    const [first, second, third] = [random.below(1_000), random.below(1_000), random.below(1_000)];
    const slowMs = open.has("slow") ? 200 + first * 4 : 0;
    const isUnreachable = open.has("down") || (open.has("flapping") && second < 500);
    const isFull = isWrite && open.has("full");
    return {
      inMs: 0.1 + first / 500 + slowMs,
      outMs: 0.1 + second / 500 + slowMs,
      ...(isUnreachable ? { refusal: "unavailable" as const } : {}),
      ...(!isUnreachable && isFull ? { refusal: "full" as const } : {}),
      isAnswerLost: open.has("deaf") && third < 400,
      ...((open.has("partial") || open.has("short")) && third < 500
        ? { partShare: third / 500 }
        : {}),
      ...(isRepeatable && open.has("repeating") ? { repeatMs: 1 + third * third } : {}),
      isFlipped: open.has("flipping") && third < 300,
    };
  }
}

function refusalOf(
  { store, label }: Pick<Call<unknown>, "store" | "label">,
  code: StoreErrorCode,
): StoreError {
  return new StoreError(code, `simulated: ${store} ${label} is ${code}`);
}

const ignore = (): void => undefined;
