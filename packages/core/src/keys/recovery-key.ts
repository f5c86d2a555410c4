import { hash } from "node:crypto";

import { CoreError } from "../errors.ts";

/** Random bytes in a recovery key. */
export const RECOVERY_SECRET_BYTES = 16;

// Crockford's base 32 has no I, L, O and U, so that nothing read aloud or from paper is mistaken.
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARACTERS = 30;
const GROUP = 5;
const CHECK_BITS = 22n;
const SECRET_BITS = BigInt(RECOVERY_SECRET_BYTES * 8);

/** Writes 16 secret bytes as six groups of five characters; the last 22 bits are a checksum. */
export function formatRecoveryKey(secret: Uint8Array): string {
  let bits = (BigInt(`0x${Buffer.from(secret).toString("hex")}`) << CHECK_BITS) | checksum(secret);
  let text = "";
  for (let index = 0; index < CHARACTERS; index += 1) {
    text = (ALPHABET[Number(bits & 31n)] ?? "") + text;
    bits >>= 5n;
  }
  return (text.match(new RegExp(`.{${GROUP}}`, "g")) ?? []).join("-");
}

/**
 * Reads a recovery key as a person types it: any case, spaces and hyphens anywhere, O for 0, I and L for 1.
 *
 * @throws CoreError `usage` saying what is wrong with it.
 */
export function parseRecoveryKey(typed: string): Uint8Array {
  const text = typed.toUpperCase().replace(/[\s-]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  if (text.length !== CHARACTERS)
    throw new CoreError(
      "usage",
      `a recovery key has ${CHARACTERS} characters, this one ${text.length}`,
    );
  let bits = 0n;
  for (const character of text) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) throw new CoreError("usage", `a recovery key has no character ${character}`);
    bits = (bits << 5n) | BigInt(digit);
  }
  const digits = (bits >> CHECK_BITS).toString(16).padStart(RECOVERY_SECRET_BYTES * 2, "0");
  const secret = Buffer.from(digits, "hex");
  if (
    (bits & ((1n << CHECK_BITS) - 1n)) !== checksum(secret) ||
    bits >> (SECRET_BITS + CHECK_BITS) > 0n
  )
    throw new CoreError("usage", "the recovery key is mistyped: its checksum differs");
  return Uint8Array.from(secret);
}

function checksum(secret: Uint8Array): bigint {
  const digest = hash("sha256", Buffer.concat([Buffer.from("custody recovery v1"), secret]), "hex");
  return BigInt(`0x${digest.slice(0, 6)}`) >> (24n - CHECK_BITS);
}
