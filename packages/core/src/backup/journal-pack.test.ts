import { describe, expect, test } from "vitest";

import { encodeEntry } from "../journal/format/entry.ts";
import type { Entry } from "../journal/format/entry.ts";
import { isPackFull, PackBuilder, readPack } from "./journal-pack.ts";

const entry = (sequence: number): Uint8Array => {
  const facts: Entry = {
    timeline: "t",
    tenant: "acme",
    sequence,
    commit: "c",
    type: "sample/attempts",
    typeVersion: 1,
    operation: "put",
    count: 1,
    root: "a".repeat(64),
    actor: "user:test",
    source: {},
    idempotency: null,
    observedFrom: null,
    observedTo: null,
    receivedAt: 5,
    previous: (sequence === 1 ? "0" : "b").repeat(64),
  };
  return encodeEntry(facts);
};
const receipt = { kind: "import", key: "k", text: `{"a":1}` } as const;
const place = { tenant: "acme", from: 7, to: 9 };

function pack(): Uint8Array {
  const builder = new PackBuilder("acme", 7);
  builder.add({ bytes: entry(7) });
  builder.add({ bytes: entry(8), lines: Uint8Array.of(1, 2), treeHead: Uint8Array.of(3) });
  builder.add({ bytes: entry(9), lines: Uint8Array.of(), receipt });
  return builder.finish();
}

describe("packs of entries", () => {
  test("entries come back with what was kept of each, and nothing else", () => {
    const entries = [...readPack(pack(), place)];
    expect(entries.map(({ lines, treeHead, receipt: kept }) => [lines, treeHead, kept])).toEqual([
      [undefined, undefined, undefined],
      [Uint8Array.of(1, 2), Uint8Array.of(3), undefined],
      [Uint8Array.of(), undefined, receipt],
    ]);
    expect(entries.map(({ bytes }) => Buffer.from(bytes))).toEqual(
      [7, 8, 9].map((sequence) => Buffer.from(entry(sequence))),
    );
    expect(entries.map(({ hash }) => hash.byteLength)).toEqual([32, 32, 32]);
  });

  test("a pack that is cut off anywhere, longer, or of other entries is refused", () => {
    const whole = pack();
    for (let end = 0; end < whole.byteLength; end += 1)
      expect(() => [...readPack(whole.subarray(0, end), place)]).toThrow(
        expect.objectContaining({ code: "damaged" }) as Error,
      );
    const longer = Buffer.concat([whole, Buffer.of(0)]);
    expect(() => [...readPack(longer, place)]).toThrow(/something follows its last entry/);
    expect(() => [...readPack(whole, { ...place, tenant: "other" })]).toThrow(
      /tenant is not other/,
    );
    expect(() => [...readPack(whole, { ...place, to: 8 })]).toThrow(/to is not 8/);
    const builder = new PackBuilder("acme", 3);
    builder.add({ bytes: entry(7) });
    expect(() => [...readPack(builder.finish(), { tenant: "acme", from: 3, to: 3 })]).toThrow(
      /entry 3 is entry 7 of acme/,
    );
  });

  test("a pack of a newer format is refused with what this program reads", () => {
    const header = Buffer.from(`{"format":2,"from":7,"tenant":"acme","to":9}`);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(header.byteLength);
    expect(() => [...readPack(Buffer.concat([length, header]), place)]).toThrow(
      "a pack of format 2: this version reads formats up to 1",
    );
  });

  test("a pack is full at 4,096 entries or 8 MiB, and not before", () => {
    expect([isPackFull(4_095, 8_388_607), isPackFull(4_096, 1), isPackFull(1, 8_388_608)]).toEqual([
      false,
      true,
      true,
    ]);
    const builder = new PackBuilder("acme", 7);
    builder.add({ bytes: entry(7), lines: new Uint8Array(8_388_608) });
    expect(builder.isFull).toBe(true);
  });
});
