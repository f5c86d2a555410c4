import { describe, expect, test } from "vitest";

import { CoreError } from "../../errors.ts";
import { zstdCodecSync } from "./codec.ts";
import { inlinePeriod, openLines, packLines, sealLines } from "./inline-lines.ts";
import { joinLines, sliceLines } from "./lines.ts";

const key = new Uint8Array(32).fill(7);
const salt = new Uint8Array(16).fill(9);
const period = "2026-11";
const place = { tenant: "acme", sequence: 12 };
const codecs = { zstd: zstdCodecSync };
const lines = joinLines(["{a}", "{b}", "{c}"].map((text) => Buffer.from(text)));

describe.each([
  { title: "sealed", seal: { key, period, salt }, opening: { key, codecs } },
  { title: "not sealed", seal: { period, salt }, opening: { codecs } },
])("inline lines, $title", ({ seal, opening }) => {
  const made = async (): Promise<Uint8Array> =>
    sealLines(await packLines(lines, "zstd", zstdCodecSync), place, seal);

  test("lines come back in shared memory, also when a slice was packed", async () => {
    expect(await openLines(await made(), place, opening)).toEqual(lines);
    const part = await packLines(sliceLines(lines, 1, 3), "zstd", zstdCodecSync);
    const opened = await openLines(sealLines(part, place, seal), place, opening);
    expect(Buffer.from(opened.text).toString()).toBe("{b}\n{c}\n");
    expect(opened.text.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  test("changing any single byte, or cutting anywhere, is found", async () => {
    const sealed = await made();
    for (let at = 0; at < sealed.byteLength; at += 1) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const opened = openLines(changed, place, opening);
      await expect(opened, `byte ${at}`).rejects.toThrow(/inline lines of entry 12 of acme: /);
      await expect(openLines(sealed.subarray(0, at), place, opening)).rejects.toBeInstanceOf(
        CoreError,
      );
    }
  });

  test("lines moved to another entry or tenant do not open", async () => {
    const sealed = await made();
    for (const other of [
      { ...place, sequence: 13 },
      { ...place, tenant: "other" },
    ])
      await expect(openLines(sealed, other, opening)).rejects.toMatchObject({ code: "damaged" });
  });
});

test("sealed lines tell which month's key opens them, and need it", async () => {
  const packed = await packLines(lines, "zstd", zstdCodecSync);
  const sealed = sealLines(packed, place, { key, period, salt });
  const plain = sealLines(packed, place, { period, salt });
  expect([inlinePeriod(sealed), inlinePeriod(plain)]).toEqual(["2026-11", undefined]);
  await expect(openLines(sealed, place, { codecs })).rejects.toMatchObject({ code: "no-key" });
  await expect(openLines(plain, place, { key, codecs })).rejects.toThrow(/not sealed although/);
  await expect(openLines(sealed, place, { key: salt.slice(0, 0), codecs })).rejects.toBeDefined();
});
