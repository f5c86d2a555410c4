import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";

import { StoreError } from "../errors.ts";
import { GOODBYE_CALL } from "./duckdb-protocol.ts";
import type {
  DuckdbBounds,
  DuckdbProcessSettings,
  DuckdbReply,
  DuckdbRequest,
  DuckdbStoreName,
} from "./duckdb-protocol.ts";

/** A call to be made. */
export interface DuckdbChildCall {
  readonly store: DuckdbStoreName;
  readonly method: string;
  readonly argument: unknown;
  /** After so many milliseconds the answer is given up, and the work ended if it only reads. */
  readonly timeMs: number;
  /** True for a tenant's own SQL: where it cannot be ended, the process is. */
  readonly isQuery?: boolean;
}

// The process ends a query itself when its time is over; where only the deadline is, it is asked to.
const INTERRUPT_GRACE_MS = 200;
// Some functions look for an interruption only seconds later (levenshtein of long texts: 3.4 s
// measured); then the process is ended.
const KILL_GRACE_MS = 2_000;
// Young generation and old space of the process's own JavaScript heap, which holds one part of a
// delivery or one page of an answer at a time.
const HEAP_ARGUMENTS = ["--max-semi-space-size=2", "--max-old-space-size=64"];

type Timers = readonly NodeJS.Timeout[];

/** A call that is not answered yet, and the process it was sent to. */
interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (cause: unknown) => void;
  child: ChildProcess | undefined;
}

/** Processes that are ending, by directory: a successor waits for them, as they still hold the files. */
const ending = new Map<string, Promise<void>>();

/** A tenant's DuckDB process: started by the first call, ended when idle, started again after a crash. */
export class DuckdbChild {
  readonly #settings: DuckdbProcessSettings;
  readonly #idleMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #process: ChildProcess | undefined;
  #idle: NodeJS.Timeout | undefined;
  #calls = 0;
  #users = 0;
  #residentMib = 0;

  constructor(directory: string, bounds: DuckdbBounds, idleMs: number) {
    this.#settings = { directory, bounds };
    this.#idleMs = idleMs;
  }

  get isBusy(): boolean {
    return this.#users > 0 || this.#waiting.size > 0;
  }

  /** Keeps the process from being ended as idle until `release`. */
  reserve(): void {
    this.#users += 1;
  }

  release(): void {
    this.#users -= 1;
    this.#endWhenIdle();
  }

  /** The running process's id, for measurements and for tests that end it. */
  get processId(): number | undefined {
    return this.#process?.pid;
  }

