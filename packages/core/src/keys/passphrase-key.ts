import { scrypt } from "node:crypto";

import { CoreError } from "../errors.ts";
import { KEY_BYTES } from "../journal/format/aead.ts";

/** How a passphrase becomes a key: scrypt (RFC 7914). */
export interface ScryptParameters {
  /** Cost in processor and memory, a power of two. */
  readonly n: number;
  /** Block size; a derivation takes 128 × n × r bytes of memory. */
  readonly r: number;
  /** How often it is done one after the other. */
  readonly p: number;
}

// 128 MiB and some tenths of a second: what OWASP's password storage cheat sheet names first.
export const SCRYPT: ScryptParameters = { n: 2 ** 17, r: 8, p: 1 };

/** Shorter passphrases are refused: who holds the backup may try as many as he likes. */
const PASSPHRASE_CHARACTERS_MIN = 12;

// A file that asks for more is not ours, and would only keep the machine busy.
const MEMORY_MAX = 1024 ** 3;
const ROUNDS_MAX = 16;

/**
 * Derives a key of 32 bytes from a passphrase. White space around it does not count, and the way its
 * letters are composed (Unicode NFKC) neither.
 *
 * @throws CoreError `usage` when it is too short, `damaged` for parameters that this version never writes.
 */
export async function passphraseKey(
  passphrase: string,
  salt: Uint8Array,
  { n, r, p }: ScryptParameters,
): Promise<Uint8Array> {
  const text = passphrase.trim().normalize("NFKC");
  if (text.length < PASSPHRASE_CHARACTERS_MIN)
    throw new CoreError(
      "usage",
      `a passphrase has at least ${PASSPHRASE_CHARACTERS_MIN} characters; a few random words make a good one`,
    );
  const isPowerOfTwo = Number.isInteger(Math.log2(n));
  const isWithin = n >= SCRYPT.n && 128 * n * r <= MEMORY_MAX && r >= 1 && p >= 1;
  if (!isPowerOfTwo || !isWithin || p > ROUNDS_MAX)
    throw new CoreError("damaged", `scrypt with n=${n}, r=${r}, p=${p} is not what Custody writes`);
  const options = { N: n, r, p, maxmem: 128 * n * r + 128 * r * p + 1024 * 1024 };
  return new Promise((resolve, reject) => {
    scrypt(text, salt, KEY_BYTES, options, (error, key) =>
      error === null ? resolve(Uint8Array.from(key)) : reject(error),
    );
  });
}
