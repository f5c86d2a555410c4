import { createHash } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";

import { describe, expect, test } from "vitest";

import { collect, sourceOf } from "../testing/read-text.ts";

async function textOf(bytes: Uint8Array, pieceBytes?: number): Promise<string> {
  const source = await sourceOf(bytes, pieceBytes === undefined ? {} : { pieceBytes });
  return (await collect(source.text())).join("");
}

// printf 'hello ' | bzip2 | base64, and the same with 'world'.
const BZIP2_HELLO = Buffer.from(
  "QlpoOTFBWSZTWXZp4NQAAAERAEAAAkSgADDNAMNGKZcXckU4UJB2aeDU",
  "base64",
);
const BZIP2_WORLD = Buffer.from(
  "QlpoOTFBWSZTWVnOe8sAAAIBgAQEkIAgADDNAMGkwHF3JFOFCQWc57yw",
  "base64",
);

// 120 bytes of noise, a thousand `z` and the printable characters of ASCII, by bzip2 -1.
const BZIP2_RUNS = Buffer.from(
  "QlpoMTFBWSZTWbeXmCgAAEHfgYAQf///////////////AIAACCAAhRGpQGgAAAAAAAAANDQAAAAr1Qmn" +
    "lAAAAAAAAAAAAAAAYgePqBBKRJk5yhSqVrFq5ewYsmbRq2buHLp28evn8CDChxIsaPIkypcybOn0KNKn" +
    "Uq1q9izat3Lt6/gw4sZ+YYweEAYIBAwSjODBImIIhAZAcPpxCkIgEQYFCIMQwKEAlSHgo0A8wKDA/ODg" +
    "Y7Tq17Nu7fw48ufTr27+PwbeyIvZgXz7+RkX8XckU4UJC3l5goA=",
  "base64",
);
// A hundred million zeros, by bzip2 -9.
const BZIP2_BOMB = Buffer.from(
  "QlpoOTFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZDgni3wFfjkAAwAAACCAAMIBN" +
    "RkKgJakKgJcxQVkmU1nEYApVAD7RQALAAABAAAggADDMCapppUiDaipEHi7kinChIcCoiS4=",
  "base64",
);

