import { spawnSync } from "node:child_process";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { encodeEntry, entryHash, NO_PREVIOUS } from "../journal/format/entry.ts";
import { encodeLine } from "../journal/format/line.ts";
import { joinLines } from "../journal/format/lines.ts";
import {
  consistencyProof,
  inclusionProof,
  leafHash,
  leafHashes,
  merkleRoot,
} from "../journal/format/merkle.ts";
import { signTreeHead } from "../journal/format/tree-head.ts";
import { ed25519Signer } from "../keys/local-key-service.ts";
import { buildProofBundle } from "./proof-bundle.ts";
import type { ProofBundle } from "./proof-bundle.ts";
import { verifyBundle, verifyCommand } from "./standalone.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const signer = ed25519Signer(new Uint8Array(32).fill(1));
const stranger = ed25519Signer(new Uint8Array(32).fill(2));

/** A journal of `size` entries with three lines each; `mark` makes another history. */
function makeJournal(size: number, mark = "") {
  const lines = Array.from({ length: size }, (_, entry) =>
    [0, 1, 2].map((line) =>
      encodeLine({
        id: `r${entry}-${line}`,
        salt: new Uint8Array(16).fill(line),
        data: `{"m":"${mark}"}`,
      }),
    ),
  );
  const entries: Uint8Array[] = [];
  for (const [index, own] of lines.entries()) {
    const before = entries[index - 1];
    entries.push(
      encodeEntry({
        timeline: "t1",
        tenant: "acme",
        sequence: index + 1,
        commit: `c${index}`,
        type: "redteam/finding",
        typeVersion: 1,
        operation: "put",
        count: 3,
        root: hex(merkleRoot(leafHashes(joinLines(own)))),
        actor: "user:ana",
        source: {},
        idempotency: null,
        observedFrom: null,
        observedTo: null,
        receivedAt: index,
        previous: before === undefined ? NO_PREVIOUS : hex(entryHash(before)),
      }),
    );
  }
  const leaves = Buffer.concat(entries.map((entry) => leafHash(entryHash(entry))));
  const head = (at: number, by = signer) =>
    signTreeHead(
      {
        tenant: "acme",
        timeline: "t1",
        size: at,
        root: hex(merkleRoot(leaves.subarray(0, at * 32))),
        signedAt: 9,
      },
      by,
    );
  return { lines, entries, leaves, head };
}

const journal = makeJournal(11);

async function bundleOf(
  entry: number,
  line: number,
  size = 11,
  from?: number,
): Promise<ProofBundle> {
  const tree = journal.leaves.subarray(0, size * 32);
  const own = journal.lines[entry] ?? [];
  return buildProofBundle({
    line: own[line] ?? Buffer.alloc(0),
    leafIndex: line,
    linePath: inclusionProof(leafHashes(joinLines(own)), line),
    entry: journal.entries[entry] ?? Buffer.alloc(0),
    entryPath: inclusionProof(tree, entry),
    treeHead: await journal.head(size),
    publicKey: signer.publicKey,
    ...(from === undefined ? {} : { consistency: { from, path: consistencyProof(tree, from) } }),
  });
}

const replaceText = (base64: string, from: string, to: string): string => {
  const text = Buffer.from(base64, "base64").toString("utf8");
  expect(text).toContain(from);
  return Buffer.from(text.replace(from, to)).toString("base64");
};

