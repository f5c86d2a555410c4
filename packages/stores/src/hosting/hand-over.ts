import type { RecordBatch } from "../record-batch.ts";

/**
 * Handing records to another thread.
 *
 * Their text is copied once and the copy given away, and the thread lets go of it as soon as the call
 * is answered. Shared memory would save the copy (0.6 µs a record of 3 KB), but the collector does not
 * count it: a thread that makes little garbage kept hundreds of megabytes of it.
 */

/** A call's arguments with records copied, and the buffers that are given away with them. */
export interface HandedOver {
  readonly args: readonly unknown[];
  readonly transfer: ArrayBuffer[];
}

/** Copies the text of batches and of deliveries among the arguments. */
export function handOver(args: readonly unknown[]): HandedOver {
  const transfer: ArrayBuffer[] = [];
  const given = (bytes: Uint8Array): Uint8Array => {
    const buffer = new ArrayBuffer(bytes.byteLength);
    const copy = new Uint8Array(buffer);
    copy.set(bytes);
    transfer.push(buffer);
    return copy;
  };
  const handed = args.map((arg): unknown => {
    if (isBatch(arg)) return copyOf(arg, given);
    if (!isDelivery(arg)) return arg;
    return { ...arg, batches: arg.batches.map((batch) => copyOf(batch, given)) };
  });
  return { args: handed, transfer };
}

/** Frees the text of what was handed over, at once rather than when it is collected. */
export function letGo(args: readonly unknown[]): void {
  for (const arg of args) {
    const batches = isBatch(arg) ? [arg] : isDelivery(arg) ? arg.batches : [];
    for (const { text, previous } of batches) {
      free(text);
      if (previous !== undefined) free(previous.text);
    }
  }
}

function free({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}

function copyOf(batch: RecordBatch, given: (bytes: Uint8Array) => Uint8Array): RecordBatch {
  const { text, previous } = batch;
  if (previous === undefined) return { ...batch, text: given(text) };
  return { ...batch, text: given(text), previous: { ...previous, text: given(previous.text) } };
}

function isBatch(value: unknown): value is RecordBatch {
  return isObject(value) && value["text"] instanceof Uint8Array && Array.isArray(value["ids"]);
}

function isDelivery(value: unknown): value is { readonly batches: readonly RecordBatch[] } {
  return isObject(value) && Array.isArray(value["batches"]) && value["batches"].every(isBatch);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
