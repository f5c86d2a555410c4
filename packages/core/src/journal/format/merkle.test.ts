import { createHash } from "node:crypto";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { joinLines } from "./lines.ts";
import {
  consistencyProof,
  inclusionProof,
  leafHash,
  leafHashes,
  merkleRoot,
  verifyConsistency,
  verifyInclusion,
} from "./merkle.ts";
import {
  consistencyProofFromNodes,
  inclusionProofFromNodes,
  TreeFrontier,
} from "./tree-frontier.ts";
import type { ReadTreeNodes } from "./tree-frontier.ts";

const sha256 = (...parts: Uint8Array[]): Buffer =>
  createHash("sha256").update(Buffer.concat(parts)).digest();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** RFC 9162 §2.1.1, word for word. */
function naiveRoot(leaves: readonly Uint8Array[]): Buffer {
  const [only] = leaves;
  if (only === undefined) return sha256();
  if (leaves.length === 1) return sha256(Uint8Array.of(0), only);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return sha256(Uint8Array.of(1), naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

/** RFC 9162 §2.1.3.1. */
function naivePath(m: number, leaves: readonly Uint8Array[]): Buffer[] {
  if (leaves.length === 1) return [];
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return m < k
    ? [...naivePath(m, left), naiveRoot(right)]
    : [...naivePath(m - k, right), naiveRoot(left)];
}

/** RFC 9162 §2.1.4.1. */
function naiveConsistency(m: number, leaves: readonly Uint8Array[], isWhole: boolean): Buffer[] {
  if (m === leaves.length) return isWhole ? [] : [naiveRoot(leaves)];
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return m <= k
    ? [...naiveConsistency(m, left, isWhole), naiveRoot(right)]
    : [...naiveConsistency(m - k, right, false), naiveRoot(left)];
}

const leavesOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, index) => Buffer.from(`leaf ${index}`));
const hashesOf = (leaves: readonly Uint8Array[]): Uint8Array => leafHashes(joinLines(leaves));

describe("RFC 9162 tree", () => {
  test("the roots of Certificate Transparency's published example come out", () => {
    const leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"].map((text) =>
      Buffer.from(text, "hex"),
    );
    leaves.push(Buffer.from("606162636465666768696a6b6c6d6e6f", "hex"));
    const roots = leaves.map((_, last) =>
      hex(merkleRoot(Buffer.concat(leaves.slice(0, last + 1).map(leafHash)))),
    );
    expect(roots).toEqual([
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]);
    expect(hex(merkleRoot(new Uint8Array(0)))).toBe(
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
  });

  test("roots and proofs equal the RFC's recursive definitions for every size up to 70", () => {
    for (let size = 1; size <= 70; size += 1) {
      const leaves = leavesOf(size);
      const hashes = hashesOf(leaves);
      const root = naiveRoot(leaves);
      expect(hex(merkleRoot(hashes))).toBe(hex(root));
      for (let index = 0; index < size; index += 1) {
        const path = inclusionProof(hashes, index);
        expect(path.map(hex)).toEqual(naivePath(index, leaves).map(hex));
        const hash = leafHash(leaves[index] ?? Buffer.alloc(0));
        expect(verifyInclusion({ hash, index, size, path, root })).toBe(true);
      }
      for (let from = 1; from <= size; from += 1) {
        const path = consistencyProof(hashes, from);
        expect(path.map(hex)).toEqual(naiveConsistency(from, leaves, true).map(hex));
        const fromRoot = naiveRoot(leaves.slice(0, from));
        expect(verifyConsistency({ from, fromRoot, size, root, path })).toBe(true);
      }
    }
  });

  test("a proof for another place, size, leaf, step or root is refused", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 300 }), fc.nat(), fc.nat(), (size, place, change) => {
        const leaves = leavesOf(size);
        const hashes = hashesOf(leaves);
        const index = place % size;
        const path = inclusionProof(hashes, index);
        const root = merkleRoot(hashes);
        const claim = { hash: leafHash(leaves[index] ?? Buffer.alloc(0)), index, size, path, root };
        const step = change % path.length;
        const broken = path.with(step, sha256(path[step] ?? Buffer.alloc(0)));
        expect(verifyInclusion(claim)).toBe(true);
        expect(verifyInclusion({ ...claim, path: broken })).toBe(false);
        expect(verifyInclusion({ ...claim, path: path.slice(1) })).toBe(false);
        expect(verifyInclusion({ ...claim, path: [...path, root] })).toBe(false);
        expect(verifyInclusion({ ...claim, index: (index + 1) % size })).toBe(false);
        expect(verifyInclusion({ ...claim, index: size })).toBe(false);
        expect(verifyInclusion({ ...claim, index: -1 })).toBe(false);
        expect(verifyInclusion({ ...claim, hash: root })).toBe(false);
        expect(verifyInclusion({ ...claim, root: claim.hash })).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test("a rewritten history is no continuation", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 300 }), fc.nat(), fc.nat(), (size, cut, changed) => {
        const leaves = leavesOf(size);
        const from = 1 + (cut % (size - 1));
        const root = merkleRoot(hashesOf(leaves));
        const path = consistencyProof(hashesOf(leaves), from);
        const rewritten = leaves.with(changed % from, Buffer.from("rewritten"));
        const fromRoot = merkleRoot(hashesOf(rewritten.slice(0, from)));
        const claim = { from, fromRoot, size, root, path };
        expect(verifyConsistency(claim)).toBe(false);
        const other = consistencyProof(hashesOf(rewritten), from);
        expect(verifyConsistency({ ...claim, path: other })).toBe(false);
        const truth = { ...claim, fromRoot: merkleRoot(hashesOf(leaves.slice(0, from))) };
        expect(verifyConsistency(truth)).toBe(true);
        expect(verifyConsistency({ ...truth, path: path.slice(0, -1) })).toBe(false);
        expect(verifyConsistency({ ...truth, path: [...path, root] })).toBe(false);
        expect(verifyConsistency({ ...truth, from: size + 1 })).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test("every tree continues the empty one, and a tree continues itself only without a path", () => {
    const hashes = hashesOf(leavesOf(5));
    const root = merkleRoot(hashes);
    const empty = merkleRoot(new Uint8Array(0));
    expect(verifyConsistency({ from: 0, fromRoot: empty, size: 5, root, path: [] })).toBe(true);
    expect(verifyConsistency({ from: 0, fromRoot: root, size: 5, root, path: [] })).toBe(false);
    expect(verifyConsistency({ from: 5, fromRoot: root, size: 5, root, path: [] })).toBe(true);
    expect(verifyConsistency({ from: 5, fromRoot: root, size: 5, root, path: [root] })).toBe(false);
    expect(verifyConsistency({ from: 5, fromRoot: empty, size: 5, root, path: [] })).toBe(false);
  });

  test("a line longer than any before is hashed like a short one", () => {
    const long = Buffer.alloc(3_000_000, "x");
    expect(hex(leafHash(long))).toBe(hex(sha256(Uint8Array.of(0), long)));
    expect(hex(leafHash(Buffer.from("short")))).toBe(
      hex(sha256(Uint8Array.of(0), Buffer.from("short"))),
    );
  });
});

