import { createHash } from "node:crypto";

/** Bytes of the longest id that is its own key: an index takes no more than about 8,000 in all. */
const KEY_BYTES_MAX = 1_000;

/**
 * What a node's id is found by: the id, or its hash where it is long. What begins like a hash is hashed
 * too, so that no id can be taken for another's.
 */
export function neo4jKey(id: string): string {
  if (!id.startsWith("\0") && Buffer.byteLength(id) <= KEY_BYTES_MAX) return id;
  return `\0${createHash("sha256").update(id).digest("hex")}`;
}
