import { once } from "node:events";
import { Worker } from "node:worker_threads";

import type { RawBatch } from "./raw-store.ts";
import type { RawWorkerMessage, RawWorkerStart } from "./raw-worker-message.ts";

/** What a thread of raw stores is made of. */
export interface RawThreadParts {
  /** The program that opens stores of these names and writes what it is sent. */
  readonly program: URL;
  readonly names: readonly string[];
  /** How a store's rows are made of a batch. */
  readonly rows: Readonly<Record<string, { readonly rows: (batch: RawBatch) => unknown }>>;
  readonly options: unknown;
}

// Batches that a thread may lag behind: enough to keep it busy, few enough to bound memory.
const AHEAD_MAX = 4;

/** A thread of raw stores, seen from the thread that reads. */
export class RawThread {
  readonly #parts: RawThreadParts;
  readonly #worker: Worker;
  #underWay = 0;
  #wake = (): void => undefined;
  #failure: Error | undefined;

  private constructor(parts: RawThreadParts, worker: Worker) {
    this.#parts = parts;
    this.#worker = worker;
    worker.on("message", () => {
      this.#underWay -= 1;
      this.#wake();
    });
    worker.on("error", (cause: Error) => {
      this.#failure = cause;
      this.#wake();
    });
  }

  static async start(parts: RawThreadParts): Promise<RawThread> {
    const workerData: RawWorkerStart = { names: parts.names, options: parts.options };
    const worker = new Worker(parts.program, { workerData });
    await once(worker, "message");
    return new RawThread(parts, worker);
  }

  async write(batch: RawBatch): Promise<void> {
    await this.#until(AHEAD_MAX);
    const { names, rows } = this.#parts;
    this.#post(Object.fromEntries(names.map((name) => [name, rows[name]?.rows(batch)])));
  }

  async close(): Promise<void> {
    this.#post("close");
    await this.#until(1);
  }

  #post(message: RawWorkerMessage): void {
    this.#underWay += 1;
    this.#worker.postMessage(message);
  }

  /** Resolves when fewer than so many batches are under way. */
  async #until(limit: number): Promise<void> {
    while (this.#underWay >= limit && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }
}
