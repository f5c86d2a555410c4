import { createHash, createHmac } from "node:crypto";

import { describe, expect, test } from "vitest";

import { contentHasher, contentHashes, keyedHash } from "./keyed-hash.ts";
import { formatRecoveryKey, parseRecoveryKey } from "./recovery-key.ts";

const key = new Uint8Array(32).fill(1);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("keyed hashes", () => {
  test("a content hash is SHA-256 over the derived key and the text's SHA-256, cut to 16 bytes", () => {
    const secret = createHmac("sha256", key).update("content").digest();
    const inner = createHash("sha256").update('{"a":"ü"}').digest();
    const expected = createHash("sha256")
      .update(Buffer.concat([secret, inner]))
      .digest("hex");
    expect(hex(contentHasher(key)('{"a":"ü"}'))).toBe(expected.slice(0, 32));
  });

  test("many at once are the same as one by one", () => {
    const texts = ["", "{}", "x".repeat(100_000), "ü→😀"];
    const buffers = texts.map((text) => Buffer.from(text));
    const offsets = [0];
    for (const buffer of buffers) offsets.push((offsets.at(-1) ?? 0) + buffer.byteLength);
    const together = contentHashes(key, { text: Buffer.concat(buffers), offsets });
    const hasher = contentHasher(key);
    expect(hex(together)).toBe(texts.map((text) => hex(hasher(text))).join(""));
    expect(together.byteLength).toBe(64);
  });

  test("a value hashed for another purpose, or by another tenant, has an unrelated hash", () => {
    expect(hex(keyedHash(key, "file", "v"))).toBe(
      createHmac("sha256", key).update("file\0v").digest("hex"),
    );
    const all = [
      keyedHash(key, "file", "v"),
      keyedHash(key, "subject", "v"),
      keyedHash(new Uint8Array(32), "file", "v"),
    ];
    expect(new Set(all.map(hex)).size).toBe(3);
  });
});

describe("recovery key", () => {
  test("it is six groups of five characters that a person can type", () => {
    expect(formatRecoveryKey(new Uint8Array(16))).toBe("00000-00000-00000-00000-00000-36KSJ");
    const secret = Uint8Array.from({ length: 16 }, (_, index) => 255 - index * 7);
    expect(parseRecoveryKey(formatRecoveryKey(secret))).toEqual(secret);
  });

  test("any single wrong character is noticed", () => {
    const text = formatRecoveryKey(Uint8Array.from({ length: 16 }, (_, index) => index * 17));
    for (const [at, character] of text.split("").entries()) {
      if (character === "-") continue;
      for (const other of "0129ABCXYZ") {
        if (other === character) continue;
        const wrong = text.slice(0, at) + other + text.slice(at + 1);
        expect(() => parseRecoveryKey(wrong)).toThrow(/checksum differs/);
      }
    }
    expect(() => parseRecoveryKey(text.replace(/.$/, "!"))).toThrow(/no character !/);
    expect(() => parseRecoveryKey(text.slice(1))).toThrow(/30 characters, this one 29/);
  });
});
