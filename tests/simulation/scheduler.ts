import { createHash } from "node:crypto";

import type { Random } from "./random.ts";

/** Something that will happen at an instant of virtual time. */
interface Event {
  readonly at: number;
  /** Drawn: of two events at one instant, the lower goes first. */
  readonly tie: number;
  readonly label: string;
  /** The process it belongs to; events of the world outlive every process. */
  readonly owner: number | undefined;
  readonly run: () => void;
}

/** Thrown when a simulation takes more events than any workload needs: something goes round for ever. */
export class EndlessError extends Error {}

// Many lines are hashed at once, as each hashing has a price of its own.
const NOTED_MAX = 32 * 1024;

/**
 * Scheduler: virtual time. It owns every pending sleep and every answer that is under way; between two
 * events all promises run until none can go on. Nothing here waits for the real clock.
 */
export class Scheduler {
  readonly #random: Random;
  readonly #eventsMax: number;
  readonly #heap: Event[] = [];
  readonly #stalled = new Map<number, number>();
  readonly #dropped = new Set<number>();
  readonly #trace = createHash("sha256");
  #noted = "";
  #nowMs: number;
  #events = 0;
  /** Told of every event, for people who follow a failing seed. */
  onEvent: ((line: string) => void) | undefined;

  constructor(random: Random, options: { readonly nowMs: number; readonly eventsMax: number }) {
    this.#random = random;
    this.#nowMs = options.nowMs;
    this.#eventsMax = options.eventsMax;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** How many events have happened. */
  get events(): number {
    return this.#events;
  }

  /** How many have yet to. */
  get pending(): number {
    return this.#heap.length;
  }

  /** Lets something happen after a while. */
  after(ms: number, label: string, run: () => void, owner?: number): void {
    if (owner !== undefined && this.#dropped.has(owner)) return;
    const at = this.#nowMs + Math.max(0, ms);
    this.#push({ at, tie: this.#random.below(2 ** 32), label, owner, run });
  }

  /** Resolves after a while. */
  sleep(ms: number, label: string, owner?: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, label, resolve, owner));
  }

  /** Whatever belongs to a process and is due before then happens only then: it was stopped meanwhile. */
  stall(owner: number, untilMs: number): void {
    this.#stalled.set(owner, untilMs);
  }

  /** Forgets what belongs to a process for ever, save what `isKept` lets happen all the same. */
  drop(owner: number, isKept: (label: string) => boolean): void {
    this.#dropped.add(owner);
    const kept = this.#heap.filter((event) => event.owner !== owner || isKept(event.label));
    this.#heap.length = 0;
    for (const event of kept) this.#push(event);
  }

  /** Notes a fact in the trace: two runs of one seed must note the same. */
  note(line: string): void {
    this.#noted += `${line}\n`;
    if (this.#noted.length > NOTED_MAX) this.#hashNoted();
    this.onEvent?.(`${this.#nowMs} ${line}`);
  }

  /** The hash of everything that has happened. */
  traceHash(): string {
    this.#hashNoted();
    return this.#trace.copy().digest("hex").slice(0, 32);
  }

  /**
   * Lets events happen, earliest first, until the condition holds or nothing is left.
   *
   * @throws EndlessError after more events than allowed.
   */
  async runUntil(isDone: () => boolean): Promise<void> {
    for (;;) {
      await everythingElse();
      if (isDone()) return;
      const event = this.#pop();
      if (event === undefined) return;
      const stalledUntil = event.owner === undefined ? 0 : (this.#stalled.get(event.owner) ?? 0);
      if (stalledUntil > event.at) {
        this.#push({ ...event, at: stalledUntil });
        continue;
      }
      this.#events += 1;
      if (this.#events > this.#eventsMax) throw new EndlessError(`still busy: ${event.label}`);
      this.#nowMs = Math.max(this.#nowMs, event.at);
      this.note(`${event.at} ${event.owner ?? "-"} ${event.label}`);
      event.run();
    }
  }

  #hashNoted(): void {
    this.#trace.update(this.#noted);
    this.#noted = "";
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(event, heap[above])) break;
      heap[at] = heap[above] ?? event;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = at * 2 + 1;
      if (left >= heap.length) break;
      const least = isBefore(heap[left + 1], heap[left]) ? left + 1 : left;
      if (!isBefore(heap[least], last)) break;
      heap[at] = heap[least] ?? last;
      at = least;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(left: Event | undefined, right: Event | undefined): boolean {
  if (left === undefined || right === undefined) return left !== undefined;
  return left.at < right.at || (left.at === right.at && left.tie < right.tie);
}

/**
 * Resolves when no promise can go on any more: Node runs the tick queue only once the queue of
 * microtasks is empty (nodejs.org/api/process.html, "When to use queueMicrotask() vs. process.nextTick()").
 */
function everythingElse(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}