describe("stand-alone verifier", () => {
  test("every line of every entry is proven, at every size of the journal", async () => {
    for (let size = 1; size <= 11; size += 1)
      for (let entry = 0; entry < size; entry += 1)
        for (let line = 0; line < 3; line += 1) {
          const verdict = verifyBundle(
            JSON.parse(JSON.stringify(await bundleOf(entry, line, size))),
          );
          expect(verdict.fault).toBeUndefined();
          expect(verdict.ok).toBe(true);
        }
  });

  test("it says what it looked at", async () => {
    const { checks } = verifyBundle(await bundleOf(4, 1), { keyId: signer.keyId });
    expect(checks.map(({ name }) => name)).toEqual([
      "format",
      "line",
      "entry",
      "line in entry",
      "entry in tree",
      "tree head",
      "signature",
      "timeline",
      "trusted key",
    ]);
    expect(checks[1]?.detail).toBe("record r4-1");
    expect(checks[2]?.detail).toBe("redteam/finding, put, entry 5 of acme, by user:ana");
  });

  const changes: readonly [string, string, (bundle: ProofBundle) => unknown][] = [
    ["another format", "format", (b) => ({ ...b, format: "custody-proof/2" })],
    ["nothing", "format", () => undefined],
    ["a list", "format", () => []],
    ["no line", "line", (b) => ({ ...b, line: undefined })],
    ["a line that is not base64", "line", (b) => ({ ...b, line: `${b.line}*` })],
    [
      "a changed field",
      "line in entry",
      (b) => ({ ...b, line: replaceText(b.line, '"m"', '"n"') }),
    ],
    ["a changed id", "line in entry", (b) => ({ ...b, line: replaceText(b.line, "r4-1", "r4-2") })],
    ["another line number", "line in entry", (b) => ({ ...b, leafIndex: 2 })],
    ["a line number beyond the entry", "line in entry", (b) => ({ ...b, leafIndex: 3 })],
    ["a negative line number", "line in entry", (b) => ({ ...b, leafIndex: -1 })],
    ["another number of lines", "entry", (b) => ({ ...b, leafCount: 4 })],
    ["a step less to the line", "line in entry", (b) => ({ ...b, linePath: b.linePath.slice(1) })],
    [
      "a step more to the line",
      "line in entry",
      (b) => ({ ...b, linePath: [...b.linePath, "0".repeat(64)] }),
    ],
    ["a step that is no hash", "line in entry", (b) => ({ ...b, linePath: ["zz"] })],
    [
      "a changed actor",
      "entry in tree",
      (b) => ({ ...b, entry: replaceText(b.entry, "user:ana", "user:bob") }),
    ],
    [
      "a changed time",
      "entry in tree",
      (b) => ({ ...b, entry: replaceText(b.entry, '"receivedAt":4', '"receivedAt":5') }),
    ],
    [
      "a member twice in the entry",
      "entry",
      (b) => ({ ...b, entry: replaceText(b.entry, '"count":3', '"count":3,"count":3') }),
    ],
    ["another entry number", "entry", (b) => ({ ...b, entryIndex: 5 })],
    ["another tree size", "entry in tree", (b) => ({ ...b, treeSize: 4 })],
    ["no path to the entry", "entry in tree", (b) => ({ ...b, entryPath: [] })],
    [
      "a changed root",
      "entry in tree",
      (b) => ({ ...b, treeHead: { ...b.treeHead, root: "0".repeat(64) } }),
    ],
    [
      "another size in the head",
      "tree head",
      (b) => ({ ...b, treeHead: { ...b.treeHead, size: 12 } }),
    ],
    [
      "another tenant in the head",
      "tree head",
      (b) => ({ ...b, treeHead: { ...b.treeHead, tenant: "other" } }),
    ],
    [
      "a later signing time",
      "signature",
      (b) => ({ ...b, treeHead: { ...b.treeHead, signedAt: 10 } }),
    ],
    [
      "another timeline",
      "signature",
      (b) => ({ ...b, treeHead: { ...b.treeHead, timeline: "t2" } }),
    ],
    [
      "a member more in the head",
      "signature",
      (b) => ({ ...b, treeHead: { ...b.treeHead, more: 1 } }),
    ],
    [
      "another key id",
      "signature",
      (b) => ({ ...b, treeHead: { ...b.treeHead, keyId: stranger.keyId } }),
    ],
    [
      "another public key",
      "signature",
      (b) => ({ ...b, publicKey: Buffer.from(stranger.publicKey).toString("base64") }),
    ],
    ["no public key", "signature", (b) => ({ ...b, publicKey: "" })],
    ["no signature", "signature", (b) => ({ ...b, treeHead: { ...b.treeHead, signature: "" } })],
  ];
  test.each(changes)("with %s, the fault is named: %s", async (_, name, change) => {
    const verdict = verifyBundle(change(await bundleOf(4, 1)));
    expect(verdict.ok).toBe(false);
    expect(verdict.fault?.slice(0, name.length + 2)).toBe(`${name}: `);
    expect(verdict.checks.at(-1)).toMatchObject({ name, ok: false });
  });

  test("a bundle that somebody else signed is whole, but not by the key that is trusted", async () => {
    const forged = {
      ...(await bundleOf(4, 1)),
      treeHead: await journal.head(11, stranger),
      publicKey: Buffer.from(stranger.publicKey).toString("base64"),
    };
    expect(verifyBundle(forged).ok).toBe(true);
    expect(verifyBundle(forged, { keyId: signer.keyId }).fault).toBe(
      `trusted key: signed by ${stranger.keyId}, not by ${signer.keyId}`,
    );
    expect(verifyBundle(await bundleOf(4, 1), { keyId: signer.keyId.toUpperCase() }).ok).toBe(true);
  });

  test("a head that names the trusted key but was signed by another is not believed", async () => {
    const impostor = { ...stranger, keyId: signer.keyId };
    const forged = {
      ...(await bundleOf(4, 1)),
      treeHead: await journal.head(11, impostor),
      publicKey: Buffer.from(stranger.publicKey).toString("base64"),
    };
    expect(verifyBundle(forged, { keyId: signer.keyId }).fault).toBe(
      "signature: the head names another key",
    );
  });

  test("an earlier head kept elsewhere is found to be a beginning, for every pair of sizes", async () => {
    for (let size = 1; size <= 11; size += 1)
      for (let from = 1; from <= size; from += 1) {
        const bundle = await bundleOf(0, 0, size, from);
        expect(verifyBundle(bundle, { head: await journal.head(from) }).fault).toBeUndefined();
      }
  });

  test("a head from later is compared too: the bundle's tree is its beginning", async () => {
    const consistency = { from: 6, path: consistencyProof(journal.leaves, 6).map(hex) };
    const trusted = { head: await journal.head(11), consistency };
    expect(verifyBundle(await bundleOf(2, 0, 6), trusted).fault).toBeUndefined();
  });

  test("a rewritten or cut history contradicts a head kept elsewhere", async () => {
    const other = makeJournal(11, "rewritten");
    const fault = (verdict: { readonly fault?: string }): string => verdict.fault ?? "none";
    const bundle = await bundleOf(0, 0, 11, 6);
    expect(fault(verifyBundle(bundle, { head: await other.head(6) }))).toMatch(/rewritten/);
    expect(fault(verifyBundle(bundle, { head: await other.head(11) }))).toMatch(/rewritten/);
    const consistency = { from: 6, path: consistencyProof(other.leaves, 6).map(hex) };
    const rolledBack = await bundleOf(0, 0, 6);
    const later = { head: await other.head(11), consistency };
    expect(fault(verifyBundle(rolledBack, later))).toMatch(/rewritten/);
    expect(fault(verifyBundle(rolledBack, { head: await journal.head(11) }))).toMatch(
      /a path from 6 to 11 entries is missing/,
    );
    expect(
      fault(verifyBundle(bundle, { head: { ...(await journal.head(6)), tenant: "x" } })),
    ).toMatch(/another tenant/);
  });
});

