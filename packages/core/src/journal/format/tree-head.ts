import { createPublicKey, hash, verify } from "node:crypto";

import type { SignedTreeHead } from "@custody/contract/receipt";

import { CoreError } from "../../errors.ts";
import { canonicalBytes, HASH_HEX, Members, parseCanonical } from "./canonical-object.ts";

/** What is signed: a tree head without its signature. */
export type TreeHead = Omit<SignedTreeHead, "signature">;

/** Signs in a tenant's name with Ed25519 (RFC 8032); the private key stays where it is. */
export interface TreeHeadSigner {
  /** SHA-256 of the public key's SPKI DER bytes, lower-case hex. */
  readonly keyId: string;
  /** SPKI DER bytes (RFC 8410). */
  readonly publicKey: Uint8Array;
  readonly sign: (bytes: Uint8Array) => Promise<Uint8Array>;
}

/** The canonical bytes over which the signature goes. */
export function treeHeadBytes(head: TreeHead): Uint8Array {
  const { tenant, timeline, size, root, signedAt, keyId } = head;
  return canonicalBytes({ tenant, timeline, size, root, signedAt, keyId });
}

/** Signs a tree head; the signer's key id becomes part of what is signed. */
export async function signTreeHead(
  head: Omit<TreeHead, "keyId">,
  signer: TreeHeadSigner,
): Promise<SignedTreeHead> {
  const { tenant, timeline, size, root, signedAt } = head;
  const named: TreeHead = { tenant, timeline, size, root, signedAt, keyId: signer.keyId };
  const signature = await signer.sign(treeHeadBytes(named));
  return { ...named, signature: Buffer.from(signature).toString("base64url") };
}

/**
 * Whether the head was signed with the private key of `publicKey`, and names that key.
 *
 * @param publicKey SPKI DER bytes.
 */
export function verifyTreeHead(head: SignedTreeHead, publicKey: Uint8Array): boolean {
  if (keyIdOf(publicKey) !== head.keyId) return false;
  const signature = Buffer.from(head.signature, "base64url");
  if (signature.toString("base64url") !== head.signature) return false;
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    if (key.asymmetricKeyType !== "ed25519") return false;
    return verify(null, treeHeadBytes(head), key, signature);
  } catch {
    // A key that OpenSSL cannot read has signed nothing.
    return false;
  }
}

/** SHA-256 of a public key's SPKI DER bytes, lower-case hex. */
export function keyIdOf(publicKey: Uint8Array): string {
  return hash("sha256", publicKey, "hex");
}

/** Canonical JSON of a signed head, as it is stored. */
export function encodeTreeHead(head: SignedTreeHead): Uint8Array {
  const { signature } = head;
  const { tenant, timeline, size, root, signedAt, keyId } = head;
  return canonicalBytes({ tenant, timeline, size, root, signedAt, keyId, signature });
}

/**
 * Reads a stored head; the signature is not checked, see {@link verifyTreeHead}.
 *
 * @throws CoreError `damaged`.
 */
export function decodeTreeHead(bytes: Uint8Array): SignedTreeHead {
  const members = new Members(parseCanonical(bytes, "a tree head"), "a tree head");
  members.allow(["tenant", "timeline", "size", "root", "signedAt", "keyId", "signature"]);
  const head: SignedTreeHead = {
    tenant: members.text("tenant"),
    timeline: members.text("timeline"),
    size: members.whole("size", 0),
    root: members.text("root", HASH_HEX),
    signedAt: members.whole("signedAt", 0),
    keyId: members.text("keyId", HASH_HEX),
    signature: members.text("signature", SIGNATURE),
  };
  return head;
}

// 64 bytes of an Ed25519 signature in base64url.
const SIGNATURE = /^[A-Za-z0-9_-]{86}$/;

/** @throws CoreError `damaged` when a head was not signed by the key it should be signed by. */
export function requireTreeHead(head: SignedTreeHead, publicKey: Uint8Array): SignedTreeHead {
  if (verifyTreeHead(head, publicKey)) return head;
  throw new CoreError(
    "damaged",
    `the tree head of ${head.tenant} at size ${head.size} is not signed by key ${keyIdOf(publicKey)}`,
  );
}
