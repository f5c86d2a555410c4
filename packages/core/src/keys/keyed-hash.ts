import { createHmac, createSecretKey, hash } from "node:crypto";

/** Bytes of a keyed content hash. */
const CONTENT_HASH_BYTES = 16;

const INNER_BYTES = 32;

/** What a keyed hash is for; the same value hashed for two purposes gives unrelated hashes. */
export type KeyedHashPurpose =
  | "idempotency"
  | "file"
  | "natural-key"
  | "subject"
  | "reconciliation";

/**
 * Keyed hash of one value: HMAC-SHA-256 over the purpose, a zero byte and the value;
 * 32 bytes. Who does not have the key cannot find out by guessing what was hashed.
 */
export function keyedHash(
  key: Uint8Array,
  purpose: KeyedHashPurpose,
  value: string | Uint8Array,
): Uint8Array {
  return createHmac("sha256", createSecretKey(key)).update(`${purpose}\0`).update(value).digest();
}

/**
 * Keyed content hashes of many texts, 16 bytes each, concatenated: how a repeated record is recognised.
 *
 * Each is SHA-256(K' ‖ SHA-256(text)) cut to 16 bytes, where K' = HMAC-SHA-256(key, "content"). A bare
 * SHA-256(key ‖ text) could be extended by who knows a hash; here the outer input always has exactly 64
 * bytes and half of the output is withheld, so there is nothing to extend. It costs 2.6 µs for a text of
 * 3 KB where an HMAC object for each costs 14 µs. The leaf hash cannot stand in for it: its input holds
 * the salt, which differs whenever the same record comes again.
 *
 * @param texts text `i` is `offsets[i]` to `offsets[i + 1]` of `text`.
 */
export function contentHashes(
  key: Uint8Array,
  texts: { readonly text: Uint8Array; readonly offsets: ArrayLike<number> },
): Uint8Array {
  const { text, offsets } = texts;
  const count = offsets.length - 1;
  const outer = outerInput(key);
  const hashes = Buffer.allocUnsafeSlow(count * CONTENT_HASH_BYTES);
  for (let index = 0; index < count; index += 1) {
    const part = text.subarray(offsets[index], offsets[index + 1]);
    writeContentHash(outer, part, hashes, index * CONTENT_HASH_BYTES);
  }
  return hashes;
}

/** Prepares the keyed content hash of single texts; see {@link contentHashes}. */
export function contentHasher(key: Uint8Array): (text: string | Uint8Array) => Uint8Array {
  const outer = outerInput(key);
  return (text) => {
    const into = Buffer.allocUnsafeSlow(CONTENT_HASH_BYTES);
    writeContentHash(outer, text, into, 0);
    return into;
  };
}

/** The outer input with its secret half filled in. */
function outerInput(key: Uint8Array): Buffer {
  const outer = Buffer.alloc(2 * INNER_BYTES);
  outer.set(createHmac("sha256", createSecretKey(key)).update("content").digest());
  return outer;
}

function writeContentHash(
  outer: Buffer,
  text: string | Uint8Array,
  into: Buffer,
  at: number,
): void {
  outer.write(hash("sha256", text, "binary"), INNER_BYTES, "latin1");
  into.write(hash("sha256", outer, "binary"), at, CONTENT_HASH_BYTES, "latin1");
}
