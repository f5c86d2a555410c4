// Writes the test vectors and the stand-alone verifier: node --conditions=source docs/reference/test-vectors/make.ts
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";

import type { SignedTreeHead } from "@custody/contract/receipt";
import { zstdCodecSync } from "@custody/core/journal/format/codec";
import { encodeEntry, entryHash, NO_PREVIOUS } from "@custody/core/journal/format/entry";
import type { Entry } from "@custody/core/journal/format/entry";
import { packLines, sealLines } from "@custody/core/journal/format/inline-lines";
import { encodeLine } from "@custody/core/journal/format/line";
import { joinLines } from "@custody/core/journal/format/lines";
import {
  EMPTY_ROOT,
  inclusionProof,
  leafHash,
  leafHashes,
  merkleRoot,
} from "@custody/core/journal/format/merkle";
import { SegmentWriter } from "@custody/core/journal/format/segment-writer";
import { signTreeHead, treeHeadBytes } from "@custody/core/journal/format/tree-head";
import { TreeFrontier } from "@custody/core/journal/format/tree-frontier";
import { contentHasher, keyedHash } from "@custody/core/keys/keyed-hash";
import { ed25519Signer } from "@custody/core/keys/local-key-service";
import { formatRecoveryKey } from "@custody/core/keys/recovery-key";
import { sealFields } from "@custody/core/keys/seal-fields";
import { sealStream } from "@custody/core/keys/sealed-stream";
import { buildProofBundle } from "@custody/core/verify/proof-bundle";
import type { ProofBundle } from "@custody/core/verify/proof-bundle";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
const filled = (length: number, first: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (first + index) % 256);

const TENANT = "acme";
const PERIOD = "2026-01";
const SEGMENT_ID = "0197b000-0000-7000-8000-000000000001";
const tenantKey = filled(32, 0);
const hashKey = filled(32, 32);
const subjectKey = filled(32, 64);
const seed = filled(32, 96);

const ids = ["r1", "r2", 'quote"and→😀'] as const;
const observedAt = [1_767_600_000_000, 1_767_600_000_500, Number.NaN];

function makeLines(): readonly Uint8Array[] {
  const place = { tenant: TENANT, type: "redteam/session_evidence", id: ids[1] };
  const { fields, sealed } = sealFields({ name: "Ana", score: 0.5 }, ["name"], place, {
    key: subjectKey,
    nonce: filled(12, 160),
  });
  return [
    encodeLine({
      id: ids[0],
      salt: filled(16, 1),
      observedAt: observedAt[0] ?? 0,
      data: '{"model":"m","n":9007199254740993}',
    }),
    encodeLine({
      id: ids[1],
      salt: filled(16, 2),
      observedAt: observedAt[1] ?? 0,
      subject: "s-1",
      sealed: sealed ?? "",
      data: JSON.stringify(fields),
    }),
    encodeLine({ id: ids[2], salt: filled(16, 3) }),
  ];
}

function makeEntries(root: Uint8Array): readonly Uint8Array[] {
  const first: Entry = {
    timeline: "0197b000-0000-7000-8000-00000000000a",
    tenant: TENANT,
    sequence: 1,
    commit: "0197b000-0000-7000-8000-00000000000b",
    type: "redteam/session_evidence",
    typeVersion: 1,
    operation: "put",
    count: 3,
    root: hex(root),
    actor: "user:ana",
    source: {
      tool: "garak",
      importer: "garak",
      mappingVersion: 1,
      fileHash: hex(keyedHash(hashKey, "file", "f")),
    },
    idempotency: null,
    observedFrom: 1_767_600_000_000,
    observedTo: 1_767_600_000_500,
    receivedAt: 1_767_600_001_000,
    previous: NO_PREVIOUS,
  };
  const entries = [encodeEntry(first)];
  for (let sequence = 2; sequence <= 5; sequence += 1) {
    const previous = hex(entryHash(entries[sequence - 2] ?? new Uint8Array(0)));
    entries.push(encodeEntry({ ...first, sequence, previous, source: {}, commit: `c${sequence}` }));
  }
  return entries;
}

async function makeSegment(lines: readonly Uint8Array[], key?: Uint8Array): Promise<Uint8Array> {
  const writer = new SegmentWriter({
    tenant: TENANT,
    segmentId: SEGMENT_ID,
    period: PERIOD,
    salt: filled(16, 200),
    compression: "zstd",
    codec: zstdCodecSync,
    blockBytes: 300,
    ...(key === undefined ? {} : { key }),
  });
  const batch = { lines: joinLines(lines), ids, observedAt: Float64Array.from(observedAt) };
  const chunks = await writer.add(batch);
  const { chunks: last } = await writer.finish();
  return Buffer.concat([...chunks, ...last]);
}

async function makeOriginal(): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const source = (async function* () {
    yield Buffer.from("an original file\n");
  })();
  const seal = { key: subjectKey, salt: filled(16, 220) };
  for await (const part of sealStream(source, { tenant: TENANT, blobId: "o1" }, seal))
    parts.push(part);
  return Buffer.concat(parts);
}