  /** @throws StoreError `unavailable` when the process ends or the time is over before the answer. */
  async call(request: DuckdbChildCall): Promise<unknown> {
    const call = (this.#calls += 1);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const waiting: Waiting = { resolve, reject, child: undefined };
    this.#waiting.set(call, waiting);
    clearTimeout(this.#idle);
    let timers: Timers = [];
    try {
      const child = this.#process ?? (await this.#start());
      // The caller's program must not end while it waits, and must be free to end otherwise.
      child.channel?.ref();
      waiting.child = child;
      if (Number.isFinite(request.timeMs)) timers = this.#endLater(child, call, request);
      const { store, method, argument } = request;
      const message: DuckdbRequest = { call, store, method, argument };
      child.send(message, (cause) => {
        if (cause !== null) reject(ended(cause));
      });
      return await promise;
    } finally {
      for (const timer of timers) clearTimeout(timer);
      this.#waiting.delete(call);
      this.#endWhenIdle();
    }
  }

  /** Ends the process after its files are closed. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const child = this.#process;
    this.#process = undefined;
    // Whoever closes waits for the end, and so must its program.
    child?.ref();
    if (child?.connected === true) child.disconnect();
    await ending.get(this.#settings.directory);
  }

  async #start(): Promise<ChildProcess> {
    const { directory } = this.#settings;
    await ending.get(directory);
    // Another call may have started it while this one waited.
    if (this.#process !== undefined) return this.#process;
    const child = fork(processUrl(), [JSON.stringify(this.#settings)], {
      serialization: "advanced",
      // Nothing of the caller's environment: no credential, home or proxy. Two allocator arenas keep
      // what the process's threads free from lying about in eight of them.
      env: { MALLOC_ARENA_MAX: "2" },
      execArgv: [...childArguments(process.execArgv), ...HEAP_ARGUMENTS],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#process = child;
    this.#residentMib = 0;
    ending.set(directory, this.#whenEnded(child));
    child.on("message", (reply: unknown) => this.#settle(child, reply as DuckdbReply));
    child.on("error", () => child.kill("SIGKILL"));
    child.unref();
    child.channel?.unref();
    return child;
  }

  #whenEnded(child: ChildProcess): Promise<void> {
    return new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        ending.delete(this.#settings.directory);
        if (this.#process === child) this.#process = undefined;
        const cause = new Error(`the DuckDB process ended (${signal ?? code})`);
        for (const waiting of this.#waiting.values()) {
          if (waiting.child === child) waiting.reject(ended(cause));
        }
        resolve();
      });
    });
  }

  #settle(child: ChildProcess, reply: DuckdbReply): void {
    if (reply.call === GOODBYE_CALL && this.#process === child) this.#process = undefined;
    const answer = this.#waiting.get(reply.call);
    if ("value" in reply) {
      this.#residentMib = reply.residentMib;
      return answer?.resolve(reply.value);
    }
    const { code, message, isWorthRepeating } = reply.error;
    const error = isWorthRepeating ? new DuckdbRoomError(message) : new StoreError(code, message);
    answer?.reject(error);
  }

  /** Timers that end a call when its time is over. */
  #endLater(child: ChildProcess, call: number, { timeMs, isQuery }: DuckdbChildCall): Timers {
    const cancel = (): void => {
      child.send({ cancel: call }, () => undefined);
      if (isQuery === true) return;
      this.#waiting.get(call)?.reject(new StoreError("unavailable", "no answer in time"));
    };
    const kill = (): void => {
      child.kill("SIGKILL");
      this.#waiting
        .get(call)
        ?.reject(new StoreError("limit", "the SQL could not be ended in time"));
    };
    const late = isQuery === true ? INTERRUPT_GRACE_MS : 0;
    const timers = [setTimeout(cancel, timeMs + late)];
    if (isQuery === true) timers.push(setTimeout(kill, timeMs + late + KILL_GRACE_MS));
    for (const timer of timers) timer.unref();
    return timers;
  }

  #endWhenIdle(): void {
    if (this.isBusy) return;
    this.#process?.channel?.unref();
    clearTimeout(this.#idle);
    // What large work left behind in the allocators is given back with the process alone.
    if (this.#residentMib > this.#settings.bounds.residentMib) return void this.close();
    this.#idle = setTimeout(() => {
      if (!this.isBusy) void this.close();
    }, this.#idleMs);
    this.#idle.unref();
  }
}

/** Thrown when a write found no room because of queries, which have been ended: it is to be repeated once. */
export class DuckdbRoomError extends StoreError {
  constructor(message: string) {
    super("unavailable", message);
  }
}

function ended(cause: unknown): StoreError {
  return new StoreError("unavailable", "the DuckDB process ended before it answered", { cause });
}

/** The entry point beside this module, in TypeScript or in JavaScript as this module is. */
function processUrl(): URL {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new URL(`./duckdb-process.${extension}`, import.meta.url);
}

// How modules are found and read, which the process must do as its caller does; the caller's other
// options (its own source text, debugger ports, heap sizes) are not for it.
const INHERITED =
  /^(?:--(?:conditions|disable-warning|enable-source-maps|experimental-[\w-]+|import|no-warnings|preserve-symlinks(?:-main)?)(?:=|$)|-C$)/;
// These take the next argument as their value where they are not written with `=`.
const WITH_VALUE = /^(?:--(?:conditions|disable-warning|import)|-C)$/;

function childArguments(own: readonly string[]): string[] {
  return own.filter((text, index) => INHERITED.test(text) || WITH_VALUE.test(own[index - 1] ?? ""));
}
