// A child process: calls that are no projection, by our stores and by the vendors' clients, in turns.
import { answer, operationUrls } from "../run-request.ts";
import type { Operation } from "../engines-report.ts";
import { blobOperations } from "./blob-operations.ts";
import { cacheOperations, queueOperations } from "./redis-operations.ts";
import { streamOperations } from "./kafka-operations.ts";
import type { Measured, OperationPair } from "./measured.ts";

const ROUNDS = 5;
const { blob, cache, queue, stream } = operationUrls();
const measured: Measured[] = [];
if (blob !== undefined) measured.push(await blobOperations(blob));
if (cache !== undefined) measured.push(await cacheOperations(cache));
if (queue !== undefined) measured.push(await queueOperations(queue));
if (stream !== undefined) measured.push(await streamOperations(stream));

const found: Record<string, Operation> = {};
for (const { pairs, close } of measured) {
  for (const pair of pairs) found[pair.name] = await measurePair(pair);
  await close();
}
answer(found);

async function measurePair({ unit, amount, raw, store }: OperationPair): Promise<Operation> {
  const rawSeconds: number[] = [];
  const storeSeconds: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const rawTime = await secondsOf(() => raw(`raw-${round}`));
    const storeTime = await secondsOf(() => store(`store-${round}`));
    // The first round warms both sides up.
    if (round === 0) continue;
    rawSeconds.push(rawTime);
    storeSeconds.push(storeTime);
  }
  const [rawRate, storeRate] = [rate(rawSeconds, amount), rate(storeSeconds, amount)];
  const ratio = Math.round((storeRate / rawRate) * 1_000) / 1_000;
  return { raw: rawRate, store: storeRate, ratio, unit };
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1_000;
}

function rate(seconds: readonly number[], amount: number): number {
  const middle = seconds.toSorted((left, right) => left - right)[seconds.length >> 1] ?? 0;
  return Math.round((amount / middle) * 10) / 10;
}
