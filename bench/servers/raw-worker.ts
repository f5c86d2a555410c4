// The program of a thread of raw clients: each writes what it is sent in order, all at the same time.
import { parentPort, workerData } from "node:worker_threads";

import type { RawWorkerMessage } from "../baseline/raw-worker-message.ts";
import type { ProjectedTarget, ServerRequest } from "../run-request.ts";
import { SERVER_STORES } from "./placements.ts";

// What `raw-run.ts` starts it with.
const { names, options } = workerData as {
  readonly names: readonly ProjectedTarget[];
  readonly options: ServerRequest["urls"];
};
const stores = await Promise.all(
  names.map(async (name) => ({
    name,
    store: await SERVER_STORES[name].open(options[name] ?? ""),
    tail: Promise.resolve(),
  })),
);

async function take(message: RawWorkerMessage): Promise<void> {
  for (const one of stores) {
    one.tail = one.tail.then(() =>
      message === "close" ? one.store.close() : one.store.write(message[one.name]),
    );
  }
  await Promise.all(stores.map(({ tail }) => tail));
  parentPort?.postMessage("done");
  if (message === "close") parentPort?.close();
}

parentPort?.on("message", (message: RawWorkerMessage) => void take(message));
parentPort?.postMessage("ready");