function fixedVectors() {
  return {
    keys: {
      tenantKey: hex(tenantKey),
      hashKey: hex(hashKey),
      subjectKey: hex(subjectKey),
      signingSeed: hex(seed),
    },
    tenant: TENANT,
    period: PERIOD,
    segmentId: SEGMENT_ID,
    sealedFields: { line: 1, type: "redteam/session_evidence", opened: { "/name": "Ana" } },
    keyedHash: { purpose: "file", value: "f", hash: hex(keyedHash(hashKey, "file", "f")) },
    contentHash: { text: '{"a":1}', hash: hex(contentHasher(hashKey)('{"a":1}')) },
    recoveryKey: { secret: hex(filled(16, 7)), text: formatRecoveryKey(filled(16, 7)) },
  };
}

/** The vectors, by file name, as JSON values. The sealed parts depend on the bytes that zstd gives. */
export async function makeVectors(): Promise<{
  readonly "vectors.json": unknown;
  readonly "proof-bundle.json": unknown;
}> {
  const lines = makeLines();
  const hashes = leafHashes(joinLines(lines));
  const root = merkleRoot(hashes);
  const entries = makeEntries(root);
  const entryHashes = entries.map(entryHash);
  const leaves = Buffer.concat(entryHashes.map(leafHash));
  const frontier = new TreeFrontier();
  const sizes = entryHashes.map((hash) => {
    frontier.append(hash);
    return { size: frontier.size, root: hex(frontier.root()), frontier: hex(frontier.serialise()) };
  });
  const signer = ed25519Signer(seed);
  const timeline = "0197b000-0000-7000-8000-00000000000a";
  const treeHead = await signTreeHead(
    { tenant: TENANT, timeline, size: 5, root: hex(frontier.root()), signedAt: 1_767_600_002_000 },
    signer,
  );
  const packed = await packLines(joinLines(lines), "zstd", zstdCodecSync);
  const inline = sealLines(
    packed,
    { tenant: TENANT, sequence: 1 },
    { key: tenantKey, period: PERIOD, salt: filled(16, 210) },
  );
  const about = "Generated by make.ts; never edited. Described in ../journal-format.md.";
  const vectors = {
    about,
    ...fixedVectors(),
    lines: lines.map((line, index) => ({
      line: text(line),
      leaf: hex(hashes.subarray(index * 32, index * 32 + 32)),
    })),
    linesRoot: hex(root),
    entries: entries.map((entry, index) => ({
      entry: text(entry),
      hash: hex(entryHashes[index] ?? root),
    })),
    trees: sizes,
    treeHead: {
      signed: text(treeHeadBytes(treeHead)),
      publicKey: hex(signer.publicKey),
      head: treeHead,
    },
    inline: { sequence: 1, bytes: base64(inline) },
    segment: base64(await makeSegment(lines, tenantKey)),
    plainSegment: base64(await makeSegment(lines)),
    original: { blobId: "o1", text: "an original file\n", bytes: base64(await makeOriginal()) },
  };
  return {
    "vectors.json": vectors,
    "proof-bundle.json": makeBundle({ lines, hashes, entries, leaves }, treeHead, signer.publicKey),
  };
}

function makeBundle(
  journal: {
    readonly lines: readonly Uint8Array[];
    readonly hashes: Uint8Array;
    readonly entries: readonly Uint8Array[];
    readonly leaves: Uint8Array;
  },
  treeHead: SignedTreeHead,
  publicKey: Uint8Array,
): ProofBundle {
  const { lines, hashes, entries, leaves } = journal;
  return buildProofBundle({
    line: lines[1] ?? EMPTY_ROOT,
    leafIndex: 1,
    linePath: inclusionProof(hashes, 1),
    entry: entries[0] ?? EMPTY_ROOT,
    entryPath: inclusionProof(leaves, 0),
    treeHead,
    publicKey,
  });
}

const START = `
// When this file itself is run; importing it does nothing.
const started = process.argv[1];
const own = decodeURIComponent(new URL(import.meta.url).pathname);
if (started !== undefined && own === realpathSync(started))
  process.exitCode = verifyCommand(process.argv.slice(2), (line) => process.stdout.write(line + "\\n"));
`;

/** The stand-alone verifier as plain JavaScript, made from its TypeScript by leaving out the types. */
export function makeVerifier(): string {
  const root = join(import.meta.dirname, "..", "..", "..");
  const source = readFileSync(join(root, "packages/core/src/verify/standalone.ts"), "utf8");
  const plain = stripTypeScriptTypes(source)
    // What documented a type would now document nothing.
    .replace(/\/\*\*(?:(?!\*\/)[^])*\*\/[ \t]*\n(?=[ \t]*\n)/g, "")
    .replace("{ readFileSync }", "{ readFileSync, realpathSync }");
  const first =
    "// Generated from packages/core/src/verify/standalone.ts by test-vectors/make.ts; never edited.\n";
  return formatted(root, "verify.mjs", `${first}${plain}${START}`);
}

function formatted(root: string, file: string, code: string): string {
  const oxfmt = join(root, "node_modules/.bin/oxfmt");
  const { status, stdout, stderr } = spawnSync(oxfmt, [`--stdin-filepath=${file}`], {
    cwd: root,
    input: code,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`oxfmt failed: ${stderr}`);
  return stdout;
}

if (import.meta.main) {
  const root = join(import.meta.dirname, "..", "..", "..");
  for (const [name, value] of Object.entries(await makeVectors())) {
    const json = formatted(root, name, `${JSON.stringify(value, undefined, 2)}\n`);
    writeFileSync(join(import.meta.dirname, name), json);
  }
  writeFileSync(join(import.meta.dirname, "..", "verify.mjs"), makeVerifier());
}
