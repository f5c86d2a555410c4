// The program of a baseline thread: opens its stores and writes what it is sent, in order.
import { parentPort, workerData } from "node:worker_threads";

import { RAW_STORES } from "./placements.ts";
import type { RawStoreName } from "./placements.ts";
import type { RawOptions } from "./raw-store.ts";
import type { RawWorkerMessage } from "./raw-worker-message.ts";

// What `baseline-run.ts` starts it with.
const { names, options } = workerData as {
  readonly names: readonly RawStoreName[];
  readonly options: RawOptions;
};
const stores = await Promise.all(
  names.map(async (name) => ({ name, store: await RAW_STORES[name].open(options) })),
);
let tail = Promise.resolve();

async function take(message: RawWorkerMessage): Promise<void> {
  for (const { name, store } of stores) {
    await (message === "close" ? store.close() : store.write(message[name]));
  }
  parentPort?.postMessage("done");
  if (message === "close") parentPort?.close();
}

parentPort?.on("message", (message: RawWorkerMessage) => {
  tail = tail.then(() => take(message));
});
parentPort?.postMessage("ready");
