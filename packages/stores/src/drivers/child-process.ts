import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { Socket } from "node:net";

import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** A request as it goes to the child: `request` is the product's own. */
export interface ChildRequest {
  readonly call: number;
  readonly request: unknown;
}

/** The child's answer to the request of the same number. */
export type ChildReply =
  | { readonly call: number; readonly value: unknown }
  | {
      readonly call: number;
      /** `code` is absent where the product's own error is still to be mapped. */
      readonly error: { readonly code?: StoreErrorCode; readonly message: string };
    };

/** How a child process is started. */
export interface ChildProcessOptions {
  /** Who it is, for messages: `LadybugDB`. */
  readonly product: string;
  /** Its program: a module beside this one, without the ending. */
  readonly program: string;
  /** The most its own JavaScript heap may hold, in MiB; native memory is the product's to limit. */
  readonly heapMib: number;
}

/** How long a call may take. */
export interface CallTime {
  readonly timeMs: number;
  /** What the caller is told when it takes longer; default `unavailable`. */
  readonly late?: StoreErrorCode;
}

/** Thrown for every call under way when the child process ends. */
export class ChildEndedError extends StoreError {
  /** True where the process ended by a fault of its own; false where somebody ended it. */
  readonly isCrash: boolean;

  constructor(message: string, isCrash: boolean) {
    super("unavailable", message);
    this.isCrash = isCrash;
  }
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (cause: unknown) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

// What a dying library writes (an assertion, the allocator's complaint) is a line or two.
const LAST_WORDS_MAX = 500;

/**
 * One child process that answers calls, in which a native library may crash without taking us along.
 *
 * It keeps our program running only while a call waits, and ends when this process is gone.
 */
export class CallableChild {
  /** Resolves when the process is gone, and with it its hold on files. */
  readonly ended: Promise<void>;
  readonly #product: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #lastWords = "";
  #isEnding = false;
  #end: ChildEndedError | undefined;

  constructor({ product, program, heapMib }: ChildProcessOptions) {
    this.#product = product;
    const child = fork(programUrl(program), [], {
      serialization: "advanced",
      // Nothing of the caller's environment: no credential, home or proxy. Two allocator arenas keep
      // what the process's threads free from lying about in eight of them.
      env: { MALLOC_ARENA_MAX: "2" },
      execArgv: [
        ...inheritedArguments(process.execArgv),
        "--max-semi-space-size=2",
        `--max-old-space-size=${heapMib}`,
      ],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#lose(code, signal);
        resolve();
      });
      // It could not be started, or not be sent to.
      child.on("error", (cause) => {
        this.#lastWords ||= cause.message;
        if (child.pid === undefined) {
          this.#lose(null, null);
          resolve();
        } else child.kill("SIGKILL");
      });
    });
    child.on("message", (reply: unknown) => this.#settle(reply as ChildReply));
    this.#listenToLastWords();
    this.#hold(false);
  }

  get isEnded(): boolean {
    return this.#end !== undefined;
  }

  /** For measurements, and for tests that end it. */
  get processId(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Asks the child. A child that does not answer in time is ended, as nothing else stops a native call.
   *
   * @throws ChildEndedError when the process ended first; StoreError when it is late, or when the child
   *   answered one; an Error where the product's own message is still to be mapped.
   */
  async call(request: unknown, { timeMs, late = "unavailable" }: CallTime): Promise<unknown> {
    if (this.#end !== undefined) throw this.#end;
    this.#calls += 1;
    const call = this.#calls;
    const message: ChildRequest = { call, request };
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(
      () => this.#giveUp(call, { timeMs, late }),
      Math.min(timeMs, TIMER_MS_MAX),
    );
    timer.unref();
    this.#waiting.set(call, { resolve, reject, timer });
    this.#hold(true);
    this.#child.send(message, (cause) => {
      if (cause !== null) this.#child.kill("SIGKILL");
    });
    return await promise;
  }

  /** Ends the process at once; calls under way fail. */
  async kill(): Promise<void> {
    // Whoever waits for the end needs its program to go on until then.
    this.#isEnding = true;
    this.#hold(true);
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  /**
   * Whether our program goes on for the child's sake. Both the channel and the process count: of a
   * process that crashes, the channel closes first and its end is told later.
   */
  #hold(isHeld: boolean): void {
    for (const handle of [this.#child, this.#child.channel]) {
      if (isHeld) handle?.ref();
      else handle?.unref();
    }
  }

  #giveUp(call: number, { timeMs, late }: Required<CallTime>): void {
    const reason = `${this.#product} did not answer within ${timeMs} ms and was ended`;
    this.#take(call)?.reject(new StoreError(late, reason));
    this.#child.kill("SIGKILL");
  }

  #settle(reply: ChildReply): void {
    const waiting = this.#take(reply.call);
    if ("value" in reply) return waiting?.resolve(reply.value);
    const { code, message } = reply.error;
    waiting?.reject(code === undefined ? new Error(message) : new StoreError(code, message));
  }

  #take(call: number): Waiting | undefined {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    clearTimeout(waiting?.timer);
    if (this.#waiting.size === 0 && !this.#isEnding) this.#hold(false);
    return waiting;
  }

  #lose(code: number | null, signal: NodeJS.Signals | null): void {
    const isCrash = signal === null ? code !== 0 && code !== null : CRASH_SIGNALS.has(signal);
    const words = this.#lastWords.trim().slice(0, LAST_WORDS_MAX);
    const how = `${signal ?? code ?? "it was not started"}${words === "" ? "" : `: ${words}`}`;
    this.#end ??= new ChildEndedError(`the ${this.#product} process ended (${how})`, isCrash);
    for (const call of this.#waiting.keys()) this.#take(call)?.reject(this.#end);
  }

  #listenToLastWords(): void {
    const { stderr } = this.#child;
    stderr?.setEncoding("utf8");
    stderr?.on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_MAX);
    });
    // A pipe is a socket, though typed as less; it must not keep our program running.
    if (stderr instanceof Socket) stderr.unref();
  }
}

// Node's timers count milliseconds in 31 bits.
const TIMER_MS_MAX = 2 ** 31 - 1;

// Faults of the process itself; SIGKILL and SIGTERM come from outside (a test, the kernel short of memory).
const CRASH_SIGNALS: ReadonlySet<string> = new Set([
  "SIGABRT",
  "SIGBUS",
  "SIGFPE",
  "SIGILL",
  "SIGSEGV",
  "SIGTRAP",
]);

/** The program beside this module, in TypeScript or in JavaScript as this module is. */
function programUrl(program: string): URL {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new URL(`./${program}.${extension}`, import.meta.url);
}

// How modules are found and read, which the child must do as its parent does; the parent's other
// options (its own source text, debugger ports, heap sizes) are not for it.
const INHERITED =
  /^(?:--(?:conditions|disable-warning|enable-source-maps|experimental-[\w-]+|import|no-warnings|preserve-symlinks(?:-main)?)(?:=|$)|-C$)/;
// These take the next argument as their value where they are not written with `=`.
const WITH_VALUE = /^(?:--(?:conditions|disable-warning|import)|-C)$/;

function inheritedArguments(own: readonly string[]): string[] {
  return own.filter((text, index) => INHERITED.test(text) || WITH_VALUE.test(own[index - 1] ?? ""));
}
