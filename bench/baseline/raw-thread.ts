import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { RAW_STORES } from "./placements.ts";
import type { RawStoreName } from "./placements.ts";
import type { RawBatch, RawOptions } from "./raw-store.ts";
import type { RawWorkerMessage, RawWorkerStart } from "./raw-worker.ts";

// Batches that a thread may lag behind: enough to keep it busy, few enough to bound memory.
const AHEAD_MAX = 4;

/** A thread of raw stores, seen from the thread that reads. */
export class RawThread {
  readonly #names: readonly RawStoreName[];
  readonly #worker: Worker;
  #underWay = 0;
  #wake = (): void => undefined;
  #failure: Error | undefined;

  private constructor(names: readonly RawStoreName[], worker: Worker) {
    this.#names = names;
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

  static async start(names: readonly RawStoreName[], options: RawOptions): Promise<RawThread> {
    const workerData: RawWorkerStart = { names, options };
    const worker = new Worker(new URL("./raw-worker.ts", import.meta.url), { workerData });
    await once(worker, "message");
    return new RawThread(names, worker);
  }

  async write(batch: RawBatch): Promise<void> {
    await this.#until(AHEAD_MAX);
    this.#post(Object.fromEntries(this.#names.map((name) => [name, RAW_STORES[name].rows(batch)])));
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
