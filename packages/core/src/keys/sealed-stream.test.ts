import { describe, expect, test } from "vitest";

import { CHUNK_BYTES, openStream, sealStream } from "./sealed-stream.ts";

const place = { tenant: "acme", blobId: "b1" };
const key = new Uint8Array(32).fill(3);
const salt = new Uint8Array(16).fill(4);

async function* inParts(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}
async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}
const seal = (bytes: Uint8Array, size = 50_000): Promise<Buffer> =>
  collect(sealStream(inParts(bytes, size), place, { key, salt }));
const open = (bytes: Uint8Array, size = 70_001, where = place): Promise<Buffer> =>
  collect(openStream(inParts(bytes, size), where, key));

const sample = (length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, index) => index % 251));

describe("sealed originals", () => {
  test.each([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 400_000])(
    "%i bytes come back, however the stream is cut",
    async (length) => {
      const bytes = sample(length);
      const sealed = await seal(bytes);
      expect(sealed.byteLength).toBe(
        32 + length + 16 * Math.max(1, Math.ceil(length / CHUNK_BYTES)),
      );
      expect((await open(sealed)).equals(bytes)).toBe(true);
      expect((await open(sealed, 1_000_000)).equals(bytes)).toBe(true);
      expect((await seal(bytes, 1_000_000)).equals(sealed)).toBe(true);
    },
  );

  test("changing any byte of a small one, or cutting it anywhere, is found", async () => {
    const sealed = await seal(sample(40));
    for (let at = 0; at < sealed.byteLength; at += 1) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 0x40;
      await expect(open(changed)).rejects.toMatchObject({ code: "damaged" });
      await expect(open(sealed.subarray(0, at))).rejects.toMatchObject({ code: "damaged" });
    }
    await expect(open(Buffer.concat([sealed, Buffer.of(0)]))).rejects.toThrow(/chunk 0/);
  });

  test("chunks dropped, repeated, exchanged or missing at the end are found", async () => {
    const sealed = await seal(sample(3 * CHUNK_BYTES));
    const chunk = CHUNK_BYTES + 16;
    const [header, a, b, c] = [
      sealed.subarray(0, 32),
      ...[0, 1, 2].map((index) => sealed.subarray(32 + index * chunk, 32 + (index + 1) * chunk)),
    ] as [Buffer, Buffer, Buffer, Buffer];
    expect((await open(Buffer.concat([header, a, b, c]))).byteLength).toBe(3 * CHUNK_BYTES);
    for (const wrong of [[a, b], [a, c], [b, a, c], [a, b, b, c], [a], [], [a, b, c, c]])
      await expect(open(Buffer.concat([header, ...wrong]))).rejects.toMatchObject({
        code: "damaged",
      });
  });

  test("an original opens only as itself", async () => {
    const sealed = await seal(sample(10));
    await expect(open(sealed, 99, { ...place, blobId: "b2" })).rejects.toThrow(
      /original b2 of acme/,
    );
    await expect(open(sealed, 99, { ...place, tenant: "other" })).rejects.toMatchObject({
      code: "damaged",
    });
  });

  test("what is given before a damaged chunk was checked, and the source is closed after it", async () => {
    const sealed = await seal(sample(2 * CHUNK_BYTES));
    sealed[sealed.byteLength - 1] = (sealed.at(-1) ?? 0) ^ 1;
    let isClosed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield* inParts(sealed, 10_000);
        yield new Uint8Array(0);
      } finally {
        isClosed = true;
      }
    }
    const given: number[] = [];
    const reading = (async () => {
      for await (const part of openStream(source(), place, key)) given.push(part.byteLength);
    })();
    await expect(reading).rejects.toThrow(/chunk 1/);
    expect(given).toEqual([CHUNK_BYTES]);
    expect(isClosed).toBe(true);
  });
});
