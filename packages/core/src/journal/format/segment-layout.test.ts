import { describe, expect, test } from "vitest";

import { checkFooter, decodeFooter, encodeFooter } from "./segment-layout.ts";
import type { SegmentFooter } from "./segment-layout.ts";

const lineBlock = {
  offset: 32,
  storedBytes: 10,
  rawBytes: 20,
  firstLine: 0,
  lines: 2,
  observedFrom: null,
  observedTo: null,
};
const footer: SegmentFooter = {
  tenant: "acme",
  segmentId: "s",
  lines: 3,
  rawBytes: 50,
  blocks: [lineBlock, { ...lineBlock, offset: 42, firstLine: 2, lines: 1, rawBytes: 30 }],
  idBlocks: [{ offset: 52, storedBytes: 5, rawBytes: 9, ids: 3, firstId: "a" }],
};
const trailer = { footerOffset: 57, footerStoredBytes: 1, footerRawBytes: 1, footerNumber: 3 };
const [first = lineBlock, second = lineBlock] = footer.blocks;
const [ids = { offset: 0, storedBytes: 0, rawBytes: 0, ids: 0, firstId: "" }] = footer.idBlocks;

describe("a segment's footer", () => {
  test("one that describes the whole file is taken, as written and as read back", () => {
    expect(() => checkFooter(footer, trailer, true)).not.toThrow();
    expect(decodeFooter(encodeFooter(footer))).toEqual(footer);
  });

  const wrong: readonly [string, Partial<SegmentFooter>, RegExp][] = [
    [
      "leaves a gap",
      { blocks: [first, { ...second, offset: 43 }] },
      /block 1 begins at 43, not at 42/,
    ],
    ["overlaps", { blocks: [first, { ...second, offset: 41 }] }, /block 1 begins at 41, not at 42/],
    [
      "begins inside the header",
      { blocks: [{ ...first, offset: 31 }, second] },
      /block 0 begins at 31/,
    ],
    ["runs into the footer", { idBlocks: [{ ...ids, storedBytes: 6 }] }, /do not add up/],
    [
      "skips a line",
      { blocks: [first, { ...second, firstLine: 3 }] },
      /begins with line 3, not with 2/,
    ],
    [
      "has a block without lines",
      { blocks: [first, { ...second, lines: 0 }] },
      /begins with line 2/,
    ],
    ["counts other lines", { lines: 4 }, /do not add up/],
    ["counts other raw bytes", { rawBytes: 51 }, /do not add up/],
    ["lists fewer ids", { idBlocks: [{ ...ids, ids: 2 }] }, /fewer ids than lines/],
    ["lists fewer blocks", { idBlocks: [] }, /not block 3/],
    ["has an empty block", { idBlocks: [{ ...ids, rawBytes: 0 }] }, /block 2 has 0 raw bytes/],
    [
      "has a block of 16 MiB and 2 bytes",
      { idBlocks: [{ ...ids, rawBytes: 16_777_218 }] },
      /block 2 has 16777218 raw/,
    ],
    [
      "has a hash where it is sealed",
      { idBlocks: [{ ...ids, sha256: "00" }] },
      /block 2 is not protected/,
    ],
  ];
  test.each(wrong)("one that %s is refused", (_, change, reason) => {
    expect(() => checkFooter({ ...footer, ...change }, trailer, true)).toThrow(reason);
  });

  test("a block of 16 MiB and 1 byte is allowed; without hashes a plain segment's footer is refused", () => {
    const largest = { ...footer, idBlocks: [{ ...ids, rawBytes: 16_777_217 }] };
    expect(() => checkFooter(largest, trailer, true)).not.toThrow();
    expect(() => checkFooter(footer, trailer, false)).toThrow(/block 0 is not protected/);
  });

  test.each([
    [
      "a table that is none",
      '{"blocks":{},"ids":[],"lines":0,"rawBytes":0,"segment":"s","tenant":"t"}',
    ],
    [
      "a row that is none",
      '{"blocks":[1],"ids":[],"lines":0,"rawBytes":0,"segment":"s","tenant":"t"}',
    ],
    [
      "a negative length",
      '{"blocks":[[32,-1,1,0,1,null,null]],"ids":[],"lines":1,"rawBytes":1,"segment":"s","tenant":"t"}',
    ],
    [
      "an instant that is text",
      '{"blocks":[[32,1,1,0,1,"x",null]],"ids":[],"lines":1,"rawBytes":1,"segment":"s","tenant":"t"}',
    ],
    [
      "an id that is a number",
      '{"blocks":[],"ids":[[32,1,1,1,5]],"lines":1,"rawBytes":1,"segment":"s","tenant":"t"}',
    ],
    [
      "a member more",
      '{"blocks":[],"ids":[],"lines":0,"more":1,"rawBytes":0,"segment":"s","tenant":"t"}',
    ],
  ])("%s is refused as damaged", (_, text) => {
    expect(() => decodeFooter(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: "damaged" }),
    );
  });
});
