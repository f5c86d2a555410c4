import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { CoreError } from "../../errors.ts";
import type { Codec } from "../../runtime.ts";
import { gzipCodec, zstdCodec, zstdCodecSync } from "./codec.ts";
import type { Compression } from "./codec.ts";
import { encodeLine } from "./line.ts";
import { joinLines, lineAt, lineCount, sliceLines } from "./lines.ts";
import { BLOCK_BYTES, SEGMENT_LINES_MAX } from "./segment-layout.ts";
import { openSegment } from "./segment-reader.ts";
import type { SegmentReader } from "./segment-reader.ts";
import { SegmentWriter } from "./segment-writer.ts";
import type { SegmentBatch, SegmentSummary } from "./segment-writer.ts";

const key = new Uint8Array(32).fill(7);
const salt = new Uint8Array(16).fill(9);
const codecs = { zstd: zstdCodecSync, gzip: gzipCodec };
const name = { tenant: "acme", segmentId: "seg-1" };
const decoder = new TextDecoder();

function batchOf(ids: readonly string[], fill = 0): SegmentBatch {
  const lines = ids.map((id, index) =>
    encodeLine({ id, salt, data: `{"n":${index},"t":"${"x".repeat(fill)}"}` }),
  );
  const observedAt = Float64Array.from(ids, (_, index) => (index % 3 === 2 ? Number.NaN : index));
  return { lines: joinLines(lines), ids, observedAt };
}

interface Made {
  readonly file: Buffer;
  readonly summary: SegmentSummary;
}

async function write(
  batches: readonly SegmentBatch[],
  options: {
    readonly key?: Uint8Array;
    readonly compression?: Compression;
    readonly blockBytes?: number;
  } = {},
): Promise<Made> {
  const { compression = "zstd" } = options;
  const codec = codecs[compression];
  const writer = new SegmentWriter({
    ...name,
    period: "2026-11",
    salt,
    codec,
    ...options,
    compression,
  });
  const chunks: Uint8Array[] = [];
  for (const batch of batches) chunks.push(...(await writer.add(batch)));
  const { chunks: last, summary } = await writer.finish();
  return { file: Buffer.concat([...chunks, ...last]), summary };
}

async function open(
  file: Uint8Array,
  options: Partial<Parameters<typeof openSegment>[1]> & { readonly plain?: boolean } = {},
): Promise<SegmentReader> {
  const { plain = false, ...rest } = options;
  const source = {
    bytes: file.byteLength,
    read: async (start: number, end: number) => file.subarray(start, end),
  };
  return await openSegment(source, { ...name, codecs, ...(plain ? {} : { key }), ...rest });
}

/** Reads everything that a segment holds. */
async function readAll(file: Uint8Array, options?: Parameters<typeof open>[1]): Promise<string> {
  const reader = await open(file, options);
  const texts: string[] = [];
  for (const number of reader.blocks.keys()) {
    const { lines } = await reader.readBlock(number);
    for (let index = 0; index < lineCount(lines); index += 1)
      texts.push(Buffer.from(lineAt(lines, index)).toString("utf8"));
  }
  await Promise.all(["", "b", "~"].map((id) => reader.findId(id)));
  return texts.join("\n");
}

const textOf = (batches: readonly SegmentBatch[]): string =>
  batches
    .map(({ lines }) =>
      Buffer.from(lines.text).toString("utf8", lines.offsets[0], lines.offsets.at(-1)),
    )
    .join("")
    .slice(0, -1);

const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `r${index}`);

const modes = [
  { title: "sealed zstd", options: { key, compression: "zstd" }, plain: false },
  { title: "sealed gzip", options: { key, compression: "gzip" }, plain: false },
  { title: "plain zstd", options: { compression: "zstd" }, plain: true },
  { title: "plain gzip", options: { compression: "gzip" }, plain: true },
] as const;

