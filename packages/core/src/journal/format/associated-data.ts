/**
 * Encodes parts so that no two different lists give the same bytes: each part is preceded by its
 * length in bytes (32-bit, little-endian). Used as the associated data of AES-256-GCM and as the
 * `info` of HKDF.
 */
export function associatedData(...parts: readonly (string | Uint8Array)[]): Uint8Array {
  const buffers = parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part));
  const length = buffers.reduce((sum, buffer) => sum + 4 + buffer.byteLength, 0);
  const joined = Buffer.allocUnsafe(length);
  let at = 0;
  for (const buffer of buffers) {
    at = joined.writeUInt32LE(buffer.byteLength, at);
    joined.set(buffer, at);
    at += buffer.byteLength;
  }
  return joined;
}
