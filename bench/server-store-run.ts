// A child process: the same evidence into one store behind its port, in a thread as Custody opens it.
import { ENGINES } from "@custody/stores/catalogue";
import { StoreThread } from "@custody/stores/hosting/store-thread";
import type { Collection, ProjectedStore } from "@custody/stores/projected-store";
import { makeBatch } from "@custody/stores/record-batch";
import type { Delivery } from "@custody/stores/record-batch";
import { planProjections } from "@custody/core/projection/projections";
import { TypeRegistry } from "@custody/core/records/type-registry";

import { SCOPE, TYPE } from "./custody-scope.ts";
import type { EvidenceRecord } from "./generate.ts";
import { lineBatches } from "./record-lines.ts";
import type { LineBatch } from "./record-lines.ts";
import { answer, BATCH_RECORDS, serverRequest } from "./run-request.ts";
import { packOf, roleOf } from "./server-pack.ts";

const HEAP_MB = 128;
/** Batches of a delivery: as many records as Custody delivers at a time. */
const BATCHES = 2;

const { input, targets, urls } = serverRequest();
const [target] = targets;
if (target === undefined || target === "journal") throw new Error("which store?");
const url = urls[target] ?? "";
const role = roleOf(target);
const scheme = url.split(":")[0] ?? "";
const engine = ENGINES.find((one) => one.role === role && one.schemes.includes(scheme));
if (engine === undefined) throw new Error(`no engine of ${role} is reached by ${scheme}`);
await using thread = new StoreThread(target, { heapMb: HEAP_MB });
const module = import.meta.resolve(`@custody/stores/${engine.module}`);
const options = { url, ownerSalt: new Uint8Array(32) };
const store = await thread.open<ProjectedStore<unknown>>({ module, open: engine.open, options });

const plans = planProjections(new TypeRegistry([packOf(targets)]), SCOPE.tenant);
const plan = plans.find((one) => one.role === role && one.types.includes(TYPE));
if (plan === undefined) throw new Error(`nothing of ${TYPE} is placed in ${role}`);
const { name, placements } = plan;
const collection: Collection<unknown> = { name, generation: 1, placements, isAppendOnly: true };
await store.prepare(SCOPE, collection);

const begun = performance.now();
let [records, sequence] = [0, 0];
let applying = Promise.resolve();
for (const batch of lineBatches(input, BATCH_RECORDS * BATCHES)) {
  // The next delivery is made while the store is busy with this one.
  const delivery = deliveryOf(batch);
  await applying;
  applying = store.apply(SCOPE, collection, delivery);
  applying.catch(() => undefined);
}
await applying;
const seconds = (performance.now() - begun) / 1_000;
const checkpoint = await store.checkpoint(SCOPE, collection);
await store[Symbol.asyncDispose]();
if (checkpoint !== sequence) throw new Error(`${target} stands at ${checkpoint}, not ${sequence}`);
answer({ records, seconds });

function deliveryOf({ lines }: LineBatch): Delivery {
  const after = sequence;
  sequence += 1;
  records += lines.length;
  const rows = lines.map((line) => {
    const text = line.toString("utf8");
    // Written by our own generator.
    const { id, observed_at } = JSON.parse(text) as EvidenceRecord;
    return { id, sequence, text, observedAt: Date.parse(observed_at) };
  });
  return { batches: [{ ...makeBatch(TYPE, rows), isNew: true }], checkpoint: sequence, after };
}
