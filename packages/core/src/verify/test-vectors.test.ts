import {
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  hkdfSync,
  sign,
} from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";

import { describe, expect, test } from "vitest";

import { makeVectors, makeVerifier } from "../../../../docs/reference/test-vectors/make.ts";

const reference = join(import.meta.dirname, "../../../../docs/reference");
const read = async (name: string): Promise<string> => await readFile(join(reference, name), "utf8");

describe("published test vectors", () => {
  test("they are what today's code makes; run docs/reference/test-vectors/make.ts when this fails", async () => {
    const made = await makeVectors();
    expect(JSON.parse(await read("test-vectors/vectors.json"))).toEqual(made["vectors.json"]);
    expect(JSON.parse(await read("test-vectors/proof-bundle.json"))).toEqual(
      made["proof-bundle.json"],
    );
    expect(await read("verify.mjs")).toBe(makeVerifier());
  });
});

// From here on a second reader, written from journal-format.md alone: it uses none of our modules.

interface Vectors {
  readonly keys: Readonly<Record<"tenantKey" | "hashKey" | "subjectKey" | "signingSeed", string>>;
  readonly tenant: string;
  readonly segmentId: string;
  readonly lines: readonly { readonly line: string; readonly leaf: string }[];
  readonly linesRoot: string;
  readonly sealedFields: { readonly line: number; readonly type: string; readonly opened: unknown };
  readonly keyedHash: { readonly purpose: string; readonly value: string; readonly hash: string };
  readonly contentHash: { readonly text: string; readonly hash: string };
  readonly recoveryKey: { readonly secret: string; readonly text: string };
  readonly entries: readonly { readonly entry: string; readonly hash: string }[];
  readonly trees: readonly {
    readonly size: number;
    readonly root: string;
    readonly frontier: string;
  }[];
  readonly treeHead: {
    readonly signed: string;
    readonly publicKey: string;
    readonly head: { readonly signature: string; readonly keyId: string };
  };
  readonly inline: { readonly sequence: number; readonly bytes: string };
  readonly segment: string;
  readonly plainSegment: string;
  readonly original: { readonly blobId: string; readonly text: string; readonly bytes: string };
}
const vectors = JSON.parse(await read("test-vectors/vectors.json")) as Vectors;

const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
  createHash("sha256").update(Buffer.concat(parts)).digest();
const parts = (...values: readonly (string | Uint8Array)[]): Buffer =>
  Buffer.concat(
    values.flatMap((value) => {
      const bytes = Buffer.from(value as string);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
const hkdf = (key: Uint8Array, salt: Uint8Array, info: Uint8Array): Buffer =>
  Buffer.from(hkdfSync("sha256", key, salt, info, 32));
function gcm(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce).setAAD(aad);
  decipher.setAuthTag(sealed.subarray(sealed.length - 16));
  const body = decipher.update(sealed.subarray(0, sealed.length - 16));
  return Buffer.concat([body, decipher.final()]);
}
function treeRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0] ?? sha256();
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return sha256(Buffer.of(1), treeRoot(leaves.slice(0, k)), treeRoot(leaves.slice(k)));
}
const counter = (number: number): Buffer => {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(number, 8);
  return nonce;
};
const tenantKey = Buffer.from(vectors.keys.tenantKey, "hex");

type Row = readonly [offset: number, stored: number, raw: number, ...rest: readonly unknown[]];
interface Footer {
  readonly tenant: string;
  readonly segment: string;
  readonly lines: number;
  readonly blocks: readonly Row[];
  readonly ids: readonly Row[];
}

