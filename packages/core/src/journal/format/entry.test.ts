import { createHash, generateKeyPairSync } from "node:crypto";

import { canonicalJson } from "@custody/contract/json";
import { describe, expect, test } from "vitest";

import { ed25519Signer } from "../../keys/local-key-service.ts";
import { decodeEntry, encodeEntry, entryHash, NO_PREVIOUS } from "./entry.ts";
import type { Entry } from "./entry.ts";
import {
  decodeTreeHead,
  encodeTreeHead,
  signTreeHead,
  treeHeadBytes,
  verifyTreeHead,
} from "./tree-head.ts";

const A = "a".repeat(64);
const entry: Entry = {
  timeline: "t1",
  tenant: "acme",
  sequence: 2,
  commit: "c1",
  type: "redteam/session_evidence",
  typeVersion: 1,
  operation: "put",
  count: 3,
  root: A,
  actor: "user:ana",
  source: { importer: "garak", mappingVersion: 2, fileHash: A, tool: 'g"1', toolVersion: "0.17" },
  idempotency: null,
  observedFrom: -5,
  observedTo: 7,
  receivedAt: 1_767_600_000_000,
  previous: "b".repeat(64),
};

const CANONICAL =
  `{"actor":"user:ana","commit":"c1","count":3,"format":1,"idempotency":null,"observedFrom":-5,"observedTo":7,"operation":"put",` +
  `"previous":"${"b".repeat(64)}","receivedAt":1767600000000,"root":"${A}","sequence":2,` +
  `"source":{"fileHash":"${A}","importer":"garak","mappingVersion":2,"tool":"g\\"1","toolVersion":"0.17"},` +
  `"tenant":"acme","timeline":"t1","type":"redteam/session_evidence","typeVersion":1}`;

const bytesOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
/** The canonical entry as an object whose members stand in order, to be changed. */
const plain = (): Record<string, unknown> => JSON.parse(CANONICAL) as Record<string, unknown>;

describe("entry", () => {
  test("the bytes are canonical JSON, and the hash is over exactly these", () => {
    const bytes = encodeEntry(entry);
    expect(Buffer.from(bytes).toString()).toBe(CANONICAL);
    expect(Buffer.from(entryHash(bytes)).toString("hex")).toBe(
      createHash("sha256").update(CANONICAL).digest("hex"),
    );
  });

  test("what was encoded is decoded, with and without what may be left out", () => {
    for (const one of [
      entry,
      {
        ...entry,
        source: {},
        observedFrom: null,
        observedTo: null,
        idempotency: A,
        supersedes: "c0",
      },
      {
        ...entry,
        sequence: 1,
        previous: NO_PREVIOUS,
        tenant: "_system",
        count: 0,
        actor: "ünï→😀",
      },
      { ...entry, operation: "restore" as const, oldHead: { timeline: "t0", size: 9, root: A } },
    ])
      expect(decodeEntry(encodeEntry(one))).toEqual(one);
  });

  test("an old head is named by a restore, of another timeline than its own, and by nothing else", () => {
    const oldHead = { timeline: "t0", size: 9, root: A };
    for (const wrong of [
      { ...plain(), oldHead },
      { ...plain(), operation: "restore" },
      { ...plain(), operation: "restore", oldHead: { ...oldHead, timeline: "t1" } },
      { ...plain(), operation: "restore", oldHead: { ...oldHead, size: -1 } },
      { ...plain(), operation: "restore", oldHead: { ...oldHead, more: 1 } },
    ])
      expect(() => decodeEntry(Buffer.from(canonicalJson(wrong)))).toThrow(
        expect.objectContaining({ code: "damaged" }),
      );
  });

  test("another format is refused by its number", () => {
    expect(() => decodeEntry(bytesOf({ ...plain(), format: 2 }))).toThrow(
      expect.objectContaining({
        code: "damaged",
        message: "an entry of format 2: this version reads format 1 only",
      }),
    );
  });

  test.each([
    ["white space", Buffer.from(` ${CANONICAL}`)],
    ["a member twice", Buffer.from(CANONICAL.replace('"count":3', '"count":3,"count":3'))],
    ["members in another order", bytesOf({ tenant: "acme", ...plain() })],
    ["a number in another spelling", Buffer.from(CANONICAL.replace('"count":3', '"count":3.0'))],
    [
      "bytes that are no UTF-8",
      Buffer.concat([
        Buffer.from(CANONICAL.slice(0, 12)),
        Buffer.of(0xff),
        Buffer.from(CANONICAL.slice(13)),
      ]),
    ],
    ["an unknown member", bytesOf({ ...plain(), zzz: 1 })],
    ["an unknown operation", bytesOf({ ...plain(), operation: "burn" })],
    ["a tenant that would leave its directory", bytesOf({ ...plain(), tenant: "../x" })],
    ["sequence 0", bytesOf({ ...plain(), sequence: 0 })],
    ["a count that is no whole number", bytesOf({ ...plain(), count: 1.5 })],
    ["a root in upper case", bytesOf({ ...plain(), root: "A".repeat(64) })],
    ["half a range", bytesOf({ ...plain(), observedFrom: null })],
    ["a range the wrong way round", bytesOf({ ...plain(), observedTo: -6 })],
    ["a later entry without a previous one", bytesOf({ ...plain(), previous: NO_PREVIOUS })],
    ["an unknown member of the source", bytesOf({ ...plain(), source: { path: "x" } })],
    ["no object", Buffer.from("[]")],
    ["no JSON", Buffer.from("{")],
  ])("%s is refused as damaged", (_, bytes) => {
    expect(() => decodeEntry(bytes)).toThrow(expect.objectContaining({ code: "damaged" }));
  });

  test("an entry that could not be read back is not written", () => {
    expect(() => encodeEntry({ ...entry, receivedAt: Number.NaN })).toThrow(/receivedAt/);
    expect(() => encodeEntry({ ...entry, actor: "\ud800" })).toThrow(/actor must be well-formed/);
    expect(() => encodeEntry({ ...entry, count: 2 ** 53 })).toThrow(/count/);
  });
});