describe("compressed sources", () => {
  const hello = Buffer.from("hello ");
  const world = Buffer.from("world");

  test.each([1, 3, 7, 64 * 1024])(
    "concatenated members are read to their end, cut at %i bytes",
    async (size) => {
      expect(await textOf(Buffer.concat([gzipSync(hello), gzipSync(world)]), size)).toBe(
        "hello world",
      );
      expect(
        await textOf(Buffer.concat([zstdCompressSync(hello), zstdCompressSync(world)]), size),
      ).toBe("hello world");
    },
  );

  test("a zstd file may hold skippable frames anywhere", async () => {
    const skip = Buffer.from("502a4d1803000000ffffff", "hex");
    const empty = Buffer.from("5f2a4d1800000000", "hex");
    const parts = [skip, zstdCompressSync(hello), empty, skip, zstdCompressSync(world), skip];
    expect(await textOf(Buffer.concat(parts), 2)).toBe("hello world");
  });

  test("a large zstd file of many blocks is read whole", async () => {
    const large = Buffer.alloc(5_000_000, "0123456789 the quick brown fox ");
    const text = await textOf(
      Buffer.concat([zstdCompressSync(large), zstdCompressSync(large)]),
      1000,
    );
    expect(text.length).toBe(10_000_000);
    expect(text.slice(4_999_990, 5_000_010)).toBe(
      large.toString().slice(-10) + large.toString().slice(0, 10),
    );
  });

  test.each([
    ["gzip", gzipSync("x".repeat(10_000))],
    ["zstd", zstdCompressSync("x".repeat(10_000))],
  ])("a truncated %s file is malformed", async (_, bytes) => {
    for (const end of [bytes.length - 1, Math.floor(bytes.length / 2), 5]) {
      await expect(textOf(bytes.subarray(0, end))).rejects.toMatchObject({
        name: "ImportError",
        code: "malformed",
      });
    }
  });

  test.each([
    ["gzip", gzipSync("x")],
    ["zstd", zstdCompressSync("x")],
  ])("something that is no %s after the data is malformed, not left out", async (_, bytes) => {
    await expect(textOf(Buffer.concat([bytes, Buffer.from("garbage")]))).rejects.toMatchObject({
      code: "malformed",
    });
  });

  test("a damaged byte is found by the checksum", async () => {
    const bytes = gzipSync("some text that is long enough");
    bytes[bytes.length - 6] = (bytes[bytes.length - 6] ?? 0) ^ 1;
    await expect(textOf(bytes)).rejects.toMatchObject({ code: "malformed" });
  });

  test("bzip2 is read, also concatenated, and refused when truncated", async () => {
    expect(await textOf(Buffer.concat([BZIP2_HELLO, BZIP2_WORLD]))).toBe("hello world");
    for (const end of [1, 3, 5, 20, BZIP2_HELLO.length - 3]) {
      await expect(textOf(BZIP2_HELLO.subarray(0, -end))).rejects.toMatchObject({
        code: "malformed",
      });
    }
    const garbage = Buffer.concat([BZIP2_HELLO, Buffer.from("garbage")]);
    await expect(textOf(garbage)).rejects.toMatchObject({ code: "malformed" });
  });

  test("bzip2 text with runs and every code is read, cut anywhere, and a changed bit is found", async () => {
    for (const size of [1, 7, 1000]) {
      const text = await textOf(BZIP2_RUNS, size);
      expect(createHash("sha256").update(text).digest("hex")).toBe(
        "d38d39625f07a3eae474c1bc5e0125f838fdbd23ae641fe11616dec252e4f498",
      );
    }
    for (let at = 4; at < BZIP2_RUNS.length; at += 1) {
      const bytes = Buffer.from(BZIP2_RUNS);
      bytes[at] = (bytes[at] ?? 0) ^ 0x10;
      await expect(textOf(bytes)).rejects.toMatchObject({ code: "malformed" });
    }
  });

  test("a bzip2 bomb is stopped while it is small in memory", async () => {
    const source = await sourceOf(BZIP2_BOMB, { limits: { ratioFromBytes: 1_000_000 } });
    let largest = 0;
    const read = async (): Promise<void> => {
      for await (const part of source.text()) largest = Math.max(largest, part.length);
    };
    await expect(read()).rejects.toMatchObject({ code: "limit" });
    expect(largest).toBeLessThanOrEqual(131_072);
  });

  test("an archive that is not read is named", async () => {
    await expect(textOf(Buffer.from("504b030414000000", "hex"))).rejects.toMatchObject({
      code: "unknown-format",
      message: expect.stringContaining("zip") as string,
    });
  });

  test("a bomb is stopped by its ratio once it is large, a small one is let through", async () => {
    const bomb = gzipSync(Buffer.alloc(3_000_000));
    const limits = { ratioMax: 100, ratioFromBytes: 1_000_000 };
    const read = async (bytes: Uint8Array): Promise<number> => {
      const source = await sourceOf(bytes, { limits });
      let length = 0;
      for await (const part of source.text()) length += part.length;
      return length;
    };
    await expect(read(bomb)).rejects.toMatchObject({ code: "limit" });
    expect(await read(gzipSync(Buffer.alloc(1_000_000)))).toBe(1_000_000);
  });

  test("a source of the most bytes is read, one more is refused", async () => {
    const read = async (bytes: number): Promise<string[]> =>
      collect(
        (await sourceOf(Buffer.alloc(bytes, "x"), { limits: { sourceBytesMax: 100 } })).text(),
      );
    expect((await read(100)).join("")).toHaveLength(100);
    await expect(read(101)).rejects.toMatchObject({ code: "limit" });
  });
});