describe("verify.mjs", () => {
  const published = join(import.meta.dirname, "../../../../docs/reference/verify.mjs");

  test.each([
    ["the source", join(import.meta.dirname, "standalone.ts")],
    ["the published file", published],
  ])("%s is under 400 lines and imports node:crypto and node:fs only", async (_, path) => {
    const code = await readFile(path, "utf8");
    const imports = [...code.matchAll(/^(?:import|export)\b.*\bfrom "([^"]+)";$/gm)];
    expect(code.trimEnd().split("\n").length).toBeLessThan(400);
    expect(imports.map(([, module]) => module)).toEqual(["node:crypto", "node:fs"]);
    expect(code).not.toMatch(/\bimport\(|\brequire\b|getBuiltinModule/);
  });

  test("called wrongly, it says how to call it", () => {
    const printed: string[] = [];
    expect(verifyCommand([], (line) => printed.push(line))).toBe(2);
    expect(printed).toEqual([
      "usage: node verify.mjs bundle.json [--key-id <hex>] [--head trusted-head.json]",
    ]);
  });

  test("run by itself, far from the repository, it answers 0, 1 or 2", async () => {
    const folder = await mkdtemp(join(tmpdir(), "custody-verify-"));
    const run = (...args: string[]) =>
      spawnSync(process.execPath, ["verify.mjs", ...args], { cwd: folder, encoding: "utf8" });
    try {
      const bundle = await bundleOf(4, 1, 11, 6);
      await copyFile(published, join(folder, "verify.mjs"));
      await writeFile(join(folder, "good.json"), JSON.stringify(bundle));
      await writeFile(join(folder, "bad.json"), JSON.stringify({ ...bundle, leafIndex: 0 }));
      await writeFile(join(folder, "head.json"), JSON.stringify(await journal.head(6)));
      await writeFile(
        join(folder, "receipt.json"),
        JSON.stringify({ head: await makeJournal(6, "x").head(6) }),
      );
      const good = run("good.json", "--key-id", signer.keyId, "--head", "head.json");
      expect([good.status, good.stderr]).toEqual([0, ""]);
      expect(good.stdout.split("\n").at(-2)).toBe("The record is in the journal, unaltered.");
      expect(run("good.json").stdout).toContain("note: compare the key above");
      const bad = run("bad.json");
      expect(bad.status).toBe(1);
      expect(bad.stdout).toMatch(/FAIL line in entry: .*\nNOT PROVEN\.\n$/);
      expect(run("good.json", "--head", "receipt.json").stdout).toMatch(
        /FAIL trusted head: .*rewritten/,
      );
      expect(run("good.json", "--key-id", stranger.keyId).status).toBe(1);
      expect(run().status).toBe(2);
      expect(run("missing.json").status).toBe(2);
      expect(run("good.json", "--keyid", signer.keyId).status).toBe(2);
      expect(run("good.json", "--key-id").status).toBe(2);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
