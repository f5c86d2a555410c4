import { createPublicKey, verify } from "node:crypto";

import type { SignedTreeHead } from "@custody/contract/receipt";

import { CoreError } from "../errors.ts";
import {
  canonicalBytes,
  HASH_HEX,
  Members,
  parseCanonical,
} from "../journal/format/canonical-object.ts";
import { decodeTreeHead } from "../journal/format/tree-head.ts";
import type { TreeHeadSigner } from "../journal/format/tree-head.ts";

/** The newest format of manifests; a reader refuses a newer one by its number. */
export const BACKUP_FORMAT = 1;

/** How a backup came about; each holds everything that a restore needs. */
export type BackupKind = "full" | "incremental" | "continuous";

const KINDS: readonly BackupKind[] = ["full", "incremental", "continuous"];

/** Names a sealed object of a repository, and what must come out of it. */
export interface ObjectRef {
  /** Its name, 64 hex digits. */
  readonly object: string;
  /** SHA-256 of the plain bytes, hex. */
  readonly sha256: string;
  /** Length of the plain bytes. */
  readonly bytes: number;
  readonly codec: ObjectCodec;
}

/** How an object was compressed before it was sealed; `none` for what is compressed or sealed already. */
export type ObjectCodec = "none" | "zstd";

/** A pack of entries, and which. */
export interface PackRef extends ObjectRef {
  /** First sequence in it. */
  readonly from: number;
  /** Last sequence in it. */
  readonly to: number;
  /** Hash of the last entry, hex: tells whether a journal still is the one that was packed. */
  readonly lastHash: string;
}

/** Where a tenant's journal was cut. */
export interface BackedUpHead {
  readonly timeline: string;
  readonly sequence: number;
  /** Hash of the entry of that sequence, hex. */
  readonly hash: string;
  readonly receivedAt: number;
}

/** What a backup holds of one tenant. */
export interface TenantManifest {
  readonly tenant: string;
  readonly head: BackedUpHead;
  /** Signed over all entries up to the cut. */
  readonly treeHead: SignedTreeHead;
  /** In order, without a gap from the first entry to the cut. */
  readonly packs: readonly PackRef[];
  /** Pages of where each entry's lines lay. */
  readonly locations: readonly ObjectRef[];
  /** Pages of the segment catalogue. */
  readonly segments: readonly ObjectRef[];
  /** Pages of all other blobs. */
  readonly blobs: readonly ObjectRef[];
  /** Pages of named values that are needed again. */
  readonly state: readonly ObjectRef[];
  /** How much of it there is. */
  readonly totals: TenantTotals;
}

/** See {@link TenantManifest}. */
export interface TenantTotals {
  readonly segments: number;
  readonly segmentBytes: number;
  readonly blobs: number;
  readonly blobBytes: number;
}

/** A backup's table of contents; everything a restore reads is reached from here. */
export interface BackupManifest {
  readonly format: typeof BACKUP_FORMAT;
  /** A UUIDv7, so that ids sort by the time of their beginning. */
  readonly backupId: string;
  readonly kind: BackupKind;
  /** The backup whose objects were used again; a restore does not need it. */
  readonly parent: string | null;
  /** Epoch milliseconds at which the cut was made. */
  readonly createdAt: number;
  /** Epoch milliseconds at which the manifest was written. */
  readonly finishedAt: number;
  readonly installation: string;
  readonly repository: string;
  /** The version of Custody that wrote it. */
  readonly version: string;
  /** SPKI DER of the key that signed it, base64url. */
  readonly publicKey: string;
  /** By name. */
  readonly tenants: readonly TenantManifest[];
}

/** A manifest and its bytes, which are what is then sealed. */
export interface SignedManifest {
  readonly manifest: BackupManifest;
  readonly bytes: Uint8Array;
}

/** Signs a manifest with the installation's key. */
export async function signManifest(
  manifest: Omit<BackupManifest, "format" | "publicKey">,
  signer: TreeHeadSigner,
): Promise<SignedManifest> {
  const publicKey = Buffer.from(signer.publicKey).toString("base64url");
  const whole: BackupManifest = { ...manifest, format: BACKUP_FORMAT, publicKey };
  const signature = await signer.sign(signedBytes(whole));
  const bytes = canonicalBytes({
    manifest: whole,
    signature: Buffer.from(signature).toString("base64url"),
  });
  return { manifest: whole, bytes };
}

/**
 * Reads a manifest and checks who signed it.
 *
 * @param publicKey SPKI DER of the installation's key.
 * @throws CoreError `damaged` saying what is wrong; `usage` for a format newer than this program's.
 */