describe("tree head", () => {
  // RFC 8032 §7.1, test 2: seed and public key.
  const seed = Buffer.from(
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "hex",
  );
  const signer = ed25519Signer(seed);
  const head = { tenant: "acme", timeline: "t1", size: 2, root: A, signedAt: 9 };

  test("the signer has RFC 8032's public key for its seed, and its signature for its message", async () => {
    expect(Buffer.from(signer.publicKey).toString("hex")).toBe(
      "302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    );
    expect(Buffer.from(await signer.sign(Buffer.of(0x72))).toString("hex")).toBe(
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
  });

  test("the signature is over the canonical bytes without itself", async () => {
    const signed = await signTreeHead(head, signer);
    expect(signed.keyId).toBe(createHash("sha256").update(signer.publicKey).digest("hex"));
    expect(Buffer.from(treeHeadBytes(signed)).toString()).toBe(
      `{"keyId":"${signed.keyId}","root":"${A}","signedAt":9,"size":2,"tenant":"acme","timeline":"t1"}`,
    );
    expect(verifyTreeHead(signed, signer.publicKey)).toBe(true);
    expect(decodeTreeHead(encodeTreeHead(signed))).toEqual(signed);
  });

  test("a head with anything changed, or under another key, is not verified", async () => {
    const signed = await signTreeHead(head, signer);
    const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" });
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({
      type: "spki",
      format: "der",
    });
    const impostor = await signTreeHead(head, { ...signer, keyId: A });
    const changed = [
      impostor,
      { ...signed, tenant: "acmf" },
      { ...signed, timeline: "t2" },
      { ...signed, size: 3 },
      { ...signed, root: "c".repeat(64) },
      { ...signed, signedAt: 10 },
      { ...signed, keyId: A },
      { ...signed, signature: signed.signature.replace(/^./, (c) => (c === "A" ? "B" : "A")) },
      { ...signed, signature: "" },
      { ...signed, signature: `${signed.signature}==` },
    ];
    for (const one of changed) expect(verifyTreeHead(one, signer.publicKey)).toBe(false);
    for (const key of [other, rsa, new Uint8Array(3)]) {
      const keyId = createHash("sha256").update(key).digest("hex");
      expect(verifyTreeHead(signed, key)).toBe(false);
      expect(verifyTreeHead({ ...signed, keyId }, key)).toBe(false);
    }
  });
});
