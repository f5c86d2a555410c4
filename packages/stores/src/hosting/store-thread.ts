import { Worker } from "node:worker_threads";

import { StoreError } from "../errors.ts";
import { handOver } from "./hand-over.ts";
import { DISPOSE, revivedError } from "./messages.ts";
import type { Response, StoreSpec } from "./messages.ts";

/** A store that may live in another thread: any object with methods that answer promises. */
type Methods = Record<string, (...args: readonly unknown[]) => Promise<unknown>>;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (cause: unknown) => void;
}

// Stores take one parsed record after another, so little survives a collection; V8's default of 48 MB
// would be kept resident in each thread.
const YOUNG_GENERATION_MB = 24;

/**
 * StoreThread: one worker thread in which stores with synchronous drivers do their work.
 *
 * A store opened here looks like any other: calls become messages, and objects with methods
 * (transactions) are kept in the thread under a number. When the thread dies, calls under way fail
 * with `unavailable`, and the next call starts it again.
 */
export class StoreThread implements AsyncDisposable {
  readonly #name: string;
  readonly #heapMb: number;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #generation = 0;
  #calls = 0;
  #isClosed = false;

  /** @param options.heapMb JavaScript heap of the thread; native memory is each engine's own to limit. */
  constructor(name: string, options: { readonly heapMb: number }) {
    this.#name = name;
    this.#heapMb = options.heapMb;
  }

  /** Opens a store in the thread. @throws what its open function throws. */
  async open<Store extends AsyncDisposable>(spec: StoreSpec): Promise<Store> {
    let generation = 0;
    let object = 0;
    const ensure = async (): Promise<number> => {
      if (object === 0 || generation !== this.#generation || this.#worker === undefined) {
        const opened = await this.#call(0, "open", [spec]);
        ({ object } = opened as RemoteObject);
        generation = this.#generation;
      }
      return object;
    };
    const first = (await this.#call(0, "open", [spec])) as RemoteObject;
    ({ object } = first);
    generation = this.#generation;
    const call = async (method: string, args: readonly unknown[]): Promise<unknown> =>
      this.#result(await this.#call(await ensure(), method, args));
    return remote(first.facts, call) as unknown as Store;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  /** An answer that is itself an object with methods becomes a remote object of its own. */
  #result(value: unknown): unknown {
    if (!(value instanceof RemoteObject)) return value;
    const { object, facts } = value;
    return remote(facts, async (method, args) =>
      this.#result(await this.#call(object, method, args)),
    );
  }

  #call(object: number, method: string, args: readonly unknown[]): Promise<unknown> {
    if (this.#isClosed) {
      return Promise.reject(new StoreError("unavailable", `the ${this.#name} thread is closed`));
    }
    this.#worker ??= this.#start();
    const call = ++this.#calls;
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
      const handed = handOver(args);
      worker.postMessage({ call, object, method, args: handed.args }, handed.transfer);
      worker.ref();
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL(`./store-worker${extension()}`, import.meta.url), {
      name: this.#name,
      resourceLimits: {
        maxOldGenerationSizeMb: this.#heapMb,
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
      },
    });
    this.#generation += 1;
    worker.on("message", (response: Response) => this.#settle(worker, response));
    worker.on("error", (cause: Error) => this.#lose(worker, cause.message));
    worker.on("exit", () => this.#lose(worker, "it ended"));
    return worker;
  }

  #settle(worker: Worker, response: Response): void {
    const pending = this.#pending.get(response.call);
    this.#pending.delete(response.call);
    // A thread that is asked nothing must not keep the process alive.
    if (this.#pending.size === 0) worker.unref();
    if (pending === undefined) return;
    if ("error" in response) pending.reject(revivedError(response.error));
    else if ("object" in response)
      pending.resolve(new RemoteObject(response.object, response.facts));
    else pending.resolve(response.value);
  }

  #lose(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    const error = new StoreError("unavailable", `the ${this.#name} thread stopped: ${reason}`);
    for (const { reject } of lost) reject(error);
  }
}

class RemoteObject {
  readonly object: number;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(object: number, facts: Readonly<Record<string, unknown>>) {
    this.object = object;
    this.facts = facts;
  }
}

/** An object whose plain members are known and whose methods go elsewhere. */
function remote(
  facts: Readonly<Record<string, unknown>>,
  call: (method: string, args: readonly unknown[]) => Promise<unknown>,
): Methods {
  const target: Methods = {};
  return new Proxy(target, {
    get(_target, name): unknown {
      if (name === Symbol.asyncDispose) return () => call(DISPOSE, []);
      // A promise would take an object with `then` for another promise.
      if (typeof name !== "string" || name === "then") return undefined;
      if (Object.hasOwn(facts, name)) return facts[name];
      return (...args: readonly unknown[]) => call(name, args);
    },
    has: (_target, name) => name === Symbol.asyncDispose || Object.hasOwn(facts, name),
  });
}

/** This module's own ending: sources run as TypeScript, the built package as JavaScript. */
function extension(): string {
  return import.meta.url.endsWith(".ts") ? ".ts" : ".js";
}
