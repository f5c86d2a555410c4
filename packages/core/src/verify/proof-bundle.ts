import type { SignedTreeHead } from "@custody/contract/receipt";

import { decodeEntry } from "../journal/format/entry.ts";

/** The only format of a proof bundle there is. */
export const PROOF_FORMAT = "custody-proof/1";

/**
 * Everything that proves, offline and to anyone, that a record is in a journal unaltered: as JSON.
 * Hashes are lower-case hex, bytes are base64.
 */
export interface ProofBundle {
  readonly format: typeof PROOF_FORMAT;
  /** The line's exact bytes. */
  readonly line: string;
  /** The line's number within its entry, from 0. */
  readonly leafIndex: number;
  /** How many lines the entry has. */
  readonly leafCount: number;
  /** From the line up to the entry's root. */
  readonly linePath: readonly string[];
  /** The entry's canonical bytes. */
  readonly entry: string;
  /** The entry's number within the tree, from 0: its sequence less one. */
  readonly entryIndex: number;
  readonly treeSize: number;
  /** From the entry up to the tree head's root. */
  readonly entryPath: readonly string[];
  readonly treeHead: SignedTreeHead;
  /** The signing key, SPKI DER. */
  readonly publicKey: string;
  /** Proves that an earlier head is a beginning of this one, where one was asked for. */
  readonly consistency?: ConsistencyPath;
  /** The entries with which restores began timelines, oldest first; left out where there are none. */
  readonly restores?: readonly ProvenRestore[];
}

/** The first entry of a timeline that a restore began, with its proof. */
export interface ProvenRestore {
  /** The entry's canonical bytes. */
  readonly entry: string;
  /** From the entry up to the tree head's root. */
  readonly entryPath: readonly string[];
}

/** The steps from the tree of `from` entries to that of the bundle's head. */
export interface ConsistencyPath {
  readonly from: number;
  readonly path: readonly string[];
}

/** What a bundle is put together of. */
export interface ProofParts {
  readonly line: Uint8Array;
  readonly leafIndex: number;
  readonly linePath: readonly Uint8Array[];
  readonly entry: Uint8Array;
  readonly entryPath: readonly Uint8Array[];
  readonly treeHead: SignedTreeHead;
  readonly publicKey: Uint8Array;
  readonly consistency?: { readonly from: number; readonly path: readonly Uint8Array[] };
  readonly restores?: readonly {
    readonly entry: Uint8Array;
    readonly entryPath: readonly Uint8Array[];
  }[];
}

/**
 * Puts a proof bundle together; it proves nothing until `verifyBundle` says so.
 *
 * @throws CoreError `damaged` when the entry is none.
 */
export function buildProofBundle(parts: ProofParts): ProofBundle {
  const { count, sequence } = decodeEntry(parts.entry);
  const { consistency, restores = [] } = parts;
  return {
    format: PROOF_FORMAT,
    line: base64(parts.line),
    leafIndex: parts.leafIndex,
    leafCount: count,
    linePath: parts.linePath.map(hex),
    entry: base64(parts.entry),
    entryIndex: sequence - 1,
    treeSize: parts.treeHead.size,
    entryPath: parts.entryPath.map(hex),
    treeHead: parts.treeHead,
    publicKey: base64(parts.publicKey),
    ...(consistency === undefined
      ? {}
      : { consistency: { from: consistency.from, path: consistency.path.map(hex) } }),
    ...(restores.length === 0
      ? {}
      : {
          restores: restores.map((restore) => ({
            entry: base64(restore.entry),
            entryPath: restore.entryPath.map(hex),
          })),
        }),
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