/** Reads a whole segment file as the document describes it. */
function readSegment(
  file: Buffer,
  key: Buffer | undefined,
): { footer: Footer; text: string; ids: string } {
  const [header, trailer] = [file.subarray(0, 32), file.subarray(file.length - 60)];
  expect(header.toString("latin1", 0, 8) + trailer.toString("latin1", 52)).toBe("CUSTODYSCUSTODYE");
  expect([...header.subarray(8, 12)]).toEqual([1, key === undefined ? 0 : 1, 1, 0]);
  expect(header.readUInt32LE(12)).toBe(202_601);
  const [offset, stored] = [Number(trailer.readBigUInt64LE(0)), trailer.readUInt32LE(8)];
  const footerBytes = file.subarray(offset, offset + stored);
  expect(offset + stored + 60).toBe(file.length);
  expect(sha256(header, footerBytes, trailer.subarray(0, 20))).toEqual(trailer.subarray(20, 52));
  const openBlock = (number: number, kind: number, bytes: Buffer, raw: number): Buffer => {
    if (key === undefined) return zstdDecompressSync(bytes, { maxOutputLength: raw });
    const info = parts("custody segment v1", vectors.segmentId);
    const place = Buffer.alloc(9);
    place.writeUInt32LE(number);
    place[8] = kind;
    const aad = parts("custody segment block v1", vectors.tenant, vectors.segmentId, header, place);
    const segmentKey = hkdf(key, header.subarray(16), info);
    return zstdDecompressSync(gcm(segmentKey, counter(number), aad, bytes), {
      maxOutputLength: raw,
    });
  };
  const number = trailer.readUInt32LE(16);
  const footer = JSON.parse(
    openBlock(number, 2, footerBytes, trailer.readUInt32LE(12)).toString(),
  ) as Footer;
  const rows = [...footer.blocks, ...footer.ids];
  expect(rows.length).toBe(number);
  const opened = rows.map((row, index) => {
    const [start, length, raw] = row;
    const bytes = file.subarray(start, start + length);
    if (key === undefined) expect(row.at(-1)).toBe(sha256(bytes).toString("hex"));
    return openBlock(index, index < footer.blocks.length ? 0 : 1, bytes, raw).toString("utf8");
  });
  const blocks = footer.blocks.length;
  return { footer, text: opened.slice(0, blocks).join(""), ids: opened.slice(blocks).join("") };
}

