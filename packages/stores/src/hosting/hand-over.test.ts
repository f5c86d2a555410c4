import { expect, test } from "vitest";

import { makeBatch, recordText } from "../record-batch.ts";
import { handOver, letGo } from "./hand-over.ts";

const batch = makeBatch("pack/thing", [
  { id: "a", sequence: 1, text: '{"n":1}', previousText: '{"n":0}' },
  { id: "b", sequence: 1, text: '{"n":2}' },
]);

test("the records of a delivery are given away as copies, and the caller keeps its own", () => {
  const { args, transfer } = handOver([{ tenant: "t" }, { batches: [batch], checkpoint: 1 }]);
  expect(args[0]).toEqual({ tenant: "t" });
  expect(transfer.map(({ byteLength }) => byteLength)).toEqual([14, 7]);
  const sent = structuredClone(args[1], { transfer }) as { batches: [typeof batch] };
  expect(Buffer.from(recordText(sent.batches[0], 1)).toString()).toBe('{"n":2}');
  expect(Buffer.from(recordText(batch, 1)).toString()).toBe('{"n":2}');
});

test("a batch alone is handed over too, and what holds no records stays as it is", () => {
  const page = { limit: 10 };
  const { args, transfer } = handOver([batch, page, undefined, ["text"]]);
  expect(transfer).toHaveLength(2);
  expect(args.slice(1)).toEqual([{ limit: 10 }, undefined, ["text"]]);
  expect(args[1]).toBe(page);
});

test("letting go frees the text of every batch at once, also when asked twice", () => {
  const { args } = handOver([{ batches: [batch, batch], checkpoint: 1 }, batch]);
  letGo(args);
  letGo(args);
  const [delivery, alone] = args as [{ batches: (typeof batch)[] }, typeof batch];
  expect(delivery.batches.map(({ text }) => text.byteLength)).toEqual([0, 0]);
  expect(alone.previous?.text.byteLength).toBe(0);
  expect(batch.text.byteLength).toBe(14);
});
