import { CoreError } from "../../errors.ts";
import {
  consistencyRanges,
  EMPTY_ROOT,
  HASH_BYTES,
  inclusionRanges,
  leafHash,
  levelWithin,
  nodeHash,
} from "./merkle.ts";
import type { LeafRange } from "./merkle.ts";

/** A complete subtree: `2^level` leaves beginning at leaf `index * 2^level`. Level 0 is a leaf. */
export interface TreePosition {
  readonly level: number;
  readonly index: number;
}

/** A complete subtree's root. */
export interface TreeNode extends TreePosition {
  readonly hash: Uint8Array;
}

/** Fetches complete nodes; level 0 is `leafHash` of the entry hash, the others were emitted by the frontier. */
export type ReadTreeNodes = (
  positions: readonly TreePosition[],
) => Promise<readonly (Uint8Array | undefined)[]>;

/**
 * A tenant's tree while it grows: only the roots of its complete subtrees are held.
 *
 * The leaves are entry hashes (32 bytes), hashed once more as RFC 9162 hashes every leaf.
 */
export class TreeFrontier {
  #size: number;
  /** Complete subtrees, largest first. */
  readonly #roots: Uint8Array[];

  /**
   * Takes up a tree where it was left; without arguments an empty one.
   *
   * @param serialised what {@link TreeFrontier.serialise} gave at that size.
   * @throws CoreError `damaged` when the roots cannot be those of a tree of this size.
   */
  constructor(size: number = 0, serialised: Uint8Array = new Uint8Array(0)) {
    const roots = countOnes(size);
    if (!Number.isSafeInteger(size) || size < 0 || serialised.byteLength !== roots * HASH_BYTES)
      throw new CoreError(
        "damaged",
        `a tree of ${size} entries has ${roots} roots of ${HASH_BYTES} bytes, not ${serialised.byteLength} bytes`,
      );
    this.#size = size;
    this.#roots = Array.from({ length: roots }, (_, index) =>
      serialised.slice(index * HASH_BYTES, (index + 1) * HASH_BYTES),
    );
  }

  /** Entries in the tree. */
  get size(): number {
    return this.#size;
  }

  /** Appends an entry and answers the interior nodes (level 1 and up) that it completed, lowest first. */
  append(entryHash: Uint8Array): readonly TreeNode[] {
    const completed: TreeNode[] = [];
    let current = leafHash(entryHash);
    let index = this.#size;
    for (let level = 1; index % 2 === 1; level += 1) {
      const left = this.#roots.pop();
      if (left === undefined) throw new CoreError("damaged", "the tree lacks a root of its size");
      current = nodeHash(left, current);
      index = (index - 1) / 2;
      completed.push({ level, index, hash: current });
    }
    this.#roots.push(current);
    this.#size += 1;
    return completed;
  }

  /** The tree's root. */
  root(): Uint8Array {
    const [smallest, ...larger] = this.#roots.toReversed();
    if (smallest === undefined) return EMPTY_ROOT;
    return larger.reduce((right, left) => nodeHash(left, right), smallest);
  }

  /** The roots of the complete subtrees, largest first, 32 bytes each. */
  serialise(): Uint8Array {
    return Buffer.concat(this.#roots);
  }
}

/**
 * The audit path of an entry, from the leaf up, out of stored nodes; reads O(log n) of them at once.
 *
 * @throws CoreError `damaged` when a node is missing.
 */
export async function inclusionProofFromNodes(
  size: number,
  index: number,
  readNodes: ReadTreeNodes,
): Promise<readonly Uint8Array[]> {
  if (index < 0 || index >= size)
    throw new CoreError("usage", `a tree of ${size} entries has no entry ${index}`);
  return await rangeRoots(inclusionRanges(index, size), readNodes);
}

/** The proof that the tree of `from` entries is a beginning of that of `size`, out of stored nodes. */
export async function consistencyProofFromNodes(
  from: number,
  size: number,
  readNodes: ReadTreeNodes,
): Promise<readonly Uint8Array[]> {
  if (from < 0 || from > size)
    throw new CoreError("usage", `a tree of ${size} entries did not grow out of one of ${from}`);
  return await rangeRoots(consistencyRanges(from, size), readNodes);
}

async function rangeRoots(
  ranges: readonly LeafRange[],
  readNodes: ReadTreeNodes,
): Promise<readonly Uint8Array[]> {
  const cover = ranges.map(completeSubtrees);
  const positions = cover.flat();
  const hashes = await readNodes(positions);
  const found = positions.map((position, at) => {
    const hash = hashes[at];
    if (hash?.byteLength === HASH_BYTES) return hash;
    throw new CoreError(
      "damaged",
      `the tree's node at level ${position.level}, index ${position.index} is missing`,
    );
  });
  let at = 0;
  return cover.map((subtrees) => {
    const roots = found.slice(at, (at += subtrees.length));
    return roots.reduceRight((right, left) => nodeHash(left, right));
  });
}

/** The complete subtrees that make up a run of leaves, from left to right, so largest first. */
function completeSubtrees({ start, end }: LeafRange): readonly TreePosition[] {
  const subtrees: TreePosition[] = [];
  let at = start;
  while (at < end) {
    const level = levelWithin(end - at);
    subtrees.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return subtrees;
}

function countOnes(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}