export function readManifest(bytes: Uint8Array, publicKey: Uint8Array): BackupManifest {
  const outer = new Members(parseCanonical(bytes, "a backup manifest"), "a backup manifest");
  outer.allow(["manifest", "signature"]);
  const manifest = parseManifest(outer.get("manifest"));
  const signature = Buffer.from(outer.text("signature"), "base64url");
  if (manifest.publicKey !== Buffer.from(publicKey).toString("base64url"))
    throw new CoreError("damaged", "the backup was signed by another installation's key");
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  if (!verify(null, signedBytes(manifest), key, signature))
    throw new CoreError("damaged", "the backup manifest's signature is not that of its contents");
  return manifest;
}

/** What is signed begins with a word of its own, so that no other signature of the key fits. */
function signedBytes(manifest: BackupManifest): Uint8Array {
  return Buffer.concat([Buffer.from("custody backup manifest v1\0"), canonicalBytes(manifest)]);
}

const WHAT = "a backup manifest";

function parseManifest(value: unknown): BackupManifest {
  const members = new Members(value, WHAT);
  const format = members.whole("format", 1);
  if (format !== BACKUP_FORMAT)
    throw new CoreError(
      "usage",
      `the backup is of format ${format}; this version reads format ${BACKUP_FORMAT} only`,
    );
  members.allow([
    "format",
    "backupId",
    "kind",
    "parent",
    "createdAt",
    "finishedAt",
    "installation",
    "repository",
    "version",
    "publicKey",
    "tenants",
  ]);
  const kind = KINDS.find((known) => known === members.get("kind"));
  if (kind === undefined) throw new CoreError("damaged", `${WHAT} of an unknown kind`);
  return {
    format: BACKUP_FORMAT,
    backupId: members.text("backupId"),
    kind,
    parent: members.get("parent") === null ? null : members.text("parent"),
    createdAt: members.whole("createdAt", 0),
    finishedAt: members.whole("finishedAt", 0),
    installation: members.text("installation"),
    repository: members.text("repository"),
    version: members.text("version"),
    publicKey: members.text("publicKey"),
    tenants: listOf(members, "tenants", parseTenant),
  };
}

function parseTenant(value: unknown): TenantManifest {
  const members = new Members(value, "a tenant of a backup manifest");
  const head = new Members(members.get("head"), "a backed up head");
  const totals = new Members(members.get("totals"), "the totals of a backup");
  const treeHead = members.get("treeHead");
  if (typeof treeHead !== "object" || treeHead === null)
    throw new CoreError("damaged", "a tenant of a backup manifest has no tree head");
  return {
    tenant: members.text("tenant"),
    head: {
      timeline: head.text("timeline"),
      sequence: head.whole("sequence", 1),
      hash: head.text("hash", HASH_HEX),
      receivedAt: head.whole("receivedAt", 0),
    },
    treeHead: decodeTreeHead(canonicalBytes(treeHead)),
    packs: listOf(members, "packs", parsePackRef),
    locations: listOf(members, "locations", parseObjectRef),
    segments: listOf(members, "segments", parseObjectRef),
    blobs: listOf(members, "blobs", parseObjectRef),
    state: listOf(members, "state", parseObjectRef),
    totals: {
      segments: totals.whole("segments", 0),
      segmentBytes: totals.whole("segmentBytes", 0),
      blobs: totals.whole("blobs", 0),
      blobBytes: totals.whole("blobBytes", 0),
    },
  };
}

/** @throws CoreError `damaged` when the value names no object. */
export function parseObjectRef(value: unknown): ObjectRef {
  const members = new Members(value, "the name of an object");
  const codec = members.get("codec");
  if (codec !== "none" && codec !== "zstd")
    throw new CoreError("damaged", "the name of an object has an unknown codec");
  return {
    object: members.text("object", HASH_HEX),
    sha256: members.text("sha256", HASH_HEX),
    bytes: members.whole("bytes", 0),
    codec,
  };
}

function parsePackRef(value: unknown): PackRef {
  const members = new Members(value, "the name of a pack");
  return {
    ...parseObjectRef(value),
    from: members.whole("from", 1),
    to: members.whole("to", 1),
    lastHash: members.text("lastHash", HASH_HEX),
  };
}

function listOf<Item>(
  members: Members,
  name: string,
  parse: (value: unknown) => Item,
): readonly Item[] {
  const list = members.get(name);
  if (Array.isArray(list)) return list.map(parse);
  throw new CoreError("damaged", `${WHAT}: the member ${name} must be a list`);
}