describe("a reader written from the document", () => {
  const leaves = vectors.lines.map(({ line }) => sha256(Buffer.of(0), Buffer.from(line)));
  const allLines = vectors.lines.map(({ line }) => `${line}\n`).join("");

  test("finds the leaves and their root", () => {
    expect(leaves.map((leaf) => leaf.toString("hex"))).toEqual(
      vectors.lines.map(({ leaf }) => leaf),
    );
    expect(treeRoot(leaves).toString("hex")).toBe(vectors.linesRoot);
  });

  test("finds the entries' hashes, their chain, and the tree over them at each size", () => {
    const hashes = vectors.entries.map(({ entry }) => sha256(Buffer.from(entry)));
    expect(hashes.map((hash) => hash.toString("hex"))).toEqual(
      vectors.entries.map(({ hash }) => hash),
    );
    const previous = vectors.entries.map(
      ({ entry }) => (JSON.parse(entry) as { previous: string }).previous,
    );
    expect(previous).toEqual([
      "0".repeat(64),
      ...hashes.slice(0, 4).map((hash) => hash.toString("hex")),
    ]);
    for (const { size, root, frontier } of vectors.trees) {
      const tree = hashes.slice(0, size).map((hash) => sha256(Buffer.of(0), hash));
      expect(treeRoot(tree).toString("hex")).toBe(root);
      const subtrees: string[] = [];
      for (let at = 0, width = 4; width >= 1; width /= 2) {
        if ((size & width) === 0) continue;
        subtrees.push(treeRoot(tree.slice(at, at + width)).toString("hex"));
        at += width;
      }
      expect(subtrees.join("")).toBe(frontier);
    }
  });

  test("makes the same signature of the same tree head", () => {
    const { signed, publicKey, head } = vectors.treeHead;
    const der = Buffer.from(`302e020100300506032b657004220420${vectors.keys.signingSeed}`, "hex");
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    expect(sign(null, Buffer.from(signed), key).toString("base64url")).toBe(head.signature);
    expect(sha256(Buffer.from(publicKey, "hex")).toString("hex")).toBe(head.keyId);
  });

  test.each([
    ["sealed", vectors.segment, tenantKey],
    ["plain", vectors.plainSegment, undefined],
  ])("reads the %s segment", (_, base64, key) => {
    const { footer, text, ids } = readSegment(Buffer.from(base64, "base64"), key);
    expect(text).toBe(allLines);
    expect(ids).toBe('["quote\\"and→😀",2]\n["r1",0]\n["r2",1]\n');
    expect([footer.tenant, footer.segment, footer.lines]).toEqual([
      vectors.tenant,
      vectors.segmentId,
      3,
    ]);
    expect(footer.blocks.map((row) => row.slice(3, 7))).toEqual([
      [0, 1, 1_767_600_000_000, 1_767_600_000_000],
      [1, 2, 1_767_600_000_500, 1_767_600_000_500],
    ]);
  });

  test("opens the inline lines", () => {
    const bytes = Buffer.from(vectors.inline.bytes, "base64");
    const key = hkdf(tenantKey, bytes.subarray(16, 32), parts("custody inline v1", "1"));
    const aad = parts("custody inline lines v1", vectors.tenant, "1", bytes.subarray(0, 36));
    const packed = gcm(key, counter(0), aad, bytes.subarray(36));
    const text = zstdDecompressSync(packed).toString("utf8");
    expect(text).toBe(allLines);
    expect(bytes.readUInt32LE(32)).toBe(Buffer.byteLength(text));
  });

  test("opens the sealed fields of a line with the subject's key", () => {
    const { line, type, opened } = vectors.sealedFields;
    const { id, sealed } = JSON.parse(vectors.lines[line]?.line ?? "") as {
      id: string;
      sealed: string;
    };
    const bytes = Buffer.from(sealed, "base64url");
    const aad = parts("custody sealed fields v1", vectors.tenant, type, id);
    const key = Buffer.from(vectors.keys.subjectKey, "hex");
    expect(bytes[0]).toBe(1);
    expect(JSON.parse(gcm(key, bytes.subarray(1, 13), aad, bytes.subarray(13)).toString())).toEqual(
      opened,
    );
  });

  test("opens the original file", () => {
    const { blobId, bytes, text } = vectors.original;
    const file = Buffer.from(bytes, "base64");
    const header = file.subarray(0, 32);
    expect(header.toString("latin1", 0, 8)).toBe("CUSTODYO");
    expect([header[8], header.readUInt32LE(12)]).toEqual([1, 131_072]);
    const subjectKey = Buffer.from(vectors.keys.subjectKey, "hex");
    const key = hkdf(subjectKey, header.subarray(16), parts("custody original v1", blobId));
    const aad = parts("custody original chunk v1", vectors.tenant, blobId, header);
    const nonce = Buffer.alloc(12).fill(1, 11);
    expect(gcm(key, nonce, aad, file.subarray(32)).toString()).toBe(text);
  });

  test("makes the same keyed hashes and recovery key", () => {
    const hashKey = Buffer.from(vectors.keys.hashKey, "hex");
    const { purpose, value, hash } = vectors.keyedHash;
    expect(createHmac("sha256", hashKey).update(`${purpose}\0${value}`).digest("hex")).toBe(hash);
    const secret = createHmac("sha256", hashKey).update("content").digest();
    const content = sha256(secret, sha256(Buffer.from(vectors.contentHash.text)));
    expect(content.toString("hex", 0, 16)).toBe(vectors.contentHash.hash);
    const bytes = Buffer.from(vectors.recoveryKey.secret, "hex");
    const check = sha256(Buffer.from("custody recovery v1"), bytes).readUIntBE(0, 3) >> 2;
    let bits = (BigInt(`0x${bytes.toString("hex")}`) << 22n) | BigInt(check);
    let text = "";
    for (; text.length < 30; bits >>= 5n)
      text = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".charAt(Number(bits & 31n)) + text;
    expect(text).toBe(vectors.recoveryKey.text.replaceAll("-", ""));
  });
});