describe.each(modes)("segment: $title", ({ options, plain }) => {
  test("lines come back byte for byte, by block, by number and by id", async () => {
    const batches = [
      batchOf(ids(40), 20),
      batchOf(["ünï→😀", "r3", 'q"\\\t'], 3),
      batchOf(ids(50), 7),
    ];
    const { file, summary } = await write(batches, { ...options, blockBytes: 300 });
    const reader = await open(file, { plain });
    expect(await readAll(file, { plain })).toBe(textOf(batches));
    expect(reader.lines).toBe(93);
    expect(reader.blocks.length).toBeGreaterThan(20);
    expect(Buffer.from((await reader.readLine(40)) ?? []).toString()).toContain('{"id":"ünï→😀"');
    expect(await reader.readLine(93)).toBeUndefined();
    expect(await reader.readLine(-1)).toBeUndefined();
    expect(await reader.findId("r3")).toEqual([3, 41, 46]);
    expect(await reader.findId("ünï→😀")).toEqual([40]);
    expect(await reader.findId('q"\\\t')).toEqual([42]);
    expect(await reader.findId("r")).toEqual([]);
    expect(await reader.findId("\uffff\uffff")).toEqual([]);
    expect(summary).toEqual({
      segmentId: "seg-1",
      period: "2026-11",
      bytes: file.byteLength,
      rawBytes: textOf(batches).length + 1 + (Buffer.byteLength("ünï→😀") - "ünï→😀".length),
      lines: 93,
      hash: createHash("sha256").update(file).digest(),
    });
  });

  test("changing any single byte is found", async () => {
    const batches = [batchOf(["a", "b", "b", "c"], 5), batchOf(["d"], 50)];
    const { file } = await write(batches, { ...options, blockBytes: 120 });
    const before = await readAll(file, { plain });
    for (let at = 0; at < file.byteLength; at += 1) {
      const changed = Buffer.from(file);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const error: unknown = await readAll(changed, { plain }).then(
        () => `byte ${at} changed, and nobody noticed`,
        (cause: unknown) => cause,
      );
      expect(error).toMatchObject({ name: "CoreError" });
      expect(String(error)).toMatch(
        /segment seg-1 of acme: (block \d+|header|footer|trailer|it is)/,
      );
    }
    expect(before).toBe(textOf(batches));
  });

  test("a file cut off or made longer at any place is found", async () => {
    const { file } = await write([batchOf(["a", "b"], 5)], options);
    for (let length = 0; length < file.byteLength; length += 1)
      await expect(readAll(file.subarray(0, length), { plain })).rejects.toBeInstanceOf(CoreError);
    await expect(readAll(Buffer.concat([file, Buffer.of(0)]), { plain })).rejects.toThrow(
      /trailer/,
    );
  });

  test("an empty segment has no block, and no line is found in it", async () => {
    const { file } = await write([], options);
    const reader = await open(file, { plain });
    expect([reader.lines, reader.blocks.length]).toEqual([0, 0]);
    expect(await reader.findId("a")).toEqual([]);
    expect(reader.findLine(0)).toBeUndefined();
    await expect(reader.readBlock(0)).rejects.toMatchObject({ code: "usage" });
  });
});