describe("tree frontier", () => {
  /** A frontier with `size` entries and a reader of what it emitted. */
  function grow(size: number): {
    frontier: TreeFrontier;
    entryHashes: Buffer[];
    readNodes: ReadTreeNodes;
    reads: string[];
  } {
    const entryHashes = leavesOf(size).map((leaf) => sha256(leaf));
    const nodes = new Map<string, Uint8Array>();
    const reads: string[] = [];
    let frontier = new TreeFrontier();
    for (const [index, entryHash] of entryHashes.entries()) {
      nodes.set(`0 ${index}`, leafHash(entryHash));
      for (const node of frontier.append(entryHash)) {
        expect(nodes.has(`${node.level} ${node.index}`)).toBe(false);
        nodes.set(`${node.level} ${node.index}`, node.hash);
      }
      frontier = new TreeFrontier(frontier.size, frontier.serialise());
    }
    const readNodes: ReadTreeNodes = async (positions) => {
      reads.push(...positions.map(({ level, index }) => `${level} ${index}`));
      return positions.map(({ level, index }) => nodes.get(`${level} ${index}`));
    };
    return { frontier, entryHashes, readNodes, reads };
  }

  test("its root is the whole tree's, after every append and after being stored and taken up again", () => {
    for (let size = 0; size <= 70; size += 1) {
      const { frontier, entryHashes } = grow(size);
      expect(frontier.size).toBe(size);
      expect(hex(frontier.root())).toBe(hex(naiveRoot(entryHashes)));
    }
  });

  test("stored nodes give every proof, also for earlier sizes of the tree", async () => {
    const { entryHashes, readNodes } = grow(41);
    for (let size = 1; size <= 41; size += 1) {
      const leaves = entryHashes.slice(0, size);
      for (let index = 0; index < size; index += 1) {
        const path = await inclusionProofFromNodes(size, index, readNodes);
        expect(path.map(hex)).toEqual(naivePath(index, leaves).map(hex));
        const proof = await consistencyProofFromNodes(index + 1, size, readNodes);
        expect(proof.map(hex)).toEqual(naiveConsistency(index + 1, leaves, true).map(hex));
      }
    }
  });

  test("a proof in a tree of 1,000 entries reads at most 20 nodes, in one request", async () => {
    const { readNodes, reads } = grow(1_000);
    let requests = 0;
    await inclusionProofFromNodes(1_000, 999, async (positions) => {
      requests += 1;
      return await readNodes(positions);
    });
    expect(requests).toBe(1);
    expect(reads.length).toBeLessThanOrEqual(20);
  });

  test("a missing node is named, not guessed", async () => {
    const proof = inclusionProofFromNodes(4, 0, async (positions) =>
      positions.map(() => undefined),
    );
    await expect(proof).rejects.toMatchObject({
      code: "damaged",
      message: "the tree's node at level 0, index 1 is missing",
    });
  });

  test("roots that cannot belong to a tree of the size are refused", () => {
    expect(() => new TreeFrontier(3, new Uint8Array(32))).toThrow(/3 entries has 2 roots/);
    expect(() => new TreeFrontier(3, new Uint8Array(64))).not.toThrow();
    expect(() => new TreeFrontier(-1, new Uint8Array(0))).toThrow(/-1 entries/);
  });
});