describe("segment", () => {
  test("random damage to a large one is found where it is, and other blocks can still be read", async () => {
    const batches = [batchOf(ids(3_000), 700)];
    const { file } = await write(batches, { key });
    const reader = await open(file);
    const { blocks } = reader;
    expect(blocks.length).toBe(9);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 8 }), fc.nat(), async (number, place) => {
        const { offset = 0, storedBytes = 1 } = blocks[number] ?? {};
        const changed = Buffer.from(file);
        const at = offset + (place % storedBytes);
        changed[at] = (changed[at] ?? 0) ^ 0x10;
        const damaged = await open(changed);
        await expect(damaged.readBlock(number)).rejects.toThrow(
          `segment seg-1 of acme: block ${number}: it was altered: its seal is broken`,
        );
        const { lines } = await damaged.readBlock((number + 1) % 9);
        expect(lineCount(lines)).toBe(blocks[(number + 1) % 9]?.lines);
      }),
      { numRuns: 40 },
    );
  });

  test("blocks exchanged with each other are found", async () => {
    const { file } = await write([batchOf(["a", "b", "c", "d"])], { key, blockBytes: 70 });
    const reader = await open(file);
    const [first, second] = reader.blocks;
    const [from = 0, to = 0, length = 0] = [first?.offset, second?.offset, first?.storedBytes];
    expect(second?.storedBytes).toBe(length);
    const changed = Buffer.from(file);
    file.copy(changed, from, to, to + length);
    file.copy(changed, to, from, from + length);
    await expect((await open(changed)).readBlock(0)).rejects.toThrow(/block 0: it was altered/);
  });

  test("a segment opens only under its name, for its tenant and with its key", async () => {
    const { file } = await write([batchOf(["a"])], { key });
    const refused = /header|footer: it does not open/;
    await expect(open(file, { segmentId: "seg-2" })).rejects.toThrow(refused);
    await expect(open(file, { tenant: "other" })).rejects.toThrow(refused);
    await expect(open(file, { key: new Uint8Array(32) })).rejects.toThrow(refused);
    await expect(open(file, { plain: true })).rejects.toMatchObject({ code: "no-key" });
    await expect(open(file, { codecs: {} })).rejects.toMatchObject({ code: "usage" });
  });

  test("an open segment in a sealed one's place is refused, and so is one of another name", async () => {
    const { file } = await write([batchOf(["a"])]);
    await expect(open(file)).rejects.toThrow(/not sealed although it should be/);
    await expect(open(file, { plain: true, segmentId: "seg-2" })).rejects.toThrow(
      /belongs to segment seg-1/,
    );
  });

  test("the same lines under the same name never give the same ciphertext", async () => {
    const batch = batchOf(["a"]);
    const first = await write([batch], { key });
    const writer = new SegmentWriter({
      ...name,
      period: "2026-11",
      key,
      salt: new Uint8Array(16).fill(10),
      compression: "zstd",
      codec: zstdCodecSync,
    });
    const chunks = [...(await writer.add(batch)), ...(await writer.finish()).chunks];
    const second = Buffer.concat(chunks);
    expect(second.byteLength).toBe(first.file.byteLength);
    expect(second.subarray(32, 90)).not.toEqual(first.file.subarray(32, 90));
  });

  test("a decompression bomb stops at the stated length", async () => {
    const bomb: Codec = { ...gzipCodec, compress: async () => gzipSync(Buffer.alloc(1_000_000)) };
    const writer = new SegmentWriter({
      ...name,
      period: "2026-11",
      salt,
      compression: "gzip",
      codec: bomb,
    });
    const head = await writer.add(batchOf(["a"]));
    await expect(writer.finish()).resolves.toMatchObject({ summary: { lines: 1 } });
    expect(head.length).toBe(1);
    await expect(gzipCodec.decompress(gzipSync(Buffer.alloc(1_000_000)), 70)).rejects.toThrow(
      "does not decompress to 70 bytes",
    );
    await expect(
      zstdCodec.decompress(await zstdCodec.compress(Buffer.alloc(71)), 70),
    ).rejects.toThrow("does not decompress to 70 bytes");
    await expect(
      zstdCodec.decompress(await zstdCodec.compress(Buffer.alloc(69)), 70),
    ).rejects.toThrow("decompresses to 69 bytes, not 70");
  });

  test("a line longer than a block has one of its own, and a slice of lines is taken as such", async () => {
    const long = batchOf(["long"], BLOCK_BYTES * 3);
    const many = batchOf(ids(10), 10);
    const slice = {
      lines: sliceLines(many.lines, 2, 5),
      ids: many.ids.slice(2, 5),
      observedAt: many.observedAt.slice(2, 5),
    };
    const { file } = await write([slice, long, slice], { key });
    const reader = await open(file);
    expect(reader.blocks.map(({ firstLine, lines }) => [firstLine, lines])).toEqual([
      [0, 3],
      [3, 1],
      [4, 3],
    ]);
    expect(reader.blocks.map((block) => [block.observedFrom, block.observedTo])).toEqual([
      [3, 4],
      [0, 0],
      [3, 4],
    ]);
    expect(await reader.findId("r4")).toEqual([2, 6]);
    expect(await readAll(file)).toBe(textOf([slice, long, slice]));
  });

  test("a segment takes as many lines as it may, and refuses one more", async () => {
    const writer = new SegmentWriter({
      ...name,
      period: "2026-11",
      salt,
      compression: "zstd",
      codec: zstdCodec,
    });
    const batch = batchOf(["a"]);
    const count = SEGMENT_LINES_MAX;
    const length = batch.lines.text.byteLength;
    const text = Buffer.alloc(length * count, batch.lines.text);
    const offsets = Uint32Array.from({ length: count + 1 }, (_, index) => index * length);
    await writer.add({
      lines: { text, offsets },
      ids: Array.from({ length: count }, () => "a"),
      observedAt: new Float64Array(count),
    });
    await expect(writer.add(batch)).rejects.toMatchObject({ code: "usage" });
    const { summary } = await writer.finish();
    expect(summary.lines).toBe(262_144);
  });

  test("a failing codec fails the writer, not the process", async () => {
    const failing: Codec = { ...zstdCodec, compress: () => Promise.reject(new Error("no memory")) };
    const writer = new SegmentWriter({
      ...name,
      period: "2026-11",
      salt,
      compression: "zstd",
      codec: failing,
      blockBytes: 64,
    });
    const adding = writer.add(batchOf(ids(20)));
    await expect(adding).rejects.toThrow("no memory");
  });

  test("blocks are in memory that other threads can read", async () => {
    const { file } = await write([batchOf(["a"])], { key });
    const { lines } = await (await open(file)).readBlock(0);
    expect(lines.text.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(decoder.decode(Uint8Array.from(lines.text)).endsWith("\n")).toBe(true);
  });

  test("a segment of another version is refused by its number", async () => {
    const { file } = await write([], { key });
    file[8] = 2;
    await expect(open(file)).rejects.toThrow(
      "segment seg-1 of acme: header: format version 2; this program reads version 1",
    );
  });
});
